//! The client of the admin socket: one short HTTP/1.1 connection per request.

use super::socket_path;
use super::wire::{
    AliasInfo, AliasKey, AliasRequest, DeviceList, GroupInfo, GroupRequest, PasswordRequest, RemovalInfo,
    RotateRequest, ServiceInfo, ServiceList, ServiceTokenGrant, ServiceTokenRequest, TeardownList, TokenGrant,
    TokenRequest, UserInfo, UserRequest,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// A server that answers later than this is taken for hung.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read; no answer of the API comes near it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why the admin socket did not do what was asked.
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
    /// The exchange broke off.
    #[error("the server did not answer on its admin socket: {reason}")]
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

/// A client of the server that runs on a data folder.
#[derive(Debug, Clone)]
pub struct AdminClient {
    path: PathBuf,
}

impl AdminClient {
    /// A client of the server on this data folder. Connects with each request.
    pub fn new(data: &Path) -> Self {
        Self { path: socket_path(data) }
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

    /// The devices of a user.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn devices(&self, user: &str) -> Result<DeviceList, AdminError> {
        self.ask(Method::GET, &format!("/v1/users/{}/devices", percent_encoded(user)), None::<&()>).await
    }

    /// Removes a device. Removing it again changes nothing but deletes what was left of it.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn remove_device(&self, device: &str) -> Result<RemovalInfo, AdminError> {
        self.ask(Method::DELETE, &format!("/v1/devices/{}", percent_encoded(device)), None::<&()>).await
    }

    /// A page of the jobs of removals, newest first; `all`: those that are done too. `after` is the `next` of the page
    /// before.
    ///
    /// # Errors
    ///
    /// See [`token`](Self::token).
    pub async fn teardowns(&self, all: bool, after: Option<&str>) -> Result<TeardownList, AdminError> {
        let after = after.map(|after| format!("&after={}", percent_encoded(after))).unwrap_or_default();
        self.ask(Method::GET, &format!("/v1/teardowns?all={all}{after}"), None::<&()>).await
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

    async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<A, AdminError> {
        let answer = self.exchange(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|_| exchange("the answer is not of this version"))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Bytes, AdminError> {
        match tokio::time::timeout(ANSWER_TIMEOUT, self.one_request(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(exchange(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        }
    }

    async fn one_request(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, AdminError> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|source| AdminError::Connect { path: self.path.clone(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(exchange)?;
        let request = request(method, path, body)?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(exchange)?;
            let status = answer.status();
            let limited = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
            let bytes = limited.collect().await.map_err(exchange)?.to_bytes();
            if status.is_success() { Ok(bytes) } else { Err(refusal(status.as_u16(), &bytes)) }
        };
        // The connection is driven beside the request, without a task of its own.
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            ended = connection => {
                ended.map_err(exchange)?;
                answer.await
            }
        }
    }
}

fn request(method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Request<Full<Bytes>>, AdminError> {
    let body = match body {
        Some(body) => serde_json::to_vec(body).map_err(exchange)?,
        None => Vec::new(),
    };
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "lockstep")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(exchange)
}

fn refusal(status: u16, answer: &[u8]) -> AdminError {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        detail: String,
    }
    match serde_json::from_slice::<Problem>(answer) {
        Ok(Problem { code, detail }) => AdminError::Refused { code, detail },
        Err(_) => exchange(format!("status {status}")),
    }
}

fn exchange(reason: impl ToString) -> AdminError {
    AdminError::Exchange { reason: reason.to_string() }
}

/// An id as one segment of a path (RFC 3986, section 2.1): everything but unreserved characters is encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn ids_become_one_segment() {
        for (id, expected) in [("ana", "ana"), ("a/b?c", "a%2Fb%3Fc"), ("ü", "%C3%BC"), ("..", "..")] {
            assert_eq!(percent_encoded(id), expected);
        }
    }
}
