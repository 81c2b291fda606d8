//! What a client tells its application.

use crate::{ChunkFault, Filling, TokenError};
use lockstep_protocol::{
    ClientMsgId, Code, ConversationId, DeviceId, DeviceOnline, Entry, EntryId, Epoch, Offset, Online, Receipt, Seq,
    SignalFrame, SkipReason, UnixMs, UserId,
};
use std::time::Duration;

/// What happened, in order. Entries, skips, resets and offsets are in the local store before their event is given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server has let the device in.
    Connected {
        /// The device's id.
        device: DeviceId,
        /// Its user.
        user: UserId,
        /// The user's feed.
        feed: ConversationId,
        /// The store's identity.
        epoch: Epoch,
    },
    /// All that had been missed was delivered.
    CaughtUp,
    /// The next entry of a conversation.
    Entry(Entry),
    /// Entries that will not be delivered.
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
    /// The server has another log of this conversation: what the device had of it is dropped, the rest follows.
    Reset {
        /// The conversation.
        conversation: ConversationId,
        /// The first entry that the log still holds.
        floor: Seq,
        /// The last entry of the log.
        head: Seq,
    },
    /// Read offsets of the user changed, on this device or another.
    Offsets(Vec<Offset>),
    /// A signal of another device, such as that its user is typing. It is not kept anywhere.
    Signal(SignalFrame),
    /// Who is there: of the users that [`crate::Client::watch`] has named, as far as the server tells. First of all of them,
    /// later of those that come or go. After a [`Event::Disconnected`] nobody knows until it is told anew.
    Presence(Vec<Online>),
    /// Which other devices of the user are connected. After [`Event::Connected`] of all that are, if any is; later of those
    /// that come or go. After a [`Event::Disconnected`] nobody knows until it is told anew.
    Devices(Vec<DeviceOnline>),
    /// How far others have got in a conversation. It may be lost and is not kept: the largest of each that was told counts.
    Receipts {
        /// The conversation.
        conversation: ConversationId,
        /// At most one of each user.
        receipts: Vec<Receipt>,
    },
    /// The answer to a message that nobody waits for: it was taken by an earlier process, or its [`crate::Pending`]
    /// was dropped.
    Answered {
        /// The message.
        client_msg_id: ClientMsgId,
        /// What became of it.
        outcome: Result<Sent, SendError>,
    },
    /// The server refused a read offset.
    ReadRefused {
        /// The offset.
        offset: Offset,
        /// The name of the server's code.
        code: String,
    },
    /// This device is filled from a main one, or fills another.
    Filling(Filling),
    /// The connection is gone; the client connects again by itself. An unfilled device whose user has no main device that is
    /// connected is turned away with the code `main_offline`, and comes again when the server says.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// When it does.
        retry_in: Duration,
    },
    /// The client has stopped and does not connect again. The last event.
    Stopped(StopReason),
}

/// Why a connection is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// No connection came about.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// No token came.
    #[error("{0}")]
    Token(String),
    /// The server said why.
    #[error("{code}: {message}")]
    Server {
        /// The name of the server's code.
        code: String,
        /// The server's sentence.
        message: String,
    },
    /// The connection broke without a word from the server.
    #[error("the connection broke")]
    Broken,
    /// Nothing was heard of the server for two and a half heartbeats, or no welcome came.
    #[error("nothing was heard of the server")]
    Silent,
    /// An entry came that would leave a gap.
    #[error("entry {got} of conversation {conversation} came where {expected} was next")]
    Gap {
        /// The conversation.
        conversation: ConversationId,
        /// The next entry.
        expected: Seq,
        /// The one that came.
        got: Seq,
    },
    /// A chunk came that cannot be stored.
    #[error("the chunk of conversation {conversation} {fault}")]
    Chunk {
        /// The conversation.
        conversation: ConversationId,
        /// What is wrong with it.
        fault: ChunkFault,
    },
    /// What came is no frame of this protocol.
    #[error("the server's frame cannot be read: {0}")]
    Protocol(String),
    /// The local store failed.
    #[error("the local store failed: {0}")]
    Store(String),
}

/// Why a client stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The application asked for it, or dropped its handles.
    #[error("stopped")]
    Asked,
    /// The server's answer was one after which a device does not connect again by itself.
    #[error("{message}")]
    Refused {
        /// The code, if this version knows it.
        code: Option<Code>,
        /// The server's sentence.
        message: String,
    },
    /// The token source has no token any more.
    #[error("{0}")]
    Token(String),
    /// The local store belongs to another user.
    #[error("the local store belongs to another user")]
    OtherUser,
    /// The local store cannot be read.
    #[error("the local store cannot be read: {0}")]
    Store(String),
}

/// A message that is on the server's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The device's name for it.
    pub client_msg_id: ClientMsgId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub id: EntryId,
    /// When the server took it.
    pub sent_at: UnixMs,
    /// Whether the server had it already.
    pub duplicate: bool,
}

/// Why a message or read offset was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The server will never take it as it is.
    #[error("{code}: {message}")]
    Refused {
        /// The name of the server's code.
        code: String,
        /// The server's sentence.
        message: String,
    },
    /// Too many messages wait for their answer.
    #[error("too many messages wait to be sent")]
    OutboxFull,
    /// Another message with the same `client_msg_id` waits for its answer.
    #[error("the client_msg_id is in use for another message")]
    IdInUse,
    /// The local store failed; the message was not taken.
    #[error("the local store failed: {0}")]
    Store(String),
    /// The client has stopped. What [`crate::Client::enqueue`] took stays in the local store and is sent by the next
    /// client.
    #[error("the client has stopped")]
    Stopped,
}

/// Why a connection was not renewed. It goes on as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenewError {
    /// There is no fresh token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The server does not take the token.
    #[error("{code}: {message}")]
    Refused {
        /// The name of the server's code.
        code: String,
        /// The server's sentence.
        message: String,
    },
    /// There is no connection: the next one begins anew anyway.
    #[error("there is no connection to renew")]
    NotConnected,
}

/// Why a question has no answer. It is not asked again by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The server does not do it.
    #[error("{code}: {message}")]
    Refused {
        /// The name of the server's code.
        code: String,
        /// The server's sentence.
        message: String,
    },
    /// There is no connection, or it ended before the answer came.
    #[error("there is no connection")]
    NotConnected,
}

/// What a client has counted since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Entries stored.
    pub entries: u64,
    /// Entries dropped because the store had them.
    pub duplicates: u64,
    /// Connections closed because of a gap.
    pub gaps: u64,
    /// Connections that the server let in.
    pub connects: u64,
    /// Sends repeated: after a reconnect, a missing answer, or an answer that asked for it.
    pub resends: u64,
}
