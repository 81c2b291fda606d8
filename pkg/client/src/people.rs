//! Profiles, contacts, blocks and settings by REST (`docs/rest.md`).

use crate::conversations::JsonObject;
use crate::requests::{Requests, segment};
use crate::{RestError, TokenSource};
use hyper::Method;
use lockstep_protocol::{UnixMs, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a user tells of oneself, and keeps about others. The user's own devices hear of each change by the feed; nobody
/// else is told.
#[derive(Clone)]
pub struct People {
    requests: Requests,
}

/// What a user tells of oneself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Profile {
    /// Who.
    pub id: UserId,
    /// What people call the user.
    #[serde(default)]
    pub name: Option<String>,
    /// Where the user's picture is.
    #[serde(default)]
    pub avatar: Option<String>,
    /// What the application keeps with it.
    #[serde(default)]
    pub custom: JsonObject,
}

/// What is to change of the own profile: what is absent stays, an inner `None` takes away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ProfileChange {
    /// What people call the user, in 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<String>>,
    /// Where the picture is: an http or https URL of at most 2,048 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Option<String>>,
    /// What the application keeps with it, in at most 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Option<JsonObject>>,
}

/// Somebody whom the user wants to find again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Contact {
    /// Who.
    pub user: UserId,
    /// What the user calls the contact.
    #[serde(default)]
    pub name: Option<String>,
    /// Since when.
    pub created_at: UnixMs,
}

/// Somebody with whom the user exchanges no direct messages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Block {
    /// Who.
    pub user: UserId,
    /// Since when.
    pub created_at: UnixMs,
}

/// What others hear of the user's devices. Who does not tell something does not hear it of others either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct ReceiptSettings {
    /// How far they have got.
    pub delivered: bool,
    /// How far the user has read.
    pub read: bool,
}

/// What is to change of the receipts. What is absent stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ReceiptSettingsChange {
    /// Whether others hear how far the devices have got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<bool>,
    /// Whether others hear how far the user has read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<bool>,
}

/// All settings of a user, as they stand on the wire.
#[derive(Deserialize)]
struct Settings {
    receipts: ReceiptSettings,
}

/// Profiles and settings.
impl People {
    /// The people at the server at a URL such as `http://127.0.0.1:8080`, as the user sees them that the tokens are of.
    pub fn new(url: impl Into<String>, tokens: Arc<dyn TokenSource>) -> Self {
        Self { requests: Requests::new(url, tokens) }
    }

    /// The user's own profile.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn own_profile(&self) -> Result<Profile, RestError> {
        self.requests.get("/v1/profile").await
    }

    /// Changes the user's own profile, and gives all of it.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `bad_request`, which names the field that does not fit.
    pub async fn change_profile(&self, change: &ProfileChange) -> Result<Profile, RestError> {
        self.requests.ask(Method::PATCH, "/v1/profile", &json!(change)).await
    }

    /// Anybody's profile.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_user`.
    pub async fn profile(&self, user: &UserId) -> Result<Profile, RestError> {
        self.requests.get(&one("users", user)).await
    }

    /// The profiles of those that exist, in the order asked: of 1 to 100 users at once. One whose id has a comma has to
    /// be asked for alone, by [`People::profile`].
    ///
    /// # Errors
    ///
    /// [`RestError`] with `bad_request` for none or too many.
    pub async fn profiles(&self, users: &[UserId]) -> Result<Vec<Profile>, RestError> {
        let ids: Vec<String> = users.iter().map(|user| segment(user.as_str())).collect();
        self.requests.part(&format!("/v1/users?ids={}", ids.join(",")), "users").await
    }

    /// What others hear of the user's devices.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn receipt_settings(&self) -> Result<ReceiptSettings, RestError> {
        self.requests.part("/v1/profile/settings", "receipts").await
    }

    /// Changes what others hear of the user's devices, and gives all of it.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn change_receipt_settings(&self, change: ReceiptSettingsChange) -> Result<ReceiptSettings, RestError> {
        let request = json!({"receipts": change});
        let Settings { receipts } = self.requests.ask(Method::PATCH, "/v1/profile/settings", &request).await?;
        Ok(receipts)
    }
}

/// What the user keeps about others.
impl People {
    /// All contacts, in the order of their ids.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn contacts(&self) -> Result<Vec<Contact>, RestError> {
        self.requests.pages("/v1/contacts", "contacts").await
    }

    /// Makes somebody a contact, or gives a contact another name; without a name the contact has none.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_user`, also for oneself; `too_many_contacts` or `bad_request`.
    pub async fn put_contact(&self, user: &UserId, name: Option<&str>) -> Result<Contact, RestError> {
        self.requests.ask(Method::PUT, &one("contacts", user), &json!({"name": name})).await
    }

    /// Removes a contact. One that is none stays none.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn remove_contact(&self, user: &UserId) -> Result<(), RestError> {
        self.requests.tell(Method::DELETE, &one("contacts", user), &Value::Null).await
    }

    /// All whom the user has blocked, in the order of their ids.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn blocks(&self) -> Result<Vec<Block>, RestError> {
        self.requests.pages("/v1/blocks", "blocks").await
    }

    /// Stops direct messages with somebody, both ways. Blocking again changes nothing.
    ///
    /// # Errors
    ///
    /// [`RestError`] with `no_such_user`, also for oneself, or `too_many_contacts`.
    pub async fn block(&self, user: &UserId) -> Result<Block, RestError> {
        self.requests.ask(Method::PUT, &one("blocks", user), &Value::Null).await
    }

    /// Ends a block. Where there is none, nothing changes.
    ///
    /// # Errors
    ///
    /// [`RestError`] with what any request is refused with.
    pub async fn unblock(&self, user: &UserId) -> Result<(), RestError> {
        self.requests.tell(Method::DELETE, &one("blocks", user), &Value::Null).await
    }
}

fn one(list: &str, user: &UserId) -> String {
    format!("/v1/{list}/{}", segment(user.as_str()))
}
