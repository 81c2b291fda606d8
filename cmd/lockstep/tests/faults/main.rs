//! What fails around a server: its disk and its network. Real processes, sockets and files; each test says what the
//! others must go on having meanwhile.

mod bystanders;
mod disk;
mod flood;
mod network;
mod scene;
