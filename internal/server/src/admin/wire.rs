//! What stands on the admin socket: JSON requests and answers, shared by the API and its client.

use serde::{Deserialize, Serialize};

/// Asks for a token: `POST /v1/tokens`. The user is made if need be; so is the device, unless the user has one of this
/// name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Whose token.
    pub user: String,
    /// The device's name.
    pub device_name: String,
    /// `main` or `sub`, if the device is to be made.
    pub kind: String,
    /// Whether the device, if it is to be made, is to be filled by a main device of the user, as linked ones are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfilled: bool,
    /// How long the token is good for, in seconds; the configured time if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// Asks for a service's token: `POST /v1/service-tokens`. The service is made if need be, and gets these scopes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTokenRequest {
    /// The service's name.
    pub name: String,
    /// What its tokens allow: `publish:*`, `publish:` and a conversation's id, or `admin`.
    pub scopes: Vec<String>,
    /// How long the token is good for, in seconds; 365 days if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// Replaces a service's tokens: `POST /v1/services/{name}/rotate`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// How long the tokens of the generation before are still good, in seconds; 24 hours if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u64>,
    /// How long the new token is good for, in seconds; 365 days if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
}

/// A service's token and what it is good for.
#[derive(Clone, Serialize, Deserialize)]
pub struct ServiceTokenGrant {
    /// The token: a secret.
    pub token: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_at: u64,
    /// The service.
    pub service: ServiceInfo,
}

impl std::fmt::Debug for ServiceTokenGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceTokenGrant").field("service", &self.service).finish_non_exhaustive()
    }
}

/// All services: `GET /v1/services`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceList {
    /// In the order of their names, revoked ones too.
    pub services: Vec<ServiceInfo>,
}

/// A service. `DELETE /v1/services/{name}` revokes one and answers with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Its name.
    pub name: String,
    /// What its tokens allow.
    pub scopes: Vec<String>,
    /// The generation of its newest tokens.
    pub generation: u64,
    /// Until when tokens of the generation before are good, in milliseconds since 1970.
    pub previous_until: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// When its tokens were last replaced.
    #[serde(default)]
    pub rotated_at: Option<u64>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<u64>,
}

/// A token and what it opens.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenGrant {
    /// The token: a secret.
    pub token: String,
    /// Whose it is.
    pub user: String,
    /// Of which device.
    pub device: String,
    /// What the device is: it may have been there already.
    pub kind: String,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_at: u64,
}

impl std::fmt::Debug for TokenGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenGrant").field("user", &self.user).field("device", &self.device).finish_non_exhaustive()
    }
}

/// Makes a user: `POST /v1/users`. Making one again changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// The user's id.
    pub user: String,
}

/// Gives a user a password: `PUT /v1/users/{id}/password`. The user is made if need be.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The password: a secret.
    pub password: String,
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserInfo {
    /// The user's id.
    pub user: String,
    /// The user's feed.
    pub feed: String,
    /// When the user was made, in milliseconds since 1970.
    pub created_at: u64,
}

/// Makes a group: `POST /v1/conversations`. The members must exist.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRequest {
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who is in it.
    pub members: Vec<String>,
    /// Who makes it; the first member if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
}

/// A conversation that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupInfo {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: Option<String>,
}

/// An id elsewhere: asked for by `POST /v1/aliases/find`, removed by `POST /v1/aliases/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasKey {
    /// Whose ids they are, such as another protocol's.
    pub namespace: String,
    /// The id there.
    pub external: String,
}

/// What an alias stands for: one of the two, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasInfo {
    /// A user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
}

/// Makes an alias: `POST /v1/aliases`. What it is to stand for must exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRequest {
    /// The id elsewhere.
    #[serde(flatten)]
    pub key: AliasKey,
    /// What it is to stand for.
    #[serde(flatten)]
    pub target: AliasInfo,
}
