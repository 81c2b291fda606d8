//! What is asked about messages beside the log itself: who may know of whom, and what has grown too old.

use crate::StoreError;
use async_trait::async_trait;
use lockstep_model::{ConversationId, Retention, Seq, UnixMs, UserId};

/// Questions about conversations as a whole, none of which changes anything.
#[async_trait]
pub trait Messages: Send + Sync + 'static {
    /// Those of these users with whom a user shares a direct conversation that both are members of, in the order asked;
    /// without those between whom and the user a block stands.
    async fn direct_peers(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<UserId>, StoreError>;

    /// Whether others may hear of a user in a conversation what is kept nowhere: a member now, and not across a block.
    async fn is_heard(&self, user: UserId, conversation: ConversationId) -> Result<bool, StoreError>;

    /// Which logs hold what they need not keep at this time: looks at the next `count` conversations after `after`, in the
    /// order of their ids. A floor rises by at most [`Expired::ENTRIES_MAX`] at once: ask again after raising it.
    async fn expired(
        &self,
        retention: Retention,
        now: UnixMs,
        after: Option<ConversationId>,
        count: u32,
    ) -> Result<Expired, StoreError>;
}

/// What a look at some conversations has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expired {
    /// Floors that may rise, and where to.
    pub floors: Vec<(ConversationId, Seq)>,
    /// The last conversation that was looked at, to go on after it; absent after the last one of all.
    pub next: Option<ConversationId>,
}

impl Expired {
    /// The most entries of a conversation that are given up at once, so that nobody waits long for the commit.
    pub const ENTRIES_MAX: u64 = 500;
}
