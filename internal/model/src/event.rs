//! What happens here, in the words in which services may hear of it.

use crate::{ConnectionGeneration, DeviceKind};
use lockstep_protocol::{Code, ConversationId, DeviceId, EntryId, Kind, Sender, Seq, UnixMs, UserId};
use serde::{Deserialize, Serialize};

/// Something that has happened. It says who and where, never what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A device was let in.
    Connect {
        /// Whose it is.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// What it is to its user.
        kind: DeviceKind,
        /// Of the device's connections the one with the highest is the live one.
        generation: ConnectionGeneration,
        /// When.
        at: UnixMs,
    },
    /// A device's connection is over.
    Disconnect {
        /// Whose it was.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// That of its connect.
        generation: ConnectionGeneration,
        /// Why the server closed it; absent if the device went, or its connection broke.
        reason: Option<Code>,
        /// When.
        at: UnixMs,
    },
    /// A device or a service has written into a log.
    Message {
        /// The conversation.
        conversation: ConversationId,
        /// The place in its log.
        seq: Seq,
        /// The entry's id.
        id: EntryId,
        /// What the entry is.
        kind: Kind,
        /// Who wrote it.
        sender: Sender,
        /// When the server took it.
        sent_at: UnixMs,
    },
    /// A user's read offset has risen.
    Read {
        /// The user.
        user: UserId,
        /// The conversation.
        conversation: ConversationId,
        /// The offset now.
        seq: Seq,
        /// When.
        at: UnixMs,
    },
    /// Somebody should wake a main device of a user: another device needs it.
    PushWanted {
        /// The user.
        user: UserId,
        /// The device that needs it.
        device: DeviceId,
        /// When.
        at: UnixMs,
    },
    /// A user's devices have changed.
    Device {
        /// The user.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// What it is, or was, to its user.
        kind: DeviceKind,
        /// What happened to it.
        change: DeviceChange,
        /// When.
        at: UnixMs,
    },
}

/// What happens to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChange {
    /// It was made.
    Added,
    /// It was removed, for good.
    Removed,
}

/// The kinds of events, which are asked for one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// [`Event::Connect`].
    Connect,
    /// [`Event::Disconnect`].
    Disconnect,
    /// [`Event::Message`].
    Message,
    /// [`Event::Read`].
    Read,
    /// [`Event::Device`].
    Device,
    /// [`Event::PushWanted`].
    PushWanted,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Disconnect, Self::Message, Self::Read, Self::Device, Self::PushWanted];
}

impl Event {
    /// Its kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Connect { .. } => EventKind::Connect,
            Self::Disconnect { .. } => EventKind::Disconnect,
            Self::Message { .. } => EventKind::Message,
            Self::Read { .. } => EventKind::Read,
            Self::Device { .. } => EventKind::Device,
            Self::PushWanted { .. } => EventKind::PushWanted,
        }
    }
}
