//! Access tokens that are kept fresh by a refresh token.

use crate::{Accounts, RestError, Session, TokenError, TokenReason, TokenSource};
use async_trait::async_trait;
use lockstep_protocol::Advice;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// An access token is never taken for good longer than this, whatever the server says.
const GOOD_FOR_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A token that ends sooner is not shown any more: the way to the server takes time.
const MARGIN: Duration = Duration::from_secs(30);

/// Keeps refresh tokens over restarts, such as in a file that only its owner can read.
#[async_trait]
pub trait TokenKeeper: Send + Sync + 'static {
    /// Keeps the newest refresh token instead of the one before. It is used only after this has returned.
    ///
    /// # Errors
    ///
    /// Why it is not kept, in words.
    async fn keep(&self, refresh_token: &str) -> Result<(), String>;
}

/// A source of access tokens for a device that has signed in. It asks for a new one when the one at hand is about to
/// end or the server has refused it, and keeps the refresh token that comes with it.
pub struct RefreshedTokens<K> {
    accounts: Accounts,
    keeper: K,
    /// Held while it refreshes, so that a refresh token is shown by one at a time.
    tokens: Mutex<Tokens>,
}

struct Tokens {
    refresh: String,
    access: Option<(String, Instant)>,
}

impl<K: TokenKeeper> RefreshedTokens<K> {
    /// Goes on from a refresh token that was kept.
    pub fn from_kept(accounts: Accounts, refresh_token: impl Into<String>, keeper: K) -> Self {
        let tokens = Tokens { refresh: refresh_token.into(), access: None };
        Self { accounts, keeper, tokens: Mutex::new(tokens) }
    }

    /// Goes on from a session that has just begun.
    ///
    /// # Errors
    ///
    /// If its refresh token cannot be kept.
    pub async fn begin(accounts: Accounts, session: Session, keeper: K) -> Result<Self, String> {
        keeper.keep(&session.refresh_token).await?;
        let source = Self::from_kept(accounts, "", keeper);
        source.tokens.lock().await.take(session, Instant::now());
        Ok(source)
    }
}

impl Tokens {
    fn take(&mut self, session: Session, asked_at: Instant) -> String {
        self.refresh = session.refresh_token;
        let good_for = Duration::from_millis(session.expires_in_ms).min(GOOD_FOR_MAX);
        let good_until = asked_at + good_for.saturating_sub(MARGIN);
        self.access = Some((session.access_token.clone(), good_until));
        session.access_token
    }
}

#[async_trait]
impl<K: TokenKeeper> TokenSource for RefreshedTokens<K> {
    async fn token(&self, reason: TokenReason) -> Result<String, TokenError> {
        let mut tokens = self.tokens.lock().await;
        let now = Instant::now();
        match (reason, &tokens.access) {
            (TokenReason::Connect, Some((access, good_until))) if now < *good_until => return Ok(access.clone()),
            // Whatever it says of its end, it is over.
            _ => tokens.access = None,
        }
        let session = match self.accounts.refresh(&tokens.refresh).await {
            Ok(session) => session,
            // Only a person can sign the device in again, or let its user do so.
            Err(error) if is_final(&error) => return Err(TokenError::Denied(error.to_string())),
            Err(error) => return Err(TokenError::Unavailable(error.to_string())),
        };
        // One that is not kept is not used either: after a restart the one before is still good.
        self.keeper.keep(&session.refresh_token).await.map_err(TokenError::Unavailable)?;
        Ok(tokens.take(session, now))
    }
}

/// Whether the same refresh token will not be taken later either.
fn is_final(error: &RestError) -> bool {
    error.code().is_some_and(|code| matches!(code.spec().advice, Advice::Stop | Advice::NewToken))
}
