//! The client of the administration: on the admin socket for everything, or by REST for what administrators do there.

use super::socket_path;
use super::transport::{Way, percent_encoded};
use super::wire::{
    AliasInfo, AliasKey, AliasRequest, GroupInfo, GroupRequest, PasswordRequest, RotateRequest, ServiceInfo,
    ServiceList, ServiceTokenGrant, ServiceTokenRequest, TokenGrant, TokenRequest, UserInfo, UserRequest,
};
use bytes::Bytes;
use hyper::Method;
use lockstep_model::Explanation;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// Why the server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens there, or this user may not.
    #[error("the admin socket {} cannot be opened", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No server is reached there.
    #[error("the server {server} is not reached")]
    Reach {
        /// The server's address.
        server: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The server's URL is none that can be used.
    #[error("{url} is not the URL of a server: it must be http:// and an address such as 127.0.0.1:8080")]
    Url {
        /// What was given.
        url: String,
    },
    /// The exchange broke off.
    #[error("the server did not answer: {reason}")]
    Exchange {
        /// What went wrong.
        reason: String,
    },
    /// The server refused.
    #[error("{detail} ({code})")]
    Refused {
        /// The code.
        code: String,
        /// The sentence.
        detail: String,
    },
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct AdminClient {
    way: Way,
}

impl AdminClient {
    /// A client of the server on this data folder. Connects with each request.
    pub fn new(data: &Path) -> Self {
        Self { way: Way::Socket(socket_path(data)) }
    }

    /// A client of the server at a URL, with the token of a service that has the scope `admin`: for what stands under
    /// `/v1/admin` alone. The token passes in clear text.
    ///
    /// # Errors
    ///
    /// [`AdminError::Url`].
    pub fn at(url: &str, token: &str) -> Result<Self, AdminError> {
        Way::to_server(url, token).map(|way| Self { way })
    }

    /// Makes or finds user and device, and issues a token.
    ///
    /// # Errors
    ///
    /// Each [`AdminError`]; so for the others.
    pub async fn token(&self, request: &TokenRequest) -> Result<TokenGrant, AdminError> {
        self.ask(Method::POST, "/v1/tokens", Some(request)).await
    }

    /// Makes a user, or finds the one that is there.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn ensure_user(&self, user: &str) -> Result<UserInfo, AdminError> {
        self.ask(Method::POST, "/v1/users", Some(&UserRequest { user: user.to_owned() })).await
    }

    /// Gives a user a password, and makes the user if need be.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn set_password(&self, user: &str, password: &str) -> Result<(), AdminError> {
        let path = format!("/v1/users/{}/password", percent_encoded(user));
        let request = PasswordRequest { password: password.to_owned() };
        self.exchange(Method::PUT, &path, Some(&request)).await.map(drop)
    }

    /// Makes a group.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn create_group(&self, request: &GroupRequest) -> Result<GroupInfo, AdminError> {
        self.ask(Method::POST, "/v1/conversations", Some(request)).await
    }

    /// Makes a service or changes its scopes, and issues a token.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn service_token(&self, request: &ServiceTokenRequest) -> Result<ServiceTokenGrant, AdminError> {
        self.ask(Method::POST, "/v1/service-tokens", Some(request)).await
    }

    /// All services.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn services(&self) -> Result<ServiceList, AdminError> {
        self.ask(Method::GET, "/v1/services", None::<&()>).await
    }

    /// Replaces a service's tokens by a new one.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn rotate_service(&self, name: &str, request: &RotateRequest) -> Result<ServiceTokenGrant, AdminError> {
        self.ask(Method::POST, &format!("/v1/services/{}/rotate", percent_encoded(name)), Some(request)).await
    }

    /// Revokes a service. Revoking it again changes nothing.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn revoke_service(&self, name: &str) -> Result<ServiceInfo, AdminError> {
        self.ask(Method::DELETE, &format!("/v1/services/{}", percent_encoded(name)), None::<&()>).await
    }

    /// Makes an alias. The same again changes nothing.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn put_alias(&self, request: &AliasRequest) -> Result<(), AdminError> {
        self.exchange(Method::POST, "/v1/aliases", Some(request)).await.map(drop)
    }

    /// What an alias stands for.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn alias(&self, key: &AliasKey) -> Result<AliasInfo, AdminError> {
        self.ask(Method::POST, "/v1/aliases/find", Some(key)).await
    }

    /// Removes an alias. Removing it again changes nothing.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn remove_alias(&self, key: &AliasKey) -> Result<(), AdminError> {
        self.exchange(Method::POST, "/v1/aliases/remove", Some(key)).await.map(drop)
    }

    /// What became of a message, `CONVERSATION:SEQ` or the id of an entry, for a device.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn explain(&self, device: &str, message: &str) -> Result<Explanation, AdminError> {
        let path = format!("/v1/admin/explain?device={}&message={}", percent_encoded(device), percent_encoded(message));
        self.ask(Method::GET, &path, None::<&()>).await
    }

    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<A, AdminError> {
        let answer = self.exchange(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|_| super::transport::broken("the answer is not of this version"))
    }

    pub(super) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, AdminError> {
        self.way.exchange(method, path, body).await
    }
}
