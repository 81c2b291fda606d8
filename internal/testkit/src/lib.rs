//! What tests of the whole system need: real servers, a network that fails on command, and a judge of what devices got.
//!
//! [`ServerProcess`] runs the real program on a folder of its own and stops it in every way a server can stop.
//! [`TcpProxy`] stands between a device and its server and cuts or stalls connections. A [`Device`] is the SDK, whose every
//! step goes into the [`Record`]: the [`History`] of a run, whose [`check`](History::check) says whether every device got
//! everything once and in order.
//!
//! This crate is for tests alone. It judges by what devices see and never looks into a server.

mod device;
mod dice;
mod history;
mod record;
mod rest;
mod server_process;
mod tcp_proxy;

pub use device::{Device, Sender};
pub use dice::Dice;
pub use history::{Counts, Delivery, History, Verdict};
pub use record::Record;
pub use rest::post;
pub use server_process::ServerProcess;
pub use tcp_proxy::TcpProxy;

/// The native door at an address, as the SDK wants it.
fn door(address: std::net::SocketAddr) -> String {
    format!("ws://{address}/v1/ws")
}
