//! Log, directory and offsets on SQLite.
//!
//! Step 4 of a message's way: [`SqliteStore`] implements [`MessageLog`](lockstep_ports::MessageLog),
//! [`Directory`](lockstep_ports::Directory) and [`Offsets`](lockstep_ports::Offsets) over one database file. One write
//! task owns the one connection that writes: it takes what waits in a bounded queue, executes it in one transaction and
//! answers after the commit is on disk (group commit). Reads go to a bounded pool of read-only connections.
//!
//! This crate must never answer before the commit, decide who may do what, or know about connections.

mod accounts;
mod admin;
mod directory;
mod follow;
mod gather;
mod groups;
mod heads;
mod health;
mod links;
mod log;
mod messages;
mod offsets;
mod open;
mod options;
mod pack;
mod people;
mod read;
mod reads;
mod row;
mod services;
mod sql;
mod stats;
mod store;
mod teardowns;
mod write;

pub use open::OpenError;
pub use options::SqliteOptions;
pub use stats::StoreStats;
pub use store::{Maintained, SqliteStore};
