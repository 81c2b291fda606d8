//! The words of the design as plain types: what the engine, the session machine, the ports and every door share.
//!
//! Ids, entries and codes are the protocol's, re-exported. [`Ask`] and [`Notice`] are the two directions between one
//! connection's session machine and the engine, neutral of any wire format.
//!
//! This crate does no I/O and holds no policy.

mod connection;
mod conversation;
mod device;
mod event;
mod explain;
mod feed;
mod group;
mod link;
mod log_change;
mod people;
mod raw_body;
mod retention;
mod service;
mod shared_entry;
mod signal;
mod teardown;
mod topic;
mod utc;

pub use connection::{Ask, FillNotice, Notice, Page, Receipts, ResumePoint, SendOutcome, Sent, Skip};
pub use conversation::{Bounds, Conversation, ConversationKind, Interval, Intervals, Member, View};
pub use device::{ConnectionGeneration, Device, DeviceKind, RefreshHash, TokenGeneration, User};
pub use event::{DeviceChange, Event, EventKind};
pub use explain::{
    Explanation, LiveTopic, MessageRef, MessageRefError, Stage, StageName, TopicMode, TopicState, Verdict,
};
pub use feed::FeedChange;
pub use group::{CustomObject, Details, DetailsChange, History, Role};
pub use link::{Link, SecretHash};
pub use lockstep_protocol::{
    About, AboutState, Body, BodyError, BootstrapFrame, BootstrapId, BootstrapNews, BootstrapState, Chunk, ChunkAck,
    ClientMsgId, Code, Content, ContentError, ConversationId, Coverage, Cursor, DeviceId, DeviceOnline, Entry, EntryId,
    Epoch, Fill, FillRefuse, Filled, Held, IdError, Kind, LinkId, Offset, OffsetsVersion, Online, Progress, Receipt,
    Ref, Sender, Seq, ServiceName, Shown, SignInId, SkipReason, Source, Start, StateChange, Target, UnixMs, Unread,
    UserId, WaitReason, limits,
};
pub use log_change::LogChange;
pub use people::{
    Alias, AliasError, AliasName, AliasTarget, Block, Contact, Custom, CustomError, MemberState, PersonalChange,
    Profile, ProfileChange, ReceiptSettings, ReceiptSettingsChange, UnreadTotal, settings_told, unread,
};
pub use raw_body::{RawBodyError, body_of_raw};
pub use retention::{Retention, RetentionRule};
pub use service::{Scope, ScopeError, Service};
pub use shared_entry::SharedEntry;
pub use signal::{SharedSignal, Signal};
pub use teardown::{Teardown, TeardownReason, TeardownState, TeardownTotals};
pub use topic::{TopicPrefix, TopicPrefixError, is_topic_name};
pub use utc::Utc;
