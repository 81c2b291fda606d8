//! Conversations by REST (`docs/rest.md`): what a device asks beside its connection.

mod reads;
mod types;

pub use types::{
    Conversation, ConversationKind, DetailsChange, Draft, History, HistoryPage, JsonObject, Member, MemberState, Role,
    Slice, UnreadTotal,
};

use crate::requests::{Requests, segment};
use crate::{RestError, TokenSource};
use hyper::Method;
use lockstep_protocol::{ConversationId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A user's conversations. What is done here reaches the user's devices as entries, like what anybody else does.
#[derive(Clone)]
pub struct Conversations {
    requests: Requests,
}

/// Which there are, and what they are.
impl Conversations {
    /// The conversations at the server at a URL such as `http://127.0.0.1:8080`, of the user that the tokens are of.
    pub fn new(url: impl Into<String>, tokens: Arc<dyn TokenSource>) -> Self {
        Self { requests: Requests::new(url, tokens) }
    }

    /// Makes a group of the user and others. The user owns it.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_user`, `blocked`, `too_many_conversations`, `too_many_members` or `bad_request`.
    pub async fn make_group(&self, draft: &Draft) -> Result<Conversation, RestError> {
        self.make("group", draft).await
    }

    /// Makes a room, which whoever knows its id may look at and join. The user owns it.
    ///
    /// # Errors
    ///
    /// As [`Conversations::make_group`].
    pub async fn make_room(&self, draft: &Draft) -> Result<Conversation, RestError> {
        self.make("room", draft).await
    }

    /// Makes the one conversation with another user, or gives it if it is there.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_user`, `blocked` or `too_many_conversations`.
    pub async fn open_direct(&self, user: &UserId) -> Result<Conversation, RestError> {
        let request = json!({"kind": "direct", "user": user});
        self.requests.ask(Method::POST, "/v1/conversations", &request).await
    }

    /// All conversations, lately active ones first, those that the user has left too.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn list(&self) -> Result<Vec<Conversation>, RestError> {
        self.requests.pages("/v1/conversations", "conversations").await
    }

    /// One conversation of the user's, or any room.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`.
    pub async fn show(&self, conversation: ConversationId) -> Result<Conversation, RestError> {
        self.requests.get(&path(conversation)).await
    }

    /// Changes title and the like, for admins and the owner.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`, `direct_conversation`, `forbidden` or `bad_request`.
    pub async fn change(
        &self,
        conversation: ConversationId,
        change: &DetailsChange,
    ) -> Result<Conversation, RestError> {
        self.requests.ask(Method::PATCH, &path(conversation), &json!(change)).await
    }

    async fn make(&self, kind: &str, draft: &Draft) -> Result<Conversation, RestError> {
        let mut request = json!(draft);
        request["kind"] = json!(kind);
        self.requests.ask(Method::POST, "/v1/conversations", &request).await
    }
}

/// Who is in them.
impl Conversations {
    /// The members, in order of joining.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`.
    pub async fn members(&self, conversation: ConversationId) -> Result<Vec<Member>, RestError> {
        self.requests.pages(&format!("{}/members", path(conversation)), "members").await
    }

    /// Invites at most 1,000 users, for admins and the owner, and gives those who were no members before.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`, `direct_conversation`, `forbidden`, `no_such_user`, `blocked`,
    /// `too_many_conversations` or `too_many_members`; then nobody is invited.
    pub async fn invite(&self, conversation: ConversationId, users: &[UserId]) -> Result<Vec<UserId>, RestError> {
        #[derive(Deserialize)]
        struct Answer {
            added: Vec<UserId>,
        }
        let path = format!("{}/members", path(conversation));
        let Answer { added } = self.requests.ask(Method::POST, &path, &json!({"users": users})).await?;
        Ok(added)
    }

    /// Removes a member: the owner anybody, an admin plain members, everybody oneself.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`, `direct_conversation`, `forbidden` or `no_such_member`.
    pub async fn remove(&self, conversation: ConversationId, user: &UserId) -> Result<(), RestError> {
        self.requests.tell(Method::DELETE, &member(conversation, user), &Value::Null).await
    }

    /// Gives a member a role, which only the owner may. The role of the owner hands the conversation over.
    ///
    /// # Errors
    ///
    /// As [`Conversations::remove`].
    pub async fn set_role(&self, conversation: ConversationId, user: &UserId, role: Role) -> Result<(), RestError> {
        self.requests.tell(Method::PATCH, &member(conversation, user), &json!({"role": role})).await
    }

    /// Hands the group over: the user is the owner from now on, and the one who was stays an admin.
    ///
    /// # Errors
    ///
    /// As [`Conversations::set_role`].
    pub async fn hand_over(&self, conversation: ConversationId, user: &UserId) -> Result<(), RestError> {
        self.set_role(conversation, user, Role::Owner).await
    }

    /// Joins a room. Joining again changes nothing.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation`, also for a group; `too_many_conversations` or `too_many_members`.
    pub async fn join(&self, conversation: ConversationId) -> Result<Conversation, RestError> {
        self.requests.ask(Method::POST, &format!("{}/join", path(conversation)), &Value::Null).await
    }

    /// Leaves. What was there until then can still be read.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_conversation` or `direct_conversation`.
    pub async fn leave(&self, conversation: ConversationId) -> Result<(), RestError> {
        self.requests.tell(Method::POST, &format!("{}/leave", path(conversation)), &Value::Null).await
    }
}

fn path(conversation: ConversationId) -> String {
    format!("/v1/conversations/{conversation}")
}

fn member(conversation: ConversationId, user: &UserId) -> String {
    format!("{}/members/{}", path(conversation), segment(user.as_str()))
}
