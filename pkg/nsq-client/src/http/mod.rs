//! The HTTP interfaces of nsqd and nsqlookupd.
//!
//! Every request has a timeout, and every answer a bound: a larger one is an error, whatever it holds. Requests that only
//! read, and those that can be made again without harm, go over connections that are kept for the next one, and are
//! repeated once if such a connection turns out to be closed; publishing opens a connection of its own each time, so
//! that a failure before the answer means what it says.

mod client;
mod error;
mod lookupd;
mod nsqd;
mod stats;

pub use client::HttpSettings;
pub use error::HttpError;
pub use lookupd::{LookupdHttp, LookupdNode, Node, TopicNodes};
pub use nsqd::{NsqdHttp, NsqdInfo};
pub use stats::{ChannelStats, ClientStats, Stats, StatsQuery, TopicStats};
