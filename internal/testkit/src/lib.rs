//! What tests of the whole system need: real servers, a network that fails on command, and a judge of what devices got.
//!
//! [`ServerProcess`] runs the real program on a folder of its own and stops it in every way a server can stop.
//! [`TcpProxy`] stands between a device and its server and cuts or stalls connections; [`Strace`] stands between a
//! server and its system, sees what it asks for, and lets that fail. [`Nsqds`] are real ones. A [`Wire`] is a device that speaks frames by hand,
//! wrong ones too. A [`Device`] is the SDK, whose every
//! step goes into the [`Record`]: the [`History`] of a run, whose [`check`](History::check) says whether every device got
//! everything that its user may see once and in order, and nothing else.
//!
//! This crate is for tests alone. It judges by what devices see and never looks into a server.

mod crumbs;
mod device;
mod dice;
mod history;
mod nsqds;
mod observe;
mod record;
mod rest;
mod server_process;
mod strace;
mod tcp_proxy;
mod tmpfs;
mod wire;

pub use crumbs::Crumbs;
pub use device::{Device, Outcome, Sender};
pub use dice::Dice;
pub use history::{Counts, Delivery, History, Mark, Moment, Verdict};
pub use nsqds::{ChannelStats, Nsqds, TopicStats};
pub use observe::Memory;
pub use record::Record;
pub use rest::{Answer, ask, ask_raw, post};
pub use server_process::{ServerOptions, ServerProcess};
pub use strace::Strace;
pub use tcp_proxy::TcpProxy;
pub use tmpfs::Tmpfs;
pub use wire::{Heard, Wire};

/// The native door at an address, as the SDK wants it.
fn door(address: std::net::SocketAddr) -> String {
    format!("ws://{address}/v1/ws")
}
