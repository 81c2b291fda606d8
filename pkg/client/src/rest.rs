//! Requests to the REST operations of a server (`docs/rest.md`): over HTTP without TLS, like the SDK's connections.

use crate::TokenError;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use lockstep_protocol::Code;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is read: a page of 200 conversations, each with a custom object of 8 KiB, and more.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why the server did not do what was asked.
///
/// A method names the codes that are its own. Beside them any request may be refused with `rate_limited` and `try_again`,
/// which pass; `unavailable` and `internal`; and those with a token with `token_invalid`, `token_expired`,
/// `token_revoked`, `device_removed`, `user_disabled` and `service_token`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
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
    /// There is no token to show.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl RestError {
    /// The code of a refusal, if this version knows it.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => code.parse().ok(),
            Self::Unreachable(_) | Self::Token(_) => None,
        }
    }

    /// The answer is none that a Lockstep server gives.
    pub(crate) fn senseless() -> Self {
        Self::Unreachable("the answer makes no sense".to_owned())
    }
}

/// A server's REST door.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    base: String,
}

impl Rest {
    /// The door of the server at a URL such as `http://127.0.0.1:8080`.
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self { base: url.into().trim_end_matches('/').to_owned() }
    }

    /// Asks, with no body at all if it is null, and gives the status and the body of an answer that is no refusal.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &serde_json::Value,
    ) -> Result<(u16, Bytes), RestError> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let exchange = self.send(method, path, token, body);
        let (status, body) = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| RestError::Unreachable("it did not answer in time".to_owned()))?
            .map_err(|error| RestError::Unreachable(error.to_string()))?;
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
            .uri(uri.path_and_query().map_or("/", PathAndQuery::as_str))
            .header(header::HOST, authority.as_str());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
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

/// Reads the JSON of an answer.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, RestError> {
    serde_json::from_slice(body).map_err(|_| RestError::senseless())
}

fn refusal(status: u16, body: &[u8]) -> RestError {
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
            RestError::Refused { status, code, message: detail, retry_after }
        }
        Err(error) => error,
    }
}
