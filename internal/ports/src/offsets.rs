//! Read offsets: per user and conversation, the place up to which the user has read.

use crate::StoreError;
use async_trait::async_trait;
use lockstep_model::{ConversationId, Offset, OffsetsVersion, Seq, UserId};

/// Read offsets (I5): they only ever rise within an epoch, and the maximum wins whatever the order of arrival.
#[async_trait]
pub trait Offsets: Send + Sync + 'static {
    /// Raises an offset to at least `seq`, durable on return. The user's version rises with every offset that moved.
    async fn advance(&self, user: UserId, conversation: ConversationId, seq: Seq) -> Result<Advanced, StoreError>;

    /// The offsets of a user that changed after `since`, in order of version, at most `count`. The change's version is
    /// that of the last one named, or the user's newest if none is left.
    async fn changed_since(&self, user: UserId, since: OffsetsVersion, count: u32)
    -> Result<OffsetsChange, StoreError>;

    /// The offsets of a user in these conversations; 0 where nothing has been read.
    async fn offsets(&self, user: UserId, conversations: Vec<ConversationId>) -> Result<Vec<Offset>, StoreError>;
}

/// What became of an advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advanced {
    /// The offset now.
    pub seq: Seq,
    /// The user's version now.
    pub version: OffsetsVersion,
    /// Whether it moved.
    pub moved: bool,
}

/// Offsets that changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetsChange {
    /// The version that a reader has who took them.
    pub version: OffsetsVersion,
    /// The changed ones.
    pub offsets: Vec<Offset>,
}
