//! Users and their devices.

use lockstep_protocol::{ConversationId, DeviceId, UnixMs, UserId};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its feed.
    pub feed: ConversationId,
    /// When it was made.
    pub created_at: UnixMs,
}

/// What a device is to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// It keeps the history.
    Main,
    /// It is linked to the account and can be revoked.
    Sub,
}

impl DeviceKind {
    /// The kind as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }

    /// The kind that a text names.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Main, Self::Sub].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One installation of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// What people call it.
    pub name: String,
    /// What it is to its user.
    pub kind: DeviceKind,
    /// Tokens of a lower generation are refused.
    pub token_generation: TokenGeneration,
    /// The newest connection's generation.
    pub connection_generation: ConnectionGeneration,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it last connected.
    pub seen_at: Option<UnixMs>,
    /// When it was removed.
    pub removed_at: Option<UnixMs>,
    /// Since when it has no good tokens. It can be signed in again.
    pub signed_out_at: Option<UnixMs>,
    /// What it says that it runs on.
    pub platform: Option<String>,
    /// Whether another device of the user is still to give it its history (I8).
    pub unfilled: bool,
    /// The key with which others could seal what they give to it.
    pub public_key: Option<String>,
}

impl Device {
    /// The most devices of one user. One more cannot sign in.
    pub const PER_USER_MAX: usize = 100;
}

/// A refresh token as it is stored: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RefreshHash(pub [u8; 32]);

impl std::fmt::Debug for RefreshHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshHash(..)")
    }
}

/// Declares a number that only ever rises.
macro_rules! generation {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub u64);
    };
}

generation!(
    /// A number of the device or service, carried in its tokens, raised by removal, sign-out and rotation: lower ones are
    /// refused.
    TokenGeneration
);
generation!(
    /// A number of the device, raised by each connect and by removal, never in tokens: the highest wins everywhere.
    ConnectionGeneration
);
