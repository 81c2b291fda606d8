//! How a new device is filled from one that keeps the history: the frames of both sides.
//!
//! The device to be filled says `bootstrap` and acknowledges chunks; a main device reports its `coverage`, is asked by
//! `fill`, and answers with chunks. The server relays them, and knows a chunk by its header alone.

use crate::frame::object_only;
use crate::{BootstrapId, ConversationId, DeviceId, Offset, Ref, Seq, UnixMs, Unread, UserId};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// What a device says about filling: itself, or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootstrapFrame {
    /// `bootstrap`: the device wants to be filled.
    Start(Start),
    /// `coverage`: what a main device can give to others.
    Coverage(Coverage),
    /// `chunk`: a part of what was asked of a main device.
    Chunk {
        /// Repeated if it is refused; else the answer is `chunk_acked`.
        reference: Option<Ref>,
        /// The part.
        chunk: Box<Chunk>,
    },
    /// `chunk_ack`: the device has stored everything of a conversation up to here.
    Ack(ChunkAck),
    /// `fill_refuse`: a main device does not give what it was asked for.
    Refuse(FillRefuse),
}

/// A device wants to be filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Repeated in the answer.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Ref>,
    /// How many of the latest entries of each conversation: 1 to [`crate::limits::BOOTSTRAP_ENTRIES_MAX`].
    #[serde(default = "entries_default", skip_serializing_if = "is_entries_default")]
    pub entries: u32,
    /// Where it stands in conversations of which it has stored a part: at most
    /// [`crate::limits::CURSORS_PER_FRAME_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<Offset>,
    /// Where from.
    #[serde(default, skip_serializing_if = "Source::is_main")]
    pub source: Source,
}

fn entries_default() -> u32 {
    crate::limits::BOOTSTRAP_ENTRIES_DEFAULT
}

fn is_entries_default(entries: &u32) -> bool {
    *entries == entries_default()
}

/// Where the latest entries of a conversation come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A main device of the user.
    #[default]
    Main,
    /// The server's log.
    Log,
    /// Nobody has them.
    None,
}

impl Source {
    fn is_main(&self) -> bool {
        *self == Self::Main
    }
}

/// What a main device can give to others. A report adds to those before it on the same connection; a main device that reports
/// nothing is asked for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// At most [`crate::limits::CURSORS_PER_FRAME_MAX`].
    #[serde(default)]
    pub conversations: Vec<Held>,
    /// Whether another `coverage` frame follows. A main device is asked for nothing before the one that says no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// A main device holds everything of a conversation from here on, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Held {
    /// The conversation.
    pub conversation: ConversationId,
    /// The first entry that it holds.
    pub from_seq: Seq,
}
object_only!(Held, "an object with conversation and from_seq");

/// A part of a conversation's history, from a main device to the one that is filled. All but the body is clear to the
/// server, which passes the body on as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Of which filling.
    pub bootstrap: BootstrapId,
    /// 1, 2, 3, ... within what one `fill` asked for.
    pub number: u64,
    /// Of which conversation.
    pub conversation: ConversationId,
    /// It holds what the main device has from here ...
    pub from_seq: Seq,
    /// ... to here. The next chunk begins right after it.
    pub to_seq: Seq,
    /// The SHA-256 (FIPS 180-4) of the body's UTF-8 bytes, as 64 digits of lowercase hex.
    pub digest: String,
    /// Whether it is the last of this conversation.
    pub last: bool,
    /// How the body is sealed: reserved. Absent for a plain one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// At most [`crate::limits::CHUNK_BYTES_MAX`]. Plain, it is the JSON text of an array of entries.
    pub body: String,
}

impl BootstrapFrame {
    /// The number that an answer repeats.
    pub fn reference(&self) -> Option<Ref> {
        match self {
            Self::Start(start) => start.reference,
            Self::Chunk { reference, .. } => *reference,
            Self::Refuse(refuse) => refuse.reference,
            Self::Coverage(_) | Self::Ack(_) => None,
        }
    }
}

impl Chunk {
    /// The digest that a body has.
    pub fn digest_of(body: &str) -> String {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(body.as_bytes()) {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    /// Whether the body is the one that the digest is of.
    pub fn is_whole(&self) -> bool {
        self.digest == Self::digest_of(&self.body)
    }
}

/// A device has stored everything of a conversation up to here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkAck {
    /// Of which filling.
    pub bootstrap: BootstrapId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The chunk's `to_seq`.
    pub seq: Seq,
}

/// A main device does not give what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillRefuse {
    /// Repeated if there is nothing to refuse.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Ref>,
    /// Of which filling.
    pub bootstrap: BootstrapId,
    /// Of which conversation; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
}

/// What the server says about filling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BootstrapNews {
    /// The answer to `bootstrap`.
    BootstrapStarted {
        /// From the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<Ref>,
        /// The filling.
        bootstrap: BootstrapId,
        /// How many conversations are to be filled.
        total: u32,
        /// How many of them are.
        done: u32,
    },
    /// To the device that is filled: what the server knows of the next conversation.
    BootstrapConversation(Box<About>),
    /// To the device that is filled: a part of it.
    Chunk(Box<Chunk>),
    /// To a main device: what is wanted of it.
    Fill(Fill),
    /// To the main device: the device has stored this.
    ChunkAcked(ChunkAck),
    /// To both sides: how far it is.
    BootstrapProgress(Progress),
}

/// What the server knows of a conversation that is about to be filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Of which filling.
    pub bootstrap: BootstrapId,
    /// The conversation.
    pub conversation: ConversationId,
    /// `direct`, `group` or `room`.
    pub kind: String,
    /// Its title, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The URL of its picture, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// The user's role; absent in a direct one, and where the user is no member any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The first members: at most [`crate::limits::BOOTSTRAP_MEMBERS_MAX`]. More are asked for by REST.
    pub members: Vec<UserId>,
    /// How many there are.
    pub member_count: u64,
    /// The first entry that the log still holds.
    pub floor: Seq,
    /// Read offset, head, and what is unread.
    pub unread: Unread,
    /// What the user keeps about it.
    pub state: AboutState,
}

/// What a user keeps about a conversation, all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AboutState {
    /// Whether it stands above the others.
    pub pinned: bool,
    /// Whether it is put away.
    pub archived: bool,
    /// Until when its messages make no noise; 0 for never.
    pub muted_until: UnixMs,
    /// What lies below is hidden from the user.
    pub delete_before: Seq,
}

/// A device is to be filled, and the main device that hears this is asked for a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// The filling.
    pub bootstrap: BootstrapId,
    /// The device that is filled.
    pub device: DeviceId,
    /// The key with which a body could be sealed, if the device gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The conversation.
    pub conversation: ConversationId,
    /// How many of the latest entries.
    pub entries: u32,
    /// Where to begin instead, if the device has a part already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_seq: Option<Seq>,
    /// The head of the log: no chunk goes beyond it.
    pub head: Seq,
    /// How many chunks of this filling may be without an acknowledgement.
    pub window: u32,
}

/// How far a filling is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The filling.
    pub bootstrap: BootstrapId,
    /// What it does now.
    pub state: BootstrapState,
    /// How many conversations are filled.
    pub done: u32,
    /// Of how many.
    pub total: u32,
    /// The conversation that was filled just now, with the place from which the log goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<Filled>,
    /// Why it does not go on, if it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<WaitReason>,
}

/// Why a filling waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// No main device is connected that could give anything.
    MainOffline,
    /// The main devices that are connected have refused.
    MainRefused,
    /// The main devices that are connected did not answer in time.
    MainStalled,
}

/// A conversation that is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    /// The conversation.
    pub conversation: ConversationId,
    /// The device's cursor: the log goes on after it.
    pub seq: Seq,
    /// Where it came from.
    pub source: Source,
}

/// What a filling does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapState {
    /// Chunks come.
    Filling,
    /// It waits for a main device, or for the device that is filled.
    Waiting,
    /// To a main device: others do it now, or it is over. What was asked for is not wanted any more.
    Stopped,
    /// All conversations are filled.
    Done,
}
