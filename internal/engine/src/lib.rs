//! The use cases: what Lockstep does, between the doors and the ports.
//!
//! Steps 3 and 5 of a message's way: the engine takes what sessions and REST ask, has the store commit it,
//! publishes it to the broker, and answers. It keeps the connection map (user -> device -> connection), the ring of
//! recent entries and the batch of cursors.
//!
//! It never speaks a wire format, never opens a socket and never holds a lock while it waits.

mod accounts;
mod admin;
mod admission;
mod api;
mod blocks;
mod bootstrap;
mod config;
mod connections;
mod conversations;
mod cursors;
mod devices;
mod events;
mod explain;
mod groups;
mod heads;
mod history;
mod ingest;
mod lane;
mod links;
mod offsets;
mod people;
mod presence;
mod publisher;
mod questions;
mod reader;
mod reads;
mod receipts;
mod removals;
mod resume;
mod retention;
mod ring;
mod seen;
mod services;
mod sign_ins;
mod signals;
mod teardowns;
mod trace;

pub use accounts::{DeviceWanted, Refresh, SignInOutcome, SignInRequest};
pub use admin::{Following, Load};
pub use admission::{Admission, Claim};
pub use api::{Engine, Ports};
pub use bootstrap::BootstrapConfig;
pub use config::EngineConfig;
pub use connections::{Connection, Origin};
pub use devices::is_device_name;
pub use groups::{GroupDraft, is_avatar, is_title};
pub use history::{HistoryPage, Slice};
pub use ingest::Ingested;
pub use links::{LinkDraft, LinkPolled, LinkWaiter, Replaced};
pub use removals::Removal;
// What doors need of the ports: they know the engine only.
pub use lockstep_ports::{
    ChannelDeletion, LinkBounds, LinkSecret, ListedConversation, Mailbox, PasswordHash, PeopleRefusal, Proof,
    ServiceRefusal, Standing, TopicAt, TopicChannel, UserRecord, Wakeup,
};
pub use sign_ins::{Polled, WaitingSignIn};
pub use trace::Tracer;
