//! What goes into a session and what comes out of it.

use lockstep_model::{
    Ask, Body, BootstrapFrame, BootstrapNews, ClientMsgId, Code, ConversationId, Cursor, DeviceId, DeviceOnline, Epoch,
    Kind, Offset, OffsetsVersion, Online, ReceiptSettings, Receipts, Ref, Sent, Seq, SharedEntry, SharedSignal, Shown,
    Skip, StateChange, Target, Unread, UserId,
};

/// What a device asks, whatever its door's frames look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The beginning.
    Hello(Hello),
    /// Where the device stands.
    Resume {
        /// In these conversations.
        shown: Vec<Shown>,
        /// Whether more follows.
        more: bool,
    },
    /// A message.
    Send {
        /// Repeated in the answer.
        reference: Option<Ref>,
        /// Where to.
        target: Target,
        /// The device's name for it.
        client_msg_id: ClientMsgId,
        /// What it is.
        kind: Kind,
        /// The content.
        body: Body,
    },
    /// Everything up to these places has arrived.
    Ack(Vec<Offset>),
    /// The user has read up to here.
    Read {
        /// Repeated in the answer.
        reference: Option<Ref>,
        /// The conversation.
        conversation: ConversationId,
        /// The place.
        seq: Seq,
    },
    /// Something for whoever follows a conversation now.
    Signal {
        /// Repeated if it is refused.
        reference: Option<Ref>,
        /// The conversation.
        conversation: ConversationId,
        /// What it says.
        body: Body,
    },
    /// Whose presence the device wants to know.
    Watch {
        /// Repeated in the answer.
        reference: Option<Ref>,
        /// The users.
        users: Vec<UserId>,
    },
    /// What the user keeps about a conversation is to change.
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
        /// In these conversations.
        conversations: Vec<ConversationId>,
    },
    /// A fresh token for this connection.
    Renew {
        /// Repeated in the answer.
        reference: Option<Ref>,
        /// The token, as it came.
        token: String,
    },
    /// About filling this device, or another from it.
    Bootstrap(Box<BootstrapFrame>),
    /// The device is there.
    Heartbeat,
    /// The door could not make sense of a frame.
    Malformed {
        /// The request's ref, if it could be read.
        reference: Option<Ref>,
        /// What is wrong.
        code: Code,
        /// The sentence, more precise than the code's own.
        detail: String,
    },
}

/// The beginning of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Repeated in the answer.
    pub reference: Option<Ref>,
    /// The device's token, as it came.
    pub token: String,
    /// The epoch of the device's cursors.
    pub epoch: Option<Epoch>,
    /// Where the device stands in the feed.
    pub feed: Option<Cursor>,
    /// The offsets that the device has.
    pub offsets_version: OffsetsVersion,
}

/// The answer to [`Effect::Authenticate`]: the device is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// The store's identity.
    pub epoch: Epoch,
    /// The user's feed.
    pub feed: ConversationId,
    /// Offsets that changed since the shown version.
    pub offsets: Vec<Offset>,
    /// The version that the device has once it took them.
    pub offsets_version: OffsetsVersion,
    /// What the user lets others hear, and therefore hears of them.
    pub receipts: ReceiptSettings,
    /// Whether the device is still to be filled by another one.
    pub unfilled: bool,
}

/// What a device is told, whatever its door's frames look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The device was let in.
    Welcome {
        /// From the hello.
        reference: Option<Ref>,
        /// Whom, where.
        admitted: Box<Admitted>,
    },
    /// Read offsets changed.
    Offsets {
        /// The version after the change.
        version: OffsetsVersion,
        /// The changed ones.
        offsets: Vec<Offset>,
    },
    /// All that was missed has been delivered.
    CaughtUp,
    /// The next entry of its conversation.
    Entry(SharedEntry),
    /// The next entries of one conversation.
    Entries(Vec<SharedEntry>),
    /// Entries that are left out.
    Skip {
        /// The conversation.
        conversation: ConversationId,
        /// What is left out.
        skip: Skip,
    },
    /// The device's copy of a conversation belongs to another log.
    Reset {
        /// The conversation.
        conversation: ConversationId,
        /// The store's identity.
        epoch: Epoch,
        /// The log's floor.
        floor: Seq,
        /// The log's head.
        head: Seq,
    },
    /// A message is on disk.
    Sent {
        /// From the request.
        reference: Option<Ref>,
        /// Where it stands.
        sent: Sent,
    },
    /// A request is done.
    Done {
        /// From the request.
        reference: Option<Ref>,
    },
    /// Another device's signal.
    Signal(SharedSignal),
    /// Who is there.
    Presence {
        /// From the request, in the answer to it.
        reference: Option<Ref>,
        /// The users.
        users: Vec<Online>,
    },
    /// Which other devices of the user are connected: all that are, or what has changed.
    Devices(Box<[DeviceOnline]>),
    /// How much is unread.
    Unread {
        /// From the request.
        reference: Option<Ref>,
        /// What was counted.
        conversations: Vec<Unread>,
    },
    /// Others have got or read more of a conversation.
    Receipts(Box<Receipts>),
    /// About filling this device, or another from it.
    Bootstrap(Box<BootstrapNews>),
    /// Are you there?
    Heartbeat,
    /// A request failed; the connection stays.
    Failed {
        /// From the request.
        reference: Option<Ref>,
        /// What is wrong.
        code: Code,
        /// A sentence that is more precise than the code's own.
        detail: Option<String>,
        /// When the same may succeed.
        retry_after_ms: Option<u64>,
    },
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Verify the token and connect the device, then call `handle_admitted` or `handle_refused`.
    Authenticate {
        /// The token.
        token: String,
        /// The epoch of the device's cursors and offsets.
        epoch: Option<Epoch>,
        /// The offsets that the device has.
        offsets_version: OffsetsVersion,
    },
    /// Verify that the token is a good one of the same device, then call `handle_renewed`.
    Renew {
        /// From the request.
        reference: Option<Ref>,
        /// The token.
        token: String,
    },
    /// Pass this to the engine.
    Ask(Ask),
    /// Tell the device.
    Emit(Event),
    /// Tell the device why, and close. Nothing follows.
    Close(Code),
}
