//! What linking devices needs beside the engine: codes, how often one may guess, and what a QR code says.

use crate::accounts::too_often;
use crate::rest::Attempts;
use crate::{Attempt, Problem};
use lockstep_auth::{LinkCodes, Tokens};
use lockstep_model::{LinkId, UserId};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How devices are linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinksConfig {
    /// What the URL of a QR code begins with, up to its fragment.
    pub qr_base: String,
    /// WebSockets that wait at once. One more is refused with `overloaded`.
    pub sockets_max: usize,
    /// How often a user may show a wrong code or secret. More are refused with `rate_limited`.
    pub per_user: Attempt,
    /// How often one address may. More are refused with `rate_limited`.
    pub per_address: Attempt,
}

impl Default for LinksConfig {
    fn default() -> Self {
        Self {
            qr_base: "lockstep://link".to_owned(),
            sockets_max: 2_000,
            per_user: Attempt { burst: 10, per_minute: 6 },
            per_address: Attempt { burst: 60, per_minute: 60 },
        }
    }
}

/// What linking devices needs.
pub(crate) struct Links {
    pub(crate) codes: LinkCodes,
    /// One place per WebSocket that waits, taken before the upgrade.
    pub(crate) places: Arc<Semaphore>,
    qr_base: String,
    by_user: Attempts,
    /// Of those with a token: strangers at the same address must not lock them out.
    signed_in_by_address: Attempts,
    strangers_by_address: Attempts,
}

/// Somebody who shows a code or a secret, which may be a guess.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guesser<'a> {
    /// Whose device it is, where it has a token.
    pub(crate) user: Option<&'a UserId>,
    /// From where.
    pub(crate) network: IpAddr,
}

impl Links {
    pub(crate) fn new(config: &LinksConfig, tokens: &Tokens) -> Self {
        Self {
            codes: tokens.link_codes(),
            places: Arc::new(Semaphore::new(config.sockets_max)),
            qr_base: config.qr_base.clone(),
            by_user: Attempts::new(config.per_user),
            signed_in_by_address: Attempts::new(config.per_address),
            strangers_by_address: Attempts::new(config.per_address),
        }
    }

    /// Lets somebody show a code or a secret.
    pub(crate) fn admit(&self, guesser: Guesser<'_>) -> Result<(), Problem> {
        let now = Instant::now();
        self.by_address(guesser).admit(&guesser.network, now).map_err(too_often)?;
        let by_user = guesser.user.map_or(Ok(()), |user| self.by_user.admit(user, now));
        by_user.map_err(|wait| {
            self.by_address(guesser).forgive(&guesser.network);
            too_often(wait)
        })
    }

    /// What was shown was right, or nobody looked at it: it does not count.
    pub(crate) fn forgive(&self, guesser: Guesser<'_>) {
        self.by_address(guesser).forgive(&guesser.network);
        if let Some(user) = guesser.user {
            self.by_user.forgive(user);
        }
    }

    fn by_address(&self, guesser: Guesser<'_>) -> &Attempts {
        if guesser.user.is_some() { &self.signed_in_by_address } else { &self.strangers_by_address }
    }

    /// What the QR code says. The secret is in the fragment, which no browser sends to a server (RFC 3986, section 3.5).
    pub(crate) fn qr(&self, link: LinkId, scan: &str, public_key: Option<&str>) -> String {
        let key = public_key.map(|key| format!("&key={}", escaped(key))).unwrap_or_default();
        format!("{}#link={link}&scan={scan}{key}", self.qr_base)
    }
}

/// A text as part of a fragment: all but unreserved characters as their bytes (RFC 3986, section 2.1).
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped() {
        for (text, expected) in [("aZ9-._~", "aZ9-._~"), ("a+/b==", "a%2B%2Fb%3D%3D"), ("é &#", "%C3%A9%20%26%23")] {
            assert_eq!(escaped(text), expected);
        }
    }
}
