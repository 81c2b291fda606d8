//! Real NSQ servers: finds `nsqd` and `nsqlookupd`, or builds them, and runs them.
//!
//! It stands beside the flow: the server talks to nsqds that an operator runs, and never starts one. Tests, the demo,
//! the benchmark and `cargo xtask servers` do.
//!
//! Everything here blocks, so that programs without an async runtime can use it. Async code calls what takes long in
//! `spawn_blocking`, or lives with it in a test: [`Servers::find_or_build`] takes milliseconds if there is something to
//! find and a minute if not; [`Nsqd::start`], `restart` and `stop` take tens of milliseconds (bounded by 30 s if
//! something is wrong); `kill`, `pause`, `resume` and dropping take none worth mentioning.

mod folders;
mod go;
mod http;
mod log;
mod nsqd;
mod nsqlookupd;
mod process;
mod server;
mod servers;
mod version;

pub use go::toolchain as go_toolchain;
pub use nsqd::{Nsqd, NsqdOptions};
pub use nsqlookupd::NsqLookupd;
pub use server::Server;
pub use servers::Servers;
