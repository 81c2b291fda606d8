//! The words of the design as plain types: what the engine, the session machine, the ports and every door share.
//!
//! Ids, entries and codes are the protocol's, re-exported. [`Ask`] and [`Notice`] are the two directions between one
//! connection's session machine and the engine, neutral of any wire format.
//!
//! This crate does no I/O and holds no policy.

mod connection;
mod conversation;
mod device;
mod feed;
mod shared_entry;

pub use connection::{Ask, Notice, Page, ResumePoint, SendOutcome, Sent, Skip};
pub use conversation::{Bounds, Conversation, ConversationKind, Interval, Intervals, View};
pub use device::{ConnectionGeneration, Device, DeviceKind, TokenGeneration, User};
pub use feed::FeedChange;
pub use lockstep_protocol::{
    Body, BodyError, ClientMsgId, Code, ConversationId, Cursor, DeviceId, Entry, EntryId, Epoch, IdError, Kind, Offset,
    OffsetsVersion, Ref, Sender, Seq, Shown, SkipReason, Target, UnixMs, UserId, limits,
};
pub use shared_entry::SharedEntry;
