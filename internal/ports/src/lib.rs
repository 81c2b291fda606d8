//! The seams between the engine and what it stands on: small traits whose docs are contracts.
//!
//! [`MessageLog`] (step 4 of a message's way), [`Directory`] and [`Offsets`] are implemented by one store each and share
//! its transactions: a command that changes the directory and writes an entry about it is one call and one commit, and
//! returns the entries to publish. [`Broker`] (steps 5 and 6) moves envelopes to [`Mailbox`]es, one of which stands
//! before every connection. [`Events`] tells services what happens.
//!
//! The `conformance` feature holds the suites that every adapter runs in its tests.
//!
//! No trait here names a database, a wire format or a door.

mod accounts;
mod admin;
mod broker;
mod directory;
mod error;
mod events;
mod groups;
mod links;
mod log;
mod mailbox;
mod messages;
mod offsets;
mod people;
mod reads;
mod services;
mod teardowns;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use accounts::{
    AccountRefusal, Accounts, NEXT_MAX, PasswordChange, PasswordHash, Proof, Rotated, Rotation, SignIn,
};
pub use admin::{Admin, UserRecord};
pub use broker::{Broker, ChannelDeletion, TopicAt, TopicChannel};
pub use directory::{
    Committed, Connected, CursorRow, DeviceRename, Directory, DirectoryRefusal, ENDED_STAYS_MAX, Followed,
    ListedConversation, NewConversation, NewDevice, STAYS_MAX,
};
pub use error::StoreError;
pub use events::Events;
pub use groups::{Actor, GroupRefusal, Groups, NewGroup, Standing};
pub use links::{LinkAnswer, LinkBounds, LinkClaim, LinkRefusal, LinkSecret, LinkState, Links, NewLink};
pub use log::{Append, AppendRefusal, Appended, Author, HeadMark, MessageLog, Range};
pub use mailbox::{Inbox, Mailbox, Wakeup};
pub use messages::{Expired, Messages};
pub use offsets::{Advanced, Offsets, OffsetsChange};
pub use people::{People, PeopleRefusal};
pub use reads::{Reads, SCANNED_MAX, TOTALLED_MAX};
pub use services::{ServiceRefusal, Services};
pub use teardowns::{DeviceRefusal, DeviceRemoval, Remover, TeardownAttempt, TeardownLeft, Teardowns};
