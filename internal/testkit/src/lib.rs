//! What tests of the whole system need: real servers, a network that fails on command, and a judge of what devices got.
//!
//! [`ServerProcess`] runs the real program on a folder of its own and stops it in every way a server can stop.
//! [`TcpProxy`] stands between a device and its server and cuts or stalls connections. [`History`] collects what was
//! sent and what arrived, and [`History::check`] says whether every device got everything once and in order.
//!
//! This crate is for tests alone. It judges by what devices see and never looks into a server.

mod history;
mod server_process;
mod tcp_proxy;

pub use history::{Counts, Delivery, History, Verdict};
pub use server_process::ServerProcess;
pub use tcp_proxy::TcpProxy;
