//! Services, and what they may do: publish, or administer.

use crate::TokenGeneration;
use lockstep_protocol::{ConversationId, ServiceName, UnixMs};
use std::fmt;
use std::str::FromStr;

/// A service that an operator has let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// What its tokens allow, whenever they were made.
    pub scopes: Vec<Scope>,
    /// Of its newest tokens.
    pub generation: TokenGeneration,
    /// Until when tokens of the generation before are good.
    pub previous_until: UnixMs,
    /// When it was made.
    pub created_at: UnixMs,
    /// When its tokens were last replaced.
    pub rotated_at: Option<UnixMs>,
    /// When it was revoked: then no token is good.
    pub revoked_at: Option<UnixMs>,
}

impl Service {
    /// The most scopes of one service. More are refused when they are given.
    pub const SCOPES_MAX: usize = 64;
    /// The most services. One more is refused.
    pub const COUNT_MAX: usize = 1_000;

    /// Whether tokens of this generation are good.
    pub fn takes(&self, generation: TokenGeneration, now: UnixMs) -> bool {
        let is_previous = generation.0.checked_add(1) == Some(self.generation.0) && now < self.previous_until;
        self.revoked_at.is_none() && (generation == self.generation || is_previous)
    }

    /// Whether a scope lets it administer the server.
    pub fn may_administer(&self) -> bool {
        self.scopes.contains(&Scope::Admin)
    }

    /// Whether a scope covers the conversation.
    pub fn may_publish(&self, conversation: ConversationId) -> bool {
        self.scopes.iter().any(|scope| match scope {
            Scope::Admin => false,
            Scope::PublishAnywhere => true,
            Scope::Publish(covered) => *covered == conversation,
        })
    }
}

/// What a service's token allows: `publish:` and a conversation's id, `publish:*`, or `admin`. None includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Administering the server. It shows no bodies and publishes nothing.
    Admin,
    /// Publishing into every conversation but users' feeds.
    PublishAnywhere,
    /// Publishing into this one.
    Publish(ConversationId),
}

/// Why a text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope must be publish:* or publish: and a conversation's id, or admin")]
pub struct ScopeError;

impl FromStr for Scope {
    type Err = ScopeError;
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text == "admin" {
            return Ok(Self::Admin);
        }
        match text.strip_prefix("publish:").ok_or(ScopeError)? {
            "*" => Ok(Self::PublishAnywhere),
            id => id.parse().map(Self::Publish).map_err(|_| ScopeError),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin => f.write_str("admin"),
            Self::PublishAnywhere => f.write_str("publish:*"),
            Self::Publish(conversation) => write!(f, "publish:{conversation}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(generation: u64, previous_until: u64, revoked: bool) -> Service {
        Service {
            name: ServiceName::new("billing").unwrap(),
            scopes: vec![],
            generation: TokenGeneration(generation),
            previous_until: UnixMs::new(previous_until),
            created_at: UnixMs::ZERO,
            rotated_at: None,
            revoked_at: revoked.then_some(UnixMs::ZERO),
        }
    }

    #[test]
    fn which_generations_are_good() {
        // The service's generation, until when the one before is good, revoked; the token's generation, the time.
        let cases = [
            ((0, 0, false), (0, 5), true),
            ((0, 0, false), (1, 5), false),
            ((2, 10, false), (2, 99), true),
            ((2, 10, false), (1, 9), true),
            ((2, 10, false), (1, 10), false),
            ((2, 10, false), (0, 9), false),
            ((2, 10, true), (2, 9), false),
            ((2, 10, true), (1, 9), false),
            ((0, 10, false), (u64::MAX, 9), false),
        ];
        for ((generation, until, revoked), (token, now), good) in cases {
            let taken = service(generation, until, revoked).takes(TokenGeneration(token), UnixMs::new(now));
            assert_eq!(taken, good, "generation {generation} until {until} {revoked}: {token} at {now}");
        }
    }

    #[test]
    fn what_scopes_cover() {
        let (one, other) = (ConversationId::generate(), ConversationId::generate());
        let scope = |text: &str| text.parse::<Scope>();
        for text in ["admin".to_owned(), "publish:*".to_owned(), format!("publish:{one}")] {
            assert_eq!(scope(&text).map(|scope| scope.to_string()), Ok(text));
        }
        for text in
            ["", "publish", "publish:", "publish:**", "publish:x*", "read:*", "*", "Admin", "admin:*", &one.to_string()]
        {
            assert_eq!(scope(text), Err(ScopeError), "{text:?}");
        }
        let mut billing = service(0, 0, false);
        assert!(!billing.may_publish(one) && !billing.may_administer());
        billing.scopes = vec![Scope::Admin];
        assert!(!billing.may_publish(one) && billing.may_administer());
        billing.scopes = vec![Scope::Publish(one)];
        assert!(billing.may_publish(one) && !billing.may_publish(other));
        billing.scopes.push(Scope::PublishAnywhere);
        assert!(billing.may_publish(other) && !billing.may_administer());
    }
}
