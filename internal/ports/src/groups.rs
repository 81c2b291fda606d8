//! Groups and rooms: who is in them, in which role, and what they are called.

use crate::{Committed, Followed, NewConversation, StoreError};
use async_trait::async_trait;
use lockstep_model::{
    Conversation, ConversationId, CustomObject, DetailsChange, DeviceId, History, MemberState, Role, UnixMs, UserId,
};

/// Groups and rooms, and the stays of their members (I11, I12).
///
/// Every command is one commit, durable on return: the change, a system entry about it in the conversation's log
/// ([`LogChange`](lockstep_model::LogChange)), and one in the feed of each user who comes or goes. Membership and role are
/// checked in that same transaction. A command that changes nothing writes nothing and returns no entries, so that each may
/// be given again. **Cancellation**: a dropped future may or may not have taken effect.
///
/// The rows that a command writes depend on whom it names, not on how many members there are.
///
/// A conversation with members has one owner. If the owner leaves, the admin who joined first becomes owner, else the
/// member who did; who joins a room without members owns it.
#[async_trait]
pub trait Groups: Send + Sync + 'static {
    /// Makes a group or room, whose creator owns it. One that is there under this id is returned as it is. Log: `created`,
    /// and `members_added` for those besides the creator. Feeds: `conversation_added`. Nobody is put into a conversation by
    /// one whom they have blocked: `Blocked`.
    async fn create_group(&self, group: NewGroup) -> Result<Result<Committed<Conversation>, GroupRefusal>, StoreError>;

    /// A conversation as a user finds it; `None` if there is none. Feeds are no conversations here. What stands in it
    /// is of one moment: who goes on from its head in the log misses nothing.
    async fn standing(&self, user: UserId, conversation: ConversationId) -> Result<Option<Standing>, StoreError>;

    /// What a device follows in these conversations, with all stays of its user, however long they are over. Those that the
    /// user never was in are left out; in any order.
    async fn followed_in(
        &self,
        user: UserId,
        device: DeviceId,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<Followed>, StoreError>;

    /// What a device follows in one conversation; `None` if its user never was a member.
    async fn followed_one(
        &self,
        user: UserId,
        device: DeviceId,
        conversation: ConversationId,
    ) -> Result<Option<Followed>, StoreError> {
        Ok(self.followed_in(user, device, vec![conversation]).await?.pop())
    }

    /// Changes title, avatar and the like: admins and the owner may. Log: `changed`, with what is different.
    async fn change_details(
        &self,
        actor: Actor,
        change: DetailsChange,
    ) -> Result<Result<Committed<Conversation>, GroupRefusal>, StoreError>;

    /// Makes users members: admins and the owner may. The users stand there once. Returns those who were none before.
    /// Log: `members_added`. Feeds: `conversation_added`. As in making one, nobody is added who has blocked the actor.
    async fn add_members(
        &self,
        actor: Actor,
        users: Vec<UserId>,
    ) -> Result<Result<Committed<Vec<UserId>>, GroupRefusal>, StoreError>;

    /// Makes the actor a member of a room. Log: `member_joined`. Feed: `conversation_added`.
    async fn join(&self, actor: Actor) -> Result<Result<Committed<Conversation>, GroupRefusal>, StoreError>;

    /// Ends the actor's stay. Log: `member_left`, and before it `owner_changed` if somebody has to take over. Feed:
    /// `conversation_removed`.
    async fn leave(&self, actor: Actor) -> Result<Result<Committed<()>, GroupRefusal>, StoreError>;

    /// Ends another member's stay: the owner may, and admins that of a plain member. Log: `member_removed`. Feed:
    /// `conversation_removed`.
    async fn remove_member(
        &self,
        actor: Actor,
        member: UserId,
    ) -> Result<Result<Committed<()>, GroupRefusal>, StoreError>;

    /// Gives a member a role: the owner may. Who is made owner takes the place of the actor, who becomes an admin. Log:
    /// `role_changed` or `owner_changed`.
    async fn set_role(
        &self,
        actor: Actor,
        member: UserId,
        role: Role,
    ) -> Result<Result<Committed<()>, GroupRefusal>, StoreError>;
}

/// Who does something, where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub user: UserId,
    /// Where.
    pub conversation: ConversationId,
    /// The time.
    pub now: UnixMs,
}

/// A group or room to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// The conversation. The creator stands first among its members.
    pub conversation: NewConversation,
    /// Its avatar.
    pub avatar: Option<String>,
    /// The application's own.
    pub custom: Option<CustomObject>,
    /// What newcomers will see.
    pub history: History,
}

/// A conversation as a user finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The conversation.
    pub conversation: Conversation,
    /// The user's role; absent if the user is no member now.
    pub role: Option<Role>,
    /// For direct ones, the other user.
    pub peer: Option<UserId>,
    /// What the user keeps about it.
    pub state: MemberState,
}

/// Why a command about a group was refused. Nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefusal {
    /// There is none of this id, or the actor is no member of it.
    #[error("there is no such conversation for the actor")]
    NoSuchConversation,
    /// It is a direct one.
    #[error("the conversation is a direct one")]
    Direct,
    /// The actor's role does not allow it.
    #[error("the actor's role does not allow it")]
    Forbidden,
    /// A named user does not exist.
    #[error("there is no such user")]
    NoSuchUser,
    /// The named user is no member.
    #[error("the user is no member")]
    NoSuchMember,
    /// Somebody would be in too many conversations.
    #[error("a user is in too many conversations")]
    TooManyConversations,
    /// One of those who would become members has blocked the actor.
    #[error("somebody has blocked the actor")]
    Blocked,
    /// The conversation would have too many members.
    #[error("the conversation has too many members")]
    TooManyMembers,
}
