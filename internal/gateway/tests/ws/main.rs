//! The WebSocket door over real sockets: what it answers to right and wrong input.

mod frames;
mod handshake;
mod house;
mod lives;
mod personal;
mod tokens;
mod transport;
