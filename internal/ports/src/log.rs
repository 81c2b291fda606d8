//! The log: the truth about every conversation.

use crate::StoreError;
use async_trait::async_trait;
use lockstep_model::{
    Body, Bounds, ClientMsgId, ConversationId, DeviceId, Entry, EntryId, Epoch, Kind, Offset, Sender, Sent, Seq,
    ServiceName, UnixMs, UserId,
};

/// The logs of all conversations.
///
/// **Order**: seqs of a conversation are 1, 2, 3, ... without gaps, in the order of commits. **Durability**: what
/// [`append`](Self::append) returned is on disk (fsync'd) and survives any crash (I1). **Duplicates**: an author's
/// `client_msg_id` is stored once, for at least 30 days (I2). **Cancellation**: a dropped future may or may not have
/// stored its batch; appending the same again is safe.
#[async_trait]
pub trait MessageLog: Send + Sync + 'static {
    /// The identity of this store.
    fn epoch(&self) -> Epoch;

    /// Appends a batch in one commit. The answers stand in the order of the batch; one that is refused does not touch
    /// the others. Two of the batch with the same author and `client_msg_id` are treated as if one came after the other.
    ///
    /// For each: dedupe first (a resend after leaving still gets its answer), then membership and blocks, then what it is about,
    /// then the next seq. A service
    /// is no member of anything: it may write into every conversation but users' feeds, which are the server's own.
    ///
    /// An edit, recall or reaction is about a message of the same conversation that its author may see and that is not
    /// recalled; edits only about the author's own, recalls too, unless the
    /// author is an admin or the owner. A recall erases in the same commit: from then on, readers
    /// find [`Body::recalled`] in place of the message's body and of those of its edits.
    /// A message below the floor can be recalled as long as an edit of it stands that the author may see.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`] if the commit failed: all of the batch is to be sent again.
    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError>;

    /// Reads stretches of logs, many in one query. The answers stand in the order of the question: each holds the
    /// entries that the log has from `from` on, at most `count`, in order, without gaps above the floor.
    ///
    /// # Errors
    ///
    /// [`StoreError::Read`].
    async fn ranges(&self, ranges: Vec<Range>) -> Result<Vec<Vec<Entry>>, StoreError>;

    /// What the logs of these conversations hold; `None` where there is no such conversation.
    ///
    /// # Errors
    ///
    /// [`StoreError::Read`].
    async fn bounds(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Bounds>>, StoreError>;

    /// A mark in the stream of commits, to ask later what has moved since.
    fn mark(&self) -> HeadMark;

    /// The heads of all conversations that were appended to since `mark`, from memory. May name more. `None` if too
    /// much has happened since: compare with [`bounds`](Self::bounds) instead.
    fn moved_since(&self, mark: HeadMark) -> Option<Vec<Offset>>;

    /// Drops the entries below `floor`: they are retention's. The floor never falls, and never rises beyond head + 1.
    ///
    /// # Errors
    ///
    /// [`StoreError::Write`].
    async fn raise_floor(&self, conversation: ConversationId, floor: Seq) -> Result<(), StoreError>;
}

/// An entry to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub conversation: ConversationId,
    /// Who sends it.
    pub author: Author,
    /// The author's name for it.
    pub client_msg_id: ClientMsgId,
    /// What it is.
    pub kind: Kind,
    /// The content.
    pub body: Body,
    /// The id that it gets if it is new.
    pub id: EntryId,
    /// The time that it gets if it is new.
    pub sent_at: UnixMs,
}

/// Who sends an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A device, whose `client_msg_id`s name a message once.
    Device {
        /// Its user, who must be a member.
        user: UserId,
        /// The device.
        device: DeviceId,
    },
    /// A service, whose `client_msg_id`s name a message once. Whether it may write is decided before.
    Service(ServiceName),
}

impl Author {
    /// The sender that its entries have.
    pub fn sender(&self) -> Sender {
        match self {
            Self::Device { user, .. } => Sender::user(user),
            Self::Service(name) => Sender::service(name),
        }
    }

    /// The sender as text.
    pub fn as_sender(&self) -> &str {
        match self {
            Self::Device { user, .. } => user.as_str(),
            Self::Service(name) => name.as_sender(),
        }
    }

    /// The user, if it is a user's device.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Device { user, .. } => Some(user),
            Self::Service(_) => None,
        }
    }

    /// The device, if it is one.
    pub fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Device { device, .. } => Some(*device),
            Self::Service(_) => None,
        }
    }
}

/// What became of an [`Append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log now: publish it.
    New(Entry),
    /// It had been there before: `duplicate` is true. It reaches nobody again.
    Already(Sent),
}

/// Why an [`Append`] was refused. Nothing of it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefusal {
    /// The user is not a member, there is no such conversation, or it is none that services may write into.
    #[error("the author may not write into the conversation")]
    NotMember,
    /// One of the two users of the direct conversation has blocked the other.
    #[error("one of the users has blocked the other")]
    Blocked,
    /// The author has used the `client_msg_id` for another body or conversation.
    #[error("the author has used this client_msg_id for another message")]
    DuplicateId,
    /// What it is about is no message of the conversation that the author may see, or it answers an entry that is not there.
    #[error("there is no such message in the conversation")]
    NoSuchTarget,
    /// It edits or recalls a message of somebody else.
    #[error("the message is another one's")]
    NotYours,
    /// What it is about has been recalled.
    #[error("the message has been recalled")]
    Recalled,
    /// The body has not the form that its kind asks for.
    #[error("the body has not the form of its kind")]
    BadContent,
    /// This row could not be stored, though others of its batch could.
    #[error("the entry could not be stored")]
    Failed,
}

/// A stretch of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The conversation.
    pub conversation: ConversationId,
    /// The first entry.
    pub from: Seq,
    /// How many at most. More than [`Self::COUNT_MAX`] counts as that.
    pub count: u32,
}

impl Range {
    /// The most entries that one range is answered with, so that no question makes a store hold more in memory.
    pub const COUNT_MAX: u32 = 1_000;
}

/// A place in the stream of commits of one running store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct HeadMark(pub u64);
