//! Signing in by REST (`docs/rest.md`): over HTTP without TLS, like the SDK's connections.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use lockstep_protocol::{DeviceId, SignInId, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A server's accounts.
#[derive(Debug, Clone)]
pub struct Accounts {
    base: String,
}

/// What a device is signed in with.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// For connections and requests: a secret.
    pub access_token: String,
    /// How long that is good, in milliseconds from now on.
    pub expires_in_ms: u64,
    /// For the next session: a secret, to be kept before it is used.
    pub refresh_token: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user", &self.user).field("device", &self.device).finish_non_exhaustive()
    }
}

/// The device that signs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SigningDevice {
    /// Which of the user's devices it is; absent for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<DeviceId>,
    /// What people call it. A new one must have a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// What became of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// The device is signed in.
    Done(Session),
    /// A main device of the user has to approve it: ask with [`Accounts::ask`] every two seconds or so.
    Waiting(Waiting),
}

/// A sign-in that waits for its approval.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Waiting {
    /// Its id.
    pub id: SignInId,
    /// What only the one who waits knows.
    #[serde(default)]
    secret: String,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why the server did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// It refused.
    #[error("{message} ({code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The name of the code.
        code: String,
        /// The sentence.
        message: String,
        /// When the same may succeed.
        retry_after: Option<Duration>,
    },
    /// It was not reached, or did not answer as a Lockstep server does.
    #[error("the server was not reached: {0}")]
    Unreachable(String),
}

impl Accounts {
    /// The accounts of the server at a URL such as `http://127.0.0.1:8080`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { base: url.into().trim_end_matches('/').to_owned() }
    }

    /// Makes a user, if the server lets everybody sign up.
    ///
    /// # Errors
    ///
    /// See [`AccountError`]; so for the others.
    pub async fn sign_up(&self, id: &UserId, password: &str) -> Result<(), AccountError> {
        self.exchange(Method::POST, "/v1/users", None, &json!({"id": id, "password": password})).await.map(drop)
    }

    /// Signs a device in as a main device of a user.
    ///
    /// # Errors
    ///
    /// See [`AccountError`].
    pub async fn sign_in(&self, user: &UserId, password: &str, device: &SigningDevice) -> Result<SignIn, AccountError> {
        let request = json!({"user": user, "password": password, "device": device});
        match self.exchange(Method::POST, "/v1/sessions", None, &request).await? {
            (202, body) => Ok(SignIn::Waiting(read(&body)?)),
            (_, body) => Ok(SignIn::Done(read(&body)?)),
        }
    }

    /// Asks what has become of a sign-in that waits.
    ///
    /// # Errors
    ///
    /// See [`AccountError`].
    pub async fn ask(&self, waiting: &Waiting) -> Result<SignIn, AccountError> {
        let path = format!("/v1/sign-ins/{}", waiting.id);
        match self.exchange(Method::POST, &path, None, &json!({"secret": waiting.secret})).await? {
            (202, _) => Ok(SignIn::Waiting(waiting.clone())),
            (_, body) => Ok(SignIn::Done(read(&body)?)),
        }
    }

    /// Takes a refresh token for the next session. If the answer is lost, the same again does no harm.
    ///
    /// # Errors
    ///
    /// See [`AccountError`].
    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, AccountError> {
        let request = json!({"refresh_token": refresh_token});
        read(&self.exchange(Method::POST, "/v1/sessions/refresh", None, &request).await?.1)
    }

    /// Signs the device out that this access token is of.
    ///
    /// # Errors
    ///
    /// See [`AccountError`].
    pub async fn sign_out(&self, access_token: &str) -> Result<(), AccountError> {
        self.exchange(Method::DELETE, "/v1/sessions/current", Some(access_token), &json!({})).await.map(drop)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &serde_json::Value,
    ) -> Result<(u16, Bytes), AccountError> {
        let exchange = self.send(method, path, token, body.to_string());
        let (status, body) = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| AccountError::Unreachable("it did not answer in time".to_owned()))?
            .map_err(|error| AccountError::Unreachable(error.to_string()))?;
        if (200..300).contains(&status) { Ok((status, body)) } else { Err(refusal(status, &body)) }
    }

    /// One short connection per request: they are few.
    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: String,
    ) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let uri: Uri = format!("{}{path}", self.base).parse()?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
        let authority = authority.ok_or("the URL must begin with http:// and a host")?;
        let stream =
            TcpStream::connect((authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri.path())
            .header(header::HOST, authority.as_str())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?);
        let reading = async {
            let answer = answer.await?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok((status, body))
        };
        let mut reading = std::pin::pin!(reading);
        // The connection moves only while it is polled.
        tokio::select! {
            biased;
            answer = &mut reading => answer,
            ended = connection => match ended {
                // What it brought last is still to be read.
                Ok(()) => reading.await,
                Err(error) => Err(error.into()),
            },
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AccountError> {
    serde_json::from_slice(body).map_err(|_| AccountError::Unreachable("the answer makes no sense".to_owned()))
}

fn refusal(status: u16, body: &[u8]) -> AccountError {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        detail: String,
        #[serde(default)]
        retry_after_ms: Option<u64>,
    }
    match read(body) {
        Ok(Problem { code, detail, retry_after_ms }) => {
            let retry_after = retry_after_ms.map(Duration::from_millis);
            AccountError::Refused { status, code, message: detail, retry_after }
        }
        Err(error) => error,
    }
}
