//! The Rust SDK of a device: keeps a local store in lockstep with the server over `/v1/ws` (see `docs/protocol.md`).
//!
//! It stands at both ends of the way of a message: [`Client::send`] begins it, [`Events`] end it. In the middle is
//! [`machine`], a state machine without I/O that decides everything; around it a task moves bytes, time and store
//! calls. The task is reached through [`Client`], a handle, and speaks through [`Events`].
//!
//! What is no message goes beside that way, by a request each: [`Conversations`] (groups, rooms, their members, history,
//! what is unread), [`People`] (profiles, contacts, blocks, settings), [`Devices`], and [`Accounts`] to sign in and out.
//!
//! What it promises: a message taken by [`Client::enqueue`] is in the local store and is sent under one
//! `client_msg_id` until the server has answered, across reconnects and restarts, so it is neither lost nor
//! duplicated. An entry is stored before it is acknowledged and before its event is given out; one that the store has
//! is dropped; one that would leave a gap is never stored.
//!
//! A device that is new, and that the server calls unfilled, is filled from a main device of its user: [`Filling`] events tell
//! of it, and it goes on where it was after a crash of either. A main device that is started with
//! [`ClientConfig::gives_history`] is one that others can be filled from.
//!
//! It must never acknowledge what is not stored, connect again after the server said to stop, or show a token.

mod accounts;
mod client;
mod config;
mod conversations;
mod devices;
mod event;
mod filling;
mod kinds;
mod links;
pub mod machine;
mod people;
mod refreshed;
mod requests;
mod rest;
mod service;
mod store;
mod thread;
mod token;
mod transport;

pub use accounts::{Accounts, Session, SignIn, SigningDevice, Waiting};
pub use client::{Client, Events, Pending};
pub use config::ClientConfig;
pub use conversations::{
    Conversation, ConversationKind, Conversations, DetailsChange, Draft, History, HistoryPage, JsonObject, Member,
    MemberState, Role, Slice, UnreadTotal,
};
pub use devices::{Device, DeviceKind, Devices, Removal, WaitingDevice};
pub use event::{AskError, Counters, DisconnectReason, Event, RenewError, SendError, Sent, StopReason};
pub use filling::{ChunkFault, Filling};
pub use links::{Approver, AskedLink, FoundLink, LinkOutcome, LinkProof, Links, NewDevice};
pub use people::{Block, Contact, People, Profile, ProfileChange, ReceiptSettings, ReceiptSettingsChange};
pub use refreshed::{RefreshedTokens, TokenKeeper};
pub use rest::RestError;
pub use store::{Change, HistorySource, LocalStore, MemoryStore, OutboxItem, SqliteStore, State, StoreError};
pub use thread::{Message, Thread};
pub use token::{FixedToken, TokenError, TokenReason, TokenSource};

/// For implementations of [`TokenSource`] and [`LocalStore`].
pub use async_trait::async_trait;
pub use lockstep_protocol as protocol;
