//! The frames. Field names here are the names on the wire; `docs/protocol.md` shows an example of each.

use crate::{
    Advice, Body, BootstrapFrame, BootstrapNews, ClientMsgId, Code, ConversationId, DeviceId, Entry, EntryId, Epoch,
    Kind, OffsetsVersion, Receipt, Seq, StateChange, UnixMs, Unread, UserId,
};
use compact_str::CompactString;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A number that a device puts on a request and that the answer repeats: 0 to 2^53 - 1.
pub type Ref = Seq;

/// What a device sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// The first frame: who is there and what the device knows.
    Hello(Hello),
    /// Where the device stands in its conversations.
    Resume(Resume),
    /// A message.
    Send(Send),
    /// Everything up to these places has arrived and is kept.
    Ack(Ack),
    /// The user has read up to here.
    Read {
        /// Repeated in the answer.
        reference: Option<Ref>,
        /// The conversation.
        conversation: ConversationId,
        /// The last entry that was read.
        seq: Seq,
    },
    /// Something for whoever follows a conversation at this moment. It is not kept.
    Signal {
        /// Repeated if it is refused; else there is no answer.
        reference: Option<Ref>,
        /// The conversation.
        conversation: ConversationId,
        /// What it says: at most [`crate::limits::SIGNAL_BYTES_MAX`].
        body: Body,
    },
    /// Whose presence the device wants to know, instead of those named before.
    Watch {
        /// Repeated in the answer.
        reference: Option<Ref>,
        /// At most [`crate::limits::WATCHED_USERS_MAX`].
        users: Vec<UserId>,
    },
    /// What the user keeps about a conversation for all own devices.
    State {
        /// Repeated in the answer.
        reference: Option<Ref>,
        /// The conversation.
        conversation: ConversationId,
        /// What is to change.
        change: StateChange,
    },
    /// How much is unread?
    Unread {
        /// Repeated in the answer.
        reference: Option<Ref>,
        /// At most [`crate::limits::UNREAD_CONVERSATIONS_MAX`].
        conversations: Vec<ConversationId>,
    },
    /// A fresh token for a connection that is open.
    Renew(Renew),
    /// About filling this device, or another from this one.
    Bootstrap(BootstrapFrame),
    /// The answer to the server's heartbeat.
    Heartbeat,
}

/// The first frame of a connection.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Repeated in the answer.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Ref>,
    /// The device's access token. Never in the URL, where logs would keep it.
    pub token: CompactString,
    /// The epoch that the device's cursors belong to; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Where the device stands in its user's feed; absent if it has nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<Cursor>,
    /// The newest version of read offsets that the device has.
    #[serde(default)]
    pub offsets_version: OffsetsVersion,
}

impl fmt::Debug for Hello {
    /// Without the token: frames are logged and tokens never are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reference, token: _, epoch, feed, offsets_version } = self;
        f.debug_struct("Hello")
            .field("reference", reference)
            .field("epoch", epoch)
            .field("feed", feed)
            .field("offsets_version", offsets_version)
            .finish_non_exhaustive()
    }
}

/// A fresh token for a connection that is open.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    /// Repeated in the answer.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Ref>,
    /// Another access token of the same device.
    pub token: CompactString,
}

impl fmt::Debug for Renew {
    /// Without the token, as [`Hello`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renew").field("reference", &self.reference).finish_non_exhaustive()
    }
}

/// Reads and writes a struct as serde would, but from an object only: serde's derived code also takes an array and
/// fills the fields by position.
macro_rules! object_only {
    ($name:ident, $what:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        $name::deserialize(MapAccessDeserializer::new(map))
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    };
}

/// A place in a log, with the id of the entry that stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Cursor {
    /// The last entry that the device has.
    pub seq: Seq,
    /// Its id, by which the server notices that its log is another one than the device remembers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryId>,
}
pub(crate) use object_only;
object_only!(Cursor, "an object with seq and entry");

/// One conversation of a `resume` frame. On the wire `seq` and `entry` stand beside `conversation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatShown", into = "FlatShown")]
pub struct Shown {
    /// The conversation.
    pub conversation: ConversationId,
    /// Where the device stands in it.
    pub cursor: Cursor,
}

/// [`Shown`] as it is written. Spelled out, because serde's `flatten` would build a tree of each first.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Self")]
struct FlatShown {
    conversation: ConversationId,
    seq: Seq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<EntryId>,
}
object_only!(FlatShown, "an object with conversation, seq and entry");

impl From<FlatShown> for Shown {
    fn from(flat: FlatShown) -> Self {
        Self { conversation: flat.conversation, cursor: Cursor { seq: flat.seq, entry: flat.entry } }
    }
}

impl From<Shown> for FlatShown {
    fn from(shown: Shown) -> Self {
        Self { conversation: shown.conversation, seq: shown.cursor.seq, entry: shown.cursor.entry }
    }
}

/// Where the device stands in its conversations. Conversations that no frame names go on from the stored cursor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resume {
    /// At most [`crate::limits::CURSORS_PER_FRAME_MAX`].
    #[serde(default)]
    pub conversations: Vec<Shown>,
    /// Whether another `resume` frame follows. Delivery starts after the one that says no.
    #[serde(default)]
    pub more: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    /// Repeated in the answer.
    pub reference: Option<Ref>,
    /// Where to.
    pub target: Target,
    /// The device's own name for it: sending the same again gets the same answer and reaches nobody twice.
    pub client_msg_id: ClientMsgId,
    /// What it is: one of those that [`Kind::from_sender`] takes.
    pub kind: Kind,
    /// The content.
    pub body: Body,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// To a conversation.
    Conversation(ConversationId),
    /// To the direct conversation with this user, which is made if need be.
    User(UserId),
}

/// Cumulative acknowledgements.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ack {
    /// Per conversation the seq up to which everything has arrived: at most
    /// [`crate::limits::CURSORS_PER_FRAME_MAX`].
    pub cursors: Vec<Offset>,
}

/// A conversation and a place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Offset {
    /// The conversation.
    pub conversation: ConversationId,
    /// The place.
    pub seq: Seq,
}
object_only!(Offset, "an object with conversation and seq");

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The answer to `hello`.
    Welcome(Box<Welcome>),
    /// Read offsets that have changed.
    Offsets {
        /// The version that the device has once it has taken this frame.
        version: OffsetsVersion,
        /// At most [`crate::limits::CURSORS_PER_FRAME_MAX`].
        offsets: Vec<Offset>,
    },
    /// All that had been missed was delivered; from here on entries come as they happen.
    CaughtUp,
    /// The next entry of a conversation.
    Entry(Entry),
    /// The next entries of one conversation, in order: catch-up only.
    Entries {
        /// At most [`crate::limits::ENTRIES_PER_FRAME_MAX`].
        entries: Vec<Entry>,
    },
    /// Entries of a conversation that will not be delivered.
    Skip {
        /// The conversation.
        conversation: ConversationId,
        /// The first that is left out.
        from: Seq,
        /// The last that is left out.
        to: Seq,
        /// Why.
        reason: SkipReason,
    },
    /// The server's log of a conversation is another one than the device remembers: drop it and take it anew.
    Reset {
        /// The conversation.
        conversation: ConversationId,
        /// The store's identity now.
        epoch: Epoch,
        /// The first entry that the log still holds.
        floor: Seq,
        /// The last entry of the log.
        head: Seq,
    },
    /// The answer to `send`: the message is on disk.
    Sent {
        /// From the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<Ref>,
        /// The conversation, which a message to a user did not name.
        conversation: ConversationId,
        /// The place it got.
        seq: Seq,
        /// The id it got.
        id: EntryId,
        /// When the server took it.
        sent_at: UnixMs,
        /// Whether it had been stored before.
        duplicate: bool,
    },
    /// The answer to a request that has nothing else to say.
    Done {
        /// From the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<Ref>,
    },
    /// A signal of another device.
    Signal(SignalFrame),
    /// Who is there: the answer to `watch`, and later what has changed.
    Presence {
        /// From the request, in the answer to it.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<Ref>,
        /// The users.
        users: Vec<Online>,
    },
    /// Which other devices of the user are connected: those that are after `welcome`, later what has changed.
    Devices {
        /// The devices.
        devices: Vec<DeviceOnline>,
    },
    /// The answer to `unread`.
    Unread {
        /// From the request.
        #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
        reference: Option<Ref>,
        /// In the order of the question, without those that the user never was in.
        conversations: Vec<Unread>,
    },
    /// Others have got or read more of a conversation. Kept nowhere: one that is missed is made good by asking.
    Receipts {
        /// The conversation.
        conversation: ConversationId,
        /// At most one of each user.
        receipts: Vec<Receipt>,
    },
    /// About filling this device, or another from this one.
    #[serde(skip)]
    Bootstrap(BootstrapNews),
    /// Are you there? The device answers with a heartbeat.
    Heartbeat,
    /// A request failed, or the connection is about to close.
    Error(ErrorFrame),
}

/// A signal of another device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalFrame {
    /// The conversation.
    pub conversation: ConversationId,
    /// Whose device.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
    /// What it says.
    pub body: Body,
}

/// Whether a user has a device that is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Online {
    /// The user.
    pub user: UserId,
    /// Whether one is.
    pub online: bool,
}
object_only!(Online, "an object with user and online");

/// Whether a device of the user is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct DeviceOnline {
    /// The device.
    pub device: DeviceId,
    /// Whether it is.
    pub online: bool,
}
object_only!(DeviceOnline, "an object with device and online");

/// Why entries are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// They are older than the conversation keeps.
    Retention,
    /// The user was not a member, or may not see what came before joining.
    Membership,
    /// They are older than what the device asked for when it was filled.
    Bootstrap,
    /// No main device of the user has them.
    NotHeld,
    /// A reason of a later version.
    #[serde(other)]
    Other,
}

/// The answer to `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// From the request.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Ref>,
    /// The store's identity. If it is another one than the device knows, `reset` frames may follow.
    pub epoch: Epoch,
    /// Whose token it was.
    pub user: UserId,
    /// Whose token it was.
    pub device: DeviceId,
    /// The user's feed.
    pub feed: ConversationId,
    /// Whether the device is still to be filled: it asks by `bootstrap`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfilled: bool,
    /// The server's clock.
    pub server_time: UnixMs,
    /// What this server allows.
    pub limits: ClientLimits,
}

/// What this server allows, as far as a device has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientLimits {
    /// How often a heartbeat comes, in milliseconds.
    pub heartbeat_ms: u64,
    /// How long a delivery may stay unacknowledged, in milliseconds.
    pub ack_timeout_ms: u64,
    /// The largest frame that a device may send.
    pub frame_bytes_max: usize,
    /// The largest body.
    pub body_bytes_max: usize,
    /// How many entries of one conversation are delivered ahead of the acknowledgement.
    pub window_entries: u64,
}

/// A request failed, or the connection is about to close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFrame {
    /// From the request, where one failed.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Ref>,
    /// The code's name (see [`Code`]); later versions have more.
    pub code: Cow<'static, str>,
    /// What happened, as a sentence.
    pub message: Cow<'static, str>,
    /// Whether the server closes the connection now.
    pub close: bool,
    /// Whether connecting again makes sense: without a new token if `new_token` is false.
    pub reconnect: bool,
    /// Whether a new token is needed first.
    #[serde(default)]
    pub new_token: bool,
    /// How long to wait before the same again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorFrame {
    /// The frame for a code as the table has it.
    pub fn of(code: Code, reference: Option<Ref>) -> Self {
        let spec = code.spec();
        let (reconnect, new_token, retry_after_ms) = match spec.advice {
            Advice::Keep => (false, false, None),
            Advice::Reconnect { after_ms } => (true, false, Some(u64::from(after_ms))),
            Advice::NewToken => (true, true, None),
            Advice::Stop => (false, false, None),
        };
        Self {
            reference,
            code: Cow::Borrowed(spec.name),
            message: Cow::Borrowed(spec.sentence),
            close: code.closes(),
            reconnect,
            new_token,
            retry_after_ms,
        }
    }
}
