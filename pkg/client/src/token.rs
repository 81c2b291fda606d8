//! Where a device's access tokens come from.

use async_trait::async_trait;
use lockstep_protocol::Code;

/// Why a token is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenReason {
    /// For a connection like any other: a token that is still good will do.
    Connect,
    /// The server refused the last token: a new one is needed.
    Refused(Code),
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not now: the client asks again after its backoff.
    #[error("no token now: {0}")]
    Unavailable(String),
    /// Not any more: the client stops.
    #[error("no token any more: {0}")]
    Denied(String),
}

/// Gives out access tokens. Asked before each connect; a call may be dropped before it is done.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A token that the server should accept.
    async fn token(&self, reason: TokenReason) -> Result<String, TokenError>;
}

/// One token that never changes. The client stops when the server refuses it.
pub struct FixedToken(String);

impl FixedToken {
    /// Always this token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }
}

#[async_trait]
impl TokenSource for FixedToken {
    async fn token(&self, reason: TokenReason) -> Result<String, TokenError> {
        match reason {
            TokenReason::Connect => Ok(self.0.clone()),
            TokenReason::Refused(code) => Err(TokenError::Denied(code.spec().sentence.to_owned())),
        }
    }
}
