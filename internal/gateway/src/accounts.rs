//! What signing up and in needs beside the engine: passwords, refresh tokens, issuers, and how often one may try.

use crate::Problem;
use crate::rest::Attempts;
use lockstep_auth::{Busy, Claim, Issuers, PasswordSettings, Passwords, RefreshToken, RefreshTokens, Tokens};
use lockstep_model::{Code, Device, DeviceId, TokenGeneration, UnixMs, UserId};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;

/// How often a device may refresh its tokens: far more often than they end.
const REFRESHES: Attempt = Attempt { burst: 30, per_minute: 6 };
/// How long a caller waits whose password could not be looked at.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Who may sign up and in, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsConfig {
    /// Whether whoever likes may become a user.
    pub sign_up_open: bool,
    /// Whether a further main device has to be approved by one that is there.
    pub approve_mains: bool,
    /// How long an access token is good for.
    pub token_ttl: Duration,
    /// How long a refresh token is good for.
    pub refresh_ttl: Duration,
    /// What a password costs.
    pub passwords: PasswordSettings,
    /// How often a password may be tried for one user. More are refused with `rate_limited`.
    pub per_user: Attempt,
    /// How often one address may try to sign up or in. More are refused with `rate_limited`.
    pub per_address: Attempt,
}

/// How often something may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// At once.
    pub burst: u32,
    /// Per minute.
    pub per_minute: u32,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            sign_up_open: false,
            approve_mains: false,
            token_ttl: Duration::from_secs(15 * 60),
            refresh_ttl: Duration::from_secs(30 * 24 * 60 * 60),
            passwords: PasswordSettings::default(),
            per_user: Attempt { burst: 10, per_minute: 6 },
            per_address: Attempt { burst: 60, per_minute: 60 },
        }
    }
}

/// Who tries a password of a user. The two are counted apart: strangers cannot keep the user's devices from trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Guess<'a> {
    /// Somebody who wants to sign in.
    Stranger(&'a UserId),
    /// A device of the user that is signed in.
    SignedIn(&'a UserId),
}

impl Guess<'_> {
    /// Whose password it is.
    pub(crate) fn user(&self) -> &UserId {
        match self {
            Self::Stranger(user) | Self::SignedIn(user) => user,
        }
    }
}

/// What signing up and in needs.
pub(crate) struct Accounts {
    pub(crate) passwords: Passwords,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) issuers: Issuers,
    tokens: Arc<Tokens>,
    token_ttl: Duration,
    refresh_ttl: Duration,
    by_user: Attempts,
    by_address: Attempts,
    by_device: Attempts,
}

/// The answer to whoever is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionAnswer {
    user: UserId,
    device: DeviceId,
    #[schema(examples("main", "sub"))]
    kind: &'static str,
    /// A secret: what opens the device.
    access_token: String,
    expires_in_ms: u64,
    /// A secret: what gives the next tokens.
    refresh_token: String,
    refresh_expires_at: UnixMs,
}

impl Accounts {
    pub(crate) fn new(config: &AccountsConfig, tokens: &Arc<Tokens>) -> Self {
        Self {
            passwords: Passwords::new(config.passwords),
            refresh_tokens: tokens.refresh_tokens(),
            issuers: Issuers::default(),
            tokens: Arc::clone(tokens),
            token_ttl: config.token_ttl,
            refresh_ttl: config.refresh_ttl,
            by_user: Attempts::new(config.per_user),
            by_address: Attempts::new(config.per_address),
            by_device: Attempts::new(REFRESHES),
        }
    }

    pub(crate) fn trusting(self, issuers: Issuers) -> Self {
        Self { issuers, ..self }
    }

    /// Lets somebody at this address try to sign up or in.
    pub(crate) fn admit_address(&self, address: &IpAddr) -> Result<(), Problem> {
        self.by_address.admit(address, Instant::now()).map_err(too_often)
    }

    /// Lets somebody try a password.
    pub(crate) fn admit_guess(&self, guess: &Guess<'_>) -> Result<(), Problem> {
        self.by_user.admit(guess, Instant::now()).map_err(too_often)
    }

    /// The password was right, or nobody looked at it: the attempt does not count.
    pub(crate) fn forgive_guess(&self, guess: &Guess<'_>) {
        self.by_user.forgive(guess);
    }

    /// Lets a device refresh its tokens.
    pub(crate) fn admit_refresh(&self, device: DeviceId) -> Result<(), Problem> {
        self.by_device.admit(&device, Instant::now()).map_err(too_often)
    }

    /// A refresh token that begins now.
    pub(crate) fn refresh_token(&self, device: DeviceId, generation: TokenGeneration) -> RefreshToken {
        let ttl_ms = self.refresh_ttl.as_millis() as u64;
        let expires_at = UnixMs::new(UnixMs::now().get().saturating_add(ttl_ms));
        self.refresh_tokens.make(device, generation, expires_at)
    }

    /// The answer to a device that is signed in, with a new access token.
    pub(crate) fn session(&self, device: Device, refresh: RefreshToken) -> SessionAnswer {
        let Device { id, user, kind, token_generation, .. } = device;
        let claim = Claim { user, device: id, token_generation };
        let issued = self.tokens.issue(&claim, self.token_ttl, UnixMs::now());
        SessionAnswer {
            user: claim.user,
            device: id,
            kind: kind.as_str(),
            access_token: issued.token,
            expires_in_ms: self.token_ttl.as_millis() as u64,
            refresh_token: refresh.token,
            refresh_expires_at: refresh.expires_at,
        }
    }
}

pub(crate) fn too_often(wait: Duration) -> Problem {
    Problem::new(Code::RateLimited, "Too many attempts; wait as long as retry_after_ms says.").retry_after(wait)
}

impl From<Busy> for Problem {
    fn from(_: Busy) -> Self {
        let busy = "The server checks as many passwords as it can; try again in a moment.";
        Self::new(Code::TryAgain, busy).retry_after(BUSY_RETRY)
    }
}
