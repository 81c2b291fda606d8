//! What a device keeps: the contract of a local store, and two that keep it.

mod history;
mod memory;
mod sqlite;

pub use history::HistorySource;
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

use async_trait::async_trait;
use lockstep_protocol::{
    Body, ClientMsgId, ConversationId, Cursor, Entry, Epoch, Kind, Offset, OffsetsVersion, Seq, Target, UserId,
};
use std::collections::{BTreeMap, BTreeSet};

/// A local store failed. The sentence names the operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A message that waits for the server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// Names the message once.
    pub client_msg_id: ClientMsgId,
    /// Where to.
    pub target: Target,
    /// What it is.
    pub kind: Kind,
    /// The content.
    pub body: Body,
}

/// All that a client needs to go on where it stood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Whose store it is; absent until the first `welcome`.
    pub user: Option<UserId>,
    /// The user's feed.
    pub feed: Option<ConversationId>,
    /// The identity of the server's store that the cursors belong to.
    pub epoch: Option<Epoch>,
    /// Where the device stands in each conversation, the feed included.
    pub cursors: BTreeMap<ConversationId, Cursor>,
    /// The conversations that the user has left: their cursors stay, and are not shown any more.
    pub left: BTreeSet<ConversationId>,
    /// Conversations that are being filled, and up to where they are stored. They have no cursor yet.
    pub partial: BTreeMap<ConversationId, Seq>,
    /// The newest version of read offsets.
    pub offsets_version: OffsetsVersion,
    /// The user's read offsets.
    pub offsets: BTreeMap<ConversationId, Seq>,
    /// Messages without an answer, in the order in which they were added.
    pub outbox: Vec<OutboxItem>,
    /// Read offsets that the server has not confirmed.
    pub reads: BTreeMap<ConversationId, Seq>,
}

/// One change of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Whose store it is, and the user's feed.
    Identity {
        /// The user.
        user: UserId,
        /// The feed.
        feed: ConversationId,
    },
    /// The cursors belong to this epoch now.
    Epoch(Epoch),
    /// Keep an entry and move its conversation's cursor to it. The same again changes nothing. A recall also erases: the
    /// body of its message, and those of the message's edits, become the stub that the server keeps in their place.
    Entry(Entry),
    /// Move a cursor without an entry.
    Cursor {
        /// The conversation.
        conversation: ConversationId,
        /// The place.
        cursor: Cursor,
    },
    /// Drop a conversation's entries and cursor; go on after the given place.
    Reset {
        /// The conversation.
        conversation: ConversationId,
        /// The place.
        cursor: Cursor,
    },
    /// Keep an entry of a conversation that is being filled: no cursor moves. Else as [`Change::Entry`].
    Past(Entry),
    /// A conversation that is being filled is stored up to here.
    Partial(Offset),
    /// A conversation is filled: it is partial no more, and has a cursor.
    Filled {
        /// The conversation.
        conversation: ConversationId,
        /// The place.
        cursor: Cursor,
    },
    /// Drop what there is of a conversation that was being filled.
    PartialDropped(ConversationId),
    /// The user has left this conversation.
    Left(ConversationId),
    /// The user is a member of this conversation, perhaps again.
    Joined(ConversationId),
    /// Keep these read offsets and this version. An offset never sinks.
    Offsets {
        /// The version; absent if the change has none.
        version: Option<OffsetsVersion>,
        /// The changed ones.
        offsets: Vec<Offset>,
    },
    /// Drop all read offsets and their version: they belong to another epoch.
    OffsetsDropped,
    /// Add a message to the end of the outbox. The same id again changes nothing.
    OutboxAdded(OutboxItem),
    /// Remove a message from the outbox, if it is there.
    OutboxRemoved(ClientMsgId),
    /// Keep a read offset that the server has yet to confirm. It never sinks.
    ReadWanted(Offset),
    /// Forget a kept read offset, unless it is higher by now.
    ReadSettled(Offset),
}

/// Where a device keeps its state and history. One client uses a store at a time.
#[async_trait]
pub trait LocalStore: Send + Sync {
    /// Everything but the history.
    async fn load(&self) -> Result<State, StoreError>;

    /// Makes all changes, in order, or none: durable on return as far as the store is durable at all. A call that is
    /// dropped before it is done has made all or none.
    async fn apply(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// The newest entries of a conversation, at most `limit`, in seq order.
    async fn history(&self, conversation: ConversationId, limit: usize) -> Result<Vec<Entry>, StoreError>;
}
