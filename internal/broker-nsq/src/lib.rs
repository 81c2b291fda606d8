//! Topics and channels on nsqd: the [`Broker`](lockstep_ports::Broker) beyond one process.
//!
//! Steps 5 and 6 of a message's way. A conversation is a topic, placed on one of the configured nsqds; a connected device
//! has a channel in it and a consumer of that, which puts the envelopes that it gets into the mailbox of the device's
//! connection. nsqd may lose, repeat and reorder; the log heals it. So nothing here waits for nsqd: whoever has no
//! consumer at the moment, and everybody if nsqd does not take an envelope, gets a head signal and reads the log.
//!
//! Bodies that services publish into a topic come out of its `_seq` channel as [`RawMessage`]s.
//! What services may hear of, [`NsqEvents`] publishes into a topic of its own.

mod broker;
mod channel;
mod deletion;
mod envelope;
mod events;
mod feed;
mod fleet;
mod following;
mod identity;
mod idle_topics;
mod inspection;
mod janitor;
mod lookup;
mod node;
mod node_ids;
mod opening;
mod placement;
mod places;
mod publish;
mod raw;
mod raw_room;
mod recent;
mod recheck;
mod seqs;
mod settings;
mod topic;
mod topic_deletion;

pub use broker::{NsqBroker, StartError};
pub use deletion::Deletion;
pub use events::{EventsSettings, NsqEvents};
pub use fleet::Fleet;
pub use janitor::{Janitor, JanitorSettings, Swept};
pub use raw::{RawMessage, SEQ_CHANNEL};
pub use settings::{Channels, Ingest, NsqSettings, NsqdAddresses};
