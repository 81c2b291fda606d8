//! What passes between one connection's session machine and the engine.

use crate::{SharedEntry, SharedSignal, TopicState};
use lockstep_protocol::{
    Body, BootstrapFrame, BootstrapNews, ClientMsgId, Code, ConversationId, DeviceOnline, EntryId, Kind, Offset,
    OffsetsVersion, Online, Receipt, Ref, Seq, Shown, SkipReason, StateChange, Target, UnixMs, Unread, UserId,
};

/// What a session asks of the engine. Each is answered by one [`Notice`], except where it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Open the device's conversations. Answered by [`Notice::Resumed`] or [`Notice::Failed`].
    Resume {
        /// Where the device says it stands.
        shown: Vec<Shown>,
        /// Whether the device remembers another epoch, so that the shown entry ids have to be compared with the log.
        verify: bool,
    },
    /// Open one conversation that the feed has told of, or look whether the user is a member again of one that has ended.
    /// Answered by [`Notice::Followed`], or by [`Notice::Unfollowed`] if there is nothing to bring. Goes on after the place
    /// named here, or where the device's stored cursor stands if it is 0.
    Follow(Offset),
    /// Append an entry. Answered by [`Notice::Sent`].
    Append {
        /// The request's ref.
        reference: Option<Ref>,
        /// Where to.
        target: Target,
        /// The sender's name for it.
        client_msg_id: ClientMsgId,
        /// What it is.
        kind: Kind,
        /// The content.
        body: Body,
    },
    /// Read a stretch of the log. Answered by [`Notice::Page`] or [`Notice::Failed`].
    Read {
        /// The conversation.
        conversation: ConversationId,
        /// The first entry wanted.
        from: Seq,
        /// How many at most.
        count: u32,
        /// How far the log is said to reach: an answer from memory that ends below it is stale.
        head: Seq,
    },
    /// The device has everything up to here: move its cursor. Not answered.
    Acked {
        /// The conversation.
        conversation: ConversationId,
        /// The place.
        seq: Seq,
    },
    /// The user has read up to here. Answered by [`Notice::ReadDone`].
    AdvanceOffset {
        /// The request's ref.
        reference: Option<Ref>,
        /// The conversation.
        conversation: ConversationId,
        /// The place.
        seq: Seq,
    },
    /// Pass a signal to whoever follows a conversation. Not answered.
    Signal {
        /// The conversation.
        conversation: ConversationId,
        /// What it says.
        body: Body,
    },
    /// Tell who of these users is there, now and whenever that changes; instead of those named before. Answered by
    /// [`Notice::Watched`].
    Watch {
        /// The request's ref.
        reference: Option<Ref>,
        /// The users.
        users: Vec<UserId>,
    },
    /// Change what the user keeps about a conversation. Answered by [`Notice::ReadDone`].
    ChangeState {
        /// The request's ref.
        reference: Option<Ref>,
        /// The conversation.
        conversation: ConversationId,
        /// What is to change.
        change: StateChange,
    },
    /// How much of these conversations has the user not read? Answered by [`Notice::Unread`].
    Unread {
        /// The request's ref.
        reference: Option<Ref>,
        /// The conversations.
        conversations: Vec<ConversationId>,
    },
    /// Filling this device, or another from it. Answered by [`Notice::Fill`] where there is something to say.
    Bootstrap(Box<BootstrapFrame>),
    /// Compare all followed conversations with the log's heads and the user's offsets with the store: something may
    /// have been missed. Answered by [`Notice::Heads`] if conversations are named, and by
    /// [`Notice::Offsets`] if some have changed.
    Recheck {
        /// The followed conversations.
        conversations: Vec<ConversationId>,
        /// The newest offsets version that the device was told.
        offsets_version: OffsetsVersion,
    },
    /// The answer to [`Notice::Describe`]: an operator wants to know. Not answered.
    Described {
        /// The question's number.
        question: u64,
        /// How the session stands to the conversation.
        topic: TopicState,
    },
}

/// What the engine tells a connection. Large ones are boxed, since entries are the many and pass through queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The next entry of a topic, as the broker brought it: perhaps twice, out of order, or not at all.
    Entry(SharedEntry),
    /// A log's head is at least here.
    Head(Offset),
    /// The answer to [`Ask::Recheck`]: the heads of all that was asked for.
    Heads(Vec<Offset>),
    /// Read offsets changed. Versions are to offsets what seqs are to entries: a notice that leaves some out is found by
    /// its `since`.
    Offsets {
        /// The version that the change begins after.
        since: OffsetsVersion,
        /// The version after the change.
        version: OffsetsVersion,
        /// The changed ones.
        offsets: Vec<Offset>,
    },
    /// The device's conversations, most recently active first. Their consumers are open.
    Resumed(Vec<ResumePoint>),
    /// One more conversation, its consumer open; or, if the user is no member any more, without one and up to where the
    /// last stay ended.
    Followed(Box<ResumePoint>),
    /// The user is no member of a conversation, and has all of it up to where the last stay ended, which is here. It has no
    /// consumer.
    Unfollowed(Offset),
    /// The answer to a read.
    Page(Box<Page>),
    /// The answer to an append.
    Sent {
        /// The request's ref.
        reference: Option<Ref>,
        /// What became of it.
        outcome: Box<SendOutcome>,
    },
    /// The answer to [`Ask::AdvanceOffset`] and [`Ask::ChangeState`].
    ReadDone {
        /// The request's ref.
        reference: Option<Ref>,
        /// Why it was refused, if it was.
        refusal: Option<Code>,
    },
    /// Another device's signal.
    Signal(SharedSignal),
    /// The answer to [`Ask::Watch`].
    Watched {
        /// The request's ref.
        reference: Option<Ref>,
        /// Those of the users whose presence the user may know.
        outcome: Box<Result<Vec<Online>, Code>>,
    },
    /// What is so now of users that the connection watches.
    Presence(Box<[Online]>),
    /// What is so now of the user's other devices.
    Devices(Box<[DeviceOnline]>),
    /// The answer to [`Ask::Unread`].
    Unread {
        /// The request's ref.
        reference: Option<Ref>,
        /// What was counted.
        outcome: Box<Result<Vec<Unread>, Code>>,
    },
    /// Another member has got or read more of a conversation: perhaps told late, or not at all.
    Receipts(Box<Receipts>),
    /// How does the session stand to a conversation? Answered by [`Ask::Described`].
    Describe {
        /// The question's number.
        question: u64,
        /// The conversation.
        conversation: ConversationId,
    },
    /// About filling this device, or another from it.
    Fill(Box<FillNotice>),
    /// Something was dropped because the connection's queue was full: ask for a [`Ask::Recheck`].
    Overflowed,
    /// The engine cannot go on with this connection.
    Failed(Code),
}

/// What the engine tells a connection about filling (I8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FillNotice {
    /// To be passed on.
    News(BootstrapNews),
    /// The device will not get these entries.
    Skip {
        /// Of this conversation.
        conversation: ConversationId,
        /// Which, and why.
        skip: Skip,
    },
    /// A conversation is filled up to here: the log goes on after it.
    Filled(Offset),
    /// Something was refused.
    Failed {
        /// The request's ref.
        reference: Option<Ref>,
        /// Why.
        code: Code,
    },
}

/// How far members of a conversation have got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipts {
    /// The conversation.
    pub conversation: ConversationId,
    /// At most one of each user.
    pub receipts: Vec<Receipt>,
}

/// What became of an append.
pub type SendOutcome = Result<Sent, Code>;

/// A message that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub id: EntryId,
    /// When the server took it.
    pub sent_at: UnixMs,
    /// Whether it had been stored before.
    pub duplicate: bool,
}

/// Where a device's delivery of one conversation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePoint {
    /// The conversation.
    pub conversation: ConversationId,
    /// Delivery starts after this place.
    pub cursor: Seq,
    /// The log's floor.
    pub floor: Seq,
    /// The log's head, read after the consumer was opened.
    pub head: Seq,
    /// Whether the device remembers another log than this one: it is told to take the conversation anew.
    pub reset: bool,
    /// Whether the device is still to be filled with it: nothing of it is delivered before [`FillNotice::Filled`].
    pub unfilled: bool,
    /// Whether the user has left it: nothing comes after the head, and there is no consumer.
    pub ended: bool,
}

/// Entries that will not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// The first that is left out.
    pub from: Seq,
    /// The last that is left out.
    pub to: Seq,
    /// Why.
    pub reason: SkipReason,
}

/// A stretch of a log, as one member may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The conversation.
    pub conversation: ConversationId,
    /// The first entry that was asked for.
    pub from: Seq,
    /// What is left out first, beginning at `from`.
    pub skip: Option<Skip>,
    /// The entries after it, without a gap. None if the log ends here.
    pub entries: Vec<SharedEntry>,
    /// The log's head when it was read.
    pub head: Seq,
    /// Whether a stay of the member ends with this: nothing follows unless the member has joined again.
    pub ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_small() {
        assert!(size_of::<Notice>() <= 48, "{} bytes", size_of::<Notice>());
    }
}
