//! What users show of themselves, whom they know and block, and what they keep about conversations.

use crate::{Committed, StoreError};
use async_trait::async_trait;
use lockstep_model::{
    Alias, AliasName, AliasTarget, Block, Contact, ConversationId, MemberState, Profile, ProfileChange, StateChange,
    UnixMs, UserId,
};

/// Profiles, contacts, blocks, states of conversations, aliases.
///
/// Every command is one commit, durable on return. What it changes for a user stands in that user's feed after the same
/// commit, and in [`Committed::entries`]; a command that changes nothing writes nothing. **Cancellation**: a dropped
/// future may or may not have taken effect; every command may be given again.
#[async_trait]
pub trait People: Send + Sync + 'static {
    /// The profiles of those of these users who exist, in the order asked.
    async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, StoreError>;

    /// Changes a profile. Feed: `profile_changed`.
    async fn change_profile(
        &self,
        user: UserId,
        change: ProfileChange,
        now: UnixMs,
    ) -> Result<Result<Committed<Profile>, PeopleRefusal>, StoreError>;

    /// The contacts of a user in the order of their ids, at most `count` after `after`.
    async fn contacts(&self, user: UserId, after: Option<UserId>, count: u32) -> Result<Vec<Contact>, StoreError>;

    /// Notes a contact, or gives one that is there this name. Feed: `contact_changed`.
    async fn put_contact(
        &self,
        user: UserId,
        contact: UserId,
        name: Option<String>,
        now: UnixMs,
    ) -> Result<Result<Committed<Contact>, PeopleRefusal>, StoreError>;

    /// Removes a contact, if it is one. Feed: `contact_changed`.
    async fn remove_contact(&self, user: UserId, contact: UserId, now: UnixMs) -> Result<Committed<()>, StoreError>;

    /// Whom a user has blocked, in the order of their ids, at most `count` after `after`.
    async fn blocks(&self, user: UserId, after: Option<UserId>, count: u32) -> Result<Vec<Block>, StoreError>;

    /// Blocks a user. From this commit on neither of the two can append to their direct conversation, or make it. Feed:
    /// `block_changed`.
    async fn put_block(
        &self,
        user: UserId,
        blocked: UserId,
        now: UnixMs,
    ) -> Result<Result<Committed<Block>, PeopleRefusal>, StoreError>;

    /// Ends a block, if there is one; one of the other side stays. Feed: `block_changed`.
    async fn remove_block(&self, user: UserId, blocked: UserId, now: UnixMs) -> Result<Committed<()>, StoreError>;

    /// Whether one of two users has blocked the other.
    async fn is_blocked(&self, one: UserId, other: UserId) -> Result<bool, StoreError>;

    /// What a user keeps about these conversations, in their order; the default where nothing has been changed.
    async fn member_states(
        &self,
        user: UserId,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<MemberState>, StoreError>;

    /// Changes what a user keeps about a conversation. Members may change all of it, former members only whether it is
    /// archived. `delete_before` only rises, and not beyond what the user sees. What lies below it belongs to no stay of
    /// the user any more, wherever the store is asked for them. Feed: `member_state`.
    async fn change_state(
        &self,
        user: UserId,
        conversation: ConversationId,
        change: StateChange,
        now: UnixMs,
    ) -> Result<Result<Committed<MemberState>, PeopleRefusal>, StoreError>;

    /// Gives a user or a conversation a name elsewhere. The same again changes nothing; a name that stands for something
    /// else is refused.
    async fn put_alias(&self, alias: Alias, now: UnixMs) -> Result<Result<(), PeopleRefusal>, StoreError>;

    /// What these names stand for, in their order.
    async fn aliases(&self, names: Vec<AliasName>) -> Result<Vec<Option<AliasTarget>>, StoreError>;

    /// Removes a name, if it is there.
    async fn remove_alias(&self, name: AliasName) -> Result<(), StoreError>;
}

/// Why a command about people was refused. Nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeopleRefusal {
    /// A named user does not exist.
    #[error("there is no such user")]
    NoSuchUser,
    /// The conversation does not exist, or the user is none of those who may do this.
    #[error("there is no such conversation for this user")]
    NoSuchConversation,
    /// The user has as many contacts or blocks as are allowed.
    #[error("there are too many contacts or blocks")]
    TooMany,
    /// The name stands for something else.
    #[error("the alias stands for something else")]
    AliasTaken,
}
