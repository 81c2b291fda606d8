//! What is left to do about a device that was removed.

use lockstep_protocol::{DeviceId, UnixMs, UserId};

/// Why a device was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TeardownReason {
    /// A main device of its user wanted it.
    Main,
    /// It removed itself, or signed out.
    Itself,
    /// It was signed out with others: everywhere, or by a new password.
    SignedOut,
    /// An administrator wanted it.
    Administrator,
    /// It had not been seen for so long.
    Unseen,
    /// The account was disabled.
    AccountDisabled,
}

impl TeardownReason {
    const ALL: [Self; 6] =
        [Self::Main, Self::Itself, Self::SignedOut, Self::Administrator, Self::Unseen, Self::AccountDisabled];

    /// The reason as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Itself => "itself",
            Self::SignedOut => "signed_out",
            Self::Administrator => "administrator",
            Self::Unseen => "unseen",
            Self::AccountDisabled => "account_disabled",
        }
    }

    /// The reason that a text names.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// The stored job of a removal: its channels are deleted on every server, however often that has to be tried. What the
/// database had of the device went in the commit that made the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teardown {
    /// The device.
    pub device: DeviceId,
    /// Whose it was.
    pub user: UserId,
    /// Why it was removed.
    pub reason: TeardownReason,
    /// When it was removed.
    pub requested_at: UnixMs,
    /// How often its channels were tried to be deleted.
    pub attempts: u64,
    /// Why the last attempt did not end it.
    pub last_error: Option<String>,
    /// The servers that may have channels of it, since the last attempt.
    pub pending: Vec<String>,
    /// Whether and when it goes on.
    pub state: TeardownState,
}

/// Whether a teardown is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeardownState {
    /// It is tried at this time.
    Waiting(UnixMs),
    /// Since this time nothing is left of the device.
    Done(UnixMs),
}

/// How many teardowns are not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TeardownTotals {
    /// How many.
    pub waiting: u64,
    /// Since when the first one waits.
    pub oldest: Option<UnixMs>,
    /// When the next one is to be tried.
    pub next_try_at: Option<UnixMs>,
}
