//! Groups, members and reads by REST (`docs/rest.md`): what a device asks beside its connection.

use crate::rest::{Rest, read};
use crate::{RestError, TokenReason, TokenSource};
use hyper::Method;
use lockstep_protocol::{ConversationId, Receipt, Seq, Unread, UserId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

/// A user's conversations. What is done here reaches the user's devices as entries, like what anybody else does.
#[derive(Clone)]
pub struct Conversations {
    rest: Rest,
    tokens: Arc<dyn TokenSource>,
}

/// A conversation as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// What it is.
    pub kind: ConversationKind,
    /// What it is called.
    #[serde(default)]
    pub title: Option<String>,
    /// The other user of a direct conversation.
    #[serde(default)]
    pub peer: Option<UserId>,
    /// The last entry.
    pub head: Seq,
    /// Whether the user is in it now.
    pub member: bool,
    /// What the user may do in it.
    #[serde(default)]
    pub role: Option<Role>,
}

/// What a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationKind {
    /// Of two users.
    Direct,
    /// Of those who were invited.
    Group,
    /// Open to join.
    Room,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// A member of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// What the member may do.
    pub role: Role,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Owner,
    /// Invite and remove members, change the title.
    Admin,
    /// Read, write and leave.
    Member,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// How much is unread in all conversations together: what a badge shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct UnreadTotal {
    /// Messages of others.
    pub unread: u64,
    /// Whether there are more than that.
    pub more: bool,
    /// How many of them mention the user.
    pub mentions: u64,
    /// Conversations that the user wants to look unread.
    pub marked: u64,
}

impl Conversations {
    /// The conversations at the server at a URL such as `http://127.0.0.1:8080`, of the user that the tokens are of.
    pub fn new(url: impl Into<String>, tokens: Arc<dyn TokenSource>) -> Self {
        Self { rest: Rest::new(url), tokens }
    }

    /// Makes a group of the user and these.
    ///
    /// # Errors
    ///
    /// See [`RestError`]; so for the others.
    pub async fn make_group(&self, title: Option<&str>, members: &[UserId]) -> Result<Conversation, RestError> {
        let mut request = json!({"kind": "group", "members": members});
        if let Some(title) = title {
            request["title"] = json!(title);
        }
        self.ask(Method::POST, "/v1/conversations", &request).await
    }

    /// All conversations, lately active ones first, those that the user has left too.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn list(&self) -> Result<Vec<Conversation>, RestError> {
        self.pages("/v1/conversations", "conversations").await
    }

    /// The members, in order of joining.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn members(&self, conversation: ConversationId) -> Result<Vec<Member>, RestError> {
        self.pages(&format!("/v1/conversations/{conversation}/members"), "members").await
    }

    /// Invites users, and gives those who were no members before.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn invite(&self, conversation: ConversationId, users: &[UserId]) -> Result<Vec<UserId>, RestError> {
        #[derive(Deserialize)]
        struct Answer {
            added: Vec<UserId>,
        }
        let path = format!("/v1/conversations/{conversation}/members");
        let Answer { added } = self.ask(Method::POST, &path, &json!({"users": users})).await?;
        Ok(added)
    }

    /// Removes a member.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn remove(&self, conversation: ConversationId, user: &UserId) -> Result<(), RestError> {
        self.exchange(Method::DELETE, &member(conversation, user), &json!({})).await.map(drop)
    }

    /// Hands the group over: the user is the owner from now on, and the one who was stays an admin.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn hand_over(&self, conversation: ConversationId, user: &UserId) -> Result<(), RestError> {
        self.exchange(Method::PATCH, &member(conversation, user), &json!({"role": "owner"})).await.map(drop)
    }

    /// Leaves. What was there until then can still be read.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn leave(&self, conversation: ConversationId) -> Result<(), RestError> {
        let path = format!("/v1/conversations/{conversation}/leave");
        self.exchange(Method::POST, &path, &json!({})).await.map(drop)
    }

    /// How much is unread in these, at most 100; those that the user never was in are left out.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn unread(&self, conversations: &[ConversationId]) -> Result<Vec<Unread>, RestError> {
        #[derive(Deserialize)]
        struct Answer {
            conversations: Vec<Unread>,
        }
        let ids: Vec<String> = conversations.iter().map(ConversationId::to_string).collect();
        let path = format!("/v1/reads?conversations={}", ids.join(","));
        let Answer { conversations } = self.ask(Method::GET, &path, &Value::Null).await?;
        Ok(conversations)
    }

    /// How much is unread in all of them that are neither archived nor muted.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn unread_total(&self) -> Result<UnreadTotal, RestError> {
        self.ask(Method::GET, "/v1/reads/total", &Value::Null).await
    }

    /// How far the others have got, in order of joining.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub async fn receipts(&self, conversation: ConversationId) -> Result<Vec<Receipt>, RestError> {
        self.pages(&format!("/v1/conversations/{conversation}/receipts"), "receipts").await
    }

    /// All pages of a list, which each answer holds under a name.
    async fn pages<T: DeserializeOwned>(&self, path: &str, name: &str) -> Result<Vec<T>, RestError> {
        let mut all = Vec::new();
        let mut next = path.to_owned();
        loop {
            let mut page: Value = self.ask(Method::GET, &next, &Value::Null).await?;
            let rows: Vec<T> = serde_json::from_value(page[name].take()).map_err(|_| RestError::senseless())?;
            all.extend(rows);
            match page["next"].as_str() {
                Some(cursor) => next = format!("{path}?cursor={}", segment(cursor)),
                None => return Ok(all),
            }
        }
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Value) -> Result<T, RestError> {
        read(&self.exchange(method, path, body).await?)
    }

    async fn exchange(&self, method: Method, path: &str, body: &Value) -> Result<hyper::body::Bytes, RestError> {
        let token = self.tokens.token(TokenReason::Connect).await?;
        Ok(self.rest.exchange(method, path, Some(&token), body).await?.1)
    }
}

fn member(conversation: ConversationId, user: &UserId) -> String {
    format!("/v1/conversations/{conversation}/members/{}", segment(user.as_str()))
}

/// A text as part of a URL (RFC 3986, section 2.3): all but unreserved characters are written as their bytes.
fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // A text takes whatever is written into it.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_user_fits_into_a_url() {
        for (text, expected) in [("ana-1.x_~", "ana-1.x_~"), ("a/b?c", "a%2Fb%3Fc"), ("é ", "%C3%A9%20")] {
            assert_eq!(segment(text), expected);
        }
    }

    #[test]
    fn what_a_later_server_says_is_not_in_the_way() {
        let member: Member = serde_json::from_str(r#"{"user":"ana","role":"guest","since":1}"#).expect("a member");
        assert_eq!(member.role, Role::Other);
    }
}
