//! What operators look at and decide.

use crate::StoreError;
use async_trait::async_trait;
use lockstep_model::{Conversation, ConversationId, Device, UnixMs, UserId};

/// Users and conversations as operators see them: never what they write to one another. A part of the
/// [`Directory`](crate::Directory).
///
/// Every command is one commit, durable on return. **Cancellation**: a dropped future may or may not have taken effect;
/// every command may be given again.
#[async_trait]
pub trait Admin: Send + Sync + 'static {
    /// Users in the order of their ids: at most `count` of those whose id begins with `prefix` and comes after `after`.
    /// Reads no more rows than it returns.
    async fn user_records(
        &self,
        prefix: String,
        after: Option<UserId>,
        count: u32,
    ) -> Result<Vec<UserRecord>, StoreError>;

    /// One user.
    async fn user_record(&self, user: UserId) -> Result<Option<UserRecord>, StoreError>;

    /// Disables a user: from here on no device of the user signs in, connects or makes a request. All refresh tokens are
    /// forgotten and the token generations of all devices are raised: no token of before is good again after
    /// [`enable_user`](Self::enable_user). The devices stay, and are returned as they are then. Disabling a user again
    /// changes nothing and returns them too: the answer may have been lost. Absent if there is no such user.
    async fn disable_user(&self, user: UserId, now: UnixMs) -> Result<Option<Vec<Device>>, StoreError>;

    /// Lets a user sign in again. Enabling one who is not disabled changes nothing; false if there is no such user.
    async fn enable_user(&self, user: UserId) -> Result<bool, StoreError>;

    /// A conversation, whoever is in it; feeds too.
    async fn conversation(&self, conversation: ConversationId) -> Result<Option<Conversation>, StoreError>;
}

/// A user as operators see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The id.
    pub id: UserId,
    /// What the user is called.
    pub name: Option<String>,
    /// The user's feed.
    pub feed: ConversationId,
    /// When the user was made.
    pub created_at: UnixMs,
    /// Since when the user is disabled.
    pub disabled_at: Option<UnixMs>,
    /// How many devices have not been removed.
    pub devices: u64,
    /// In how many conversations the user is, the feed not among them.
    pub conversations: u64,
}
