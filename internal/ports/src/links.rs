//! Links: devices that ask to become a user's, and the main devices that let them.

use crate::{Committed, StoreError};
use async_trait::async_trait;
use lockstep_model::{Device, DeviceId, Link, LinkId, RefreshHash, SecretHash, TokenGeneration, UnixMs, UserId};

/// Which devices ask to be linked, and what became of them. A part of the [`Directory`](crate::Directory).
///
/// A link waits, is approved or refused by one main device, and is claimed once. From `expires_at` on it is as if it had
/// never been. It also ends, whatever its state, when the device that answered it is removed or signed out, and when all
/// devices of that device's user are signed out.
///
/// Every command is one commit, durable on return; what it stands on (secrets, states, the answering device) is looked at
/// inside it. **Cancellation**: a dropped future may or may not have taken effect; a command that is given again finds
/// what the first one did.
#[async_trait]
pub trait Links: Send + Sync + 'static {
    /// Stores a link that waits. Refused with `TooMany` while as many as the bounds say wait or are approved.
    async fn add_link(&self, link: NewLink) -> Result<Result<(), LinkRefusal>, StoreError>;

    /// Finds a link that waits by what its device shows to people. With `link` only that one; a [`LinkSecret::Scan`] finds
    /// nothing without.
    async fn find_link(&self, link: Option<LinkId>, shown: LinkSecret, now: UnixMs)
    -> Result<Option<Link>, StoreError>;

    /// What has become of a link; `None` if it has ended, was claimed by a device that has used its tokens, or this is not its
    /// secret.
    async fn link_state(&self, link: LinkId, secret: SecretHash, now: UnixMs) -> Result<Option<LinkState>, StoreError>;

    /// Approves or refuses a link that waits. The first word counts; the device that said it may say it again. Refused
    /// with `NotAllowed` unless the device is a main device of the user, has this generation and is signed in, and with
    /// `TooManyDevices` if the user has no room for one more.
    async fn answer_link(&self, answer: LinkAnswer) -> Result<Result<(), LinkRefusal>, StoreError>;

    /// Makes a sub device of an approved link, with its first refresh token. Feed: `device_linked`. Refused with
    /// `NoSuchLink` also if the device that approved it is no main device with the generation of then any more.
    ///
    /// Claimed again for the same device that has not used its tokens, it gives that device another refresh token instead of
    /// its first one.
    async fn claim_link(&self, claim: LinkClaim) -> Result<Result<Committed<Device>, LinkRefusal>, StoreError>;
}

/// A link to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// What main devices are shown.
    pub link: Link,
    /// Where it was asked from, as it is counted.
    pub network: String,
    /// What is kept of the code that people type.
    pub code: SecretHash,
    /// What is kept of the secret in the QR code.
    pub scan: SecretHash,
    /// What is kept of the device's own secret.
    pub secret: SecretHash,
    /// How many there may be.
    pub bounds: LinkBounds,
}

/// How many links may wait or be approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkBounds {
    /// In all.
    pub all: u64,
    /// From one network.
    pub per_network: u64,
}

/// What proves that somebody sees the device that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkSecret {
    /// The code.
    Code(SecretHash),
    /// The secret in the QR code.
    Scan(SecretHash),
}

/// What has become of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Nobody has said anything yet; until when it waits.
    Waiting(UnixMs),
    /// It may be claimed.
    Approved,
    /// It was claimed by this device, which has not used its tokens: the answer may have been lost, and it may be claimed for
    /// the same device again.
    Unused(DeviceId),
    /// It may not.
    Refused,
}

/// A main device's word about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAnswer {
    /// Which link.
    pub link: LinkId,
    /// What proves that it is the one that is meant.
    pub shown: LinkSecret,
    /// Whose device the link's is to be.
    pub user: UserId,
    /// Who says it.
    pub device: DeviceId,
    /// That device's generation.
    pub token_generation: TokenGeneration,
    /// Whether it may.
    pub approve: bool,
    /// The time.
    pub now: UnixMs,
}

/// A link whose device becomes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkClaim {
    /// Which link.
    pub link: LinkId,
    /// What its device shows.
    pub secret: SecretHash,
    /// The id of the new device; that of [`LinkState::Unused`] where it is claimed again.
    pub device: DeviceId,
    /// What the device is called if the link does not say it.
    pub default_name: String,
    /// Its refresh token.
    pub refresh: RefreshHash,
    /// Until when that is good.
    pub refresh_expires_at: UnixMs,
    /// The time.
    pub now: UnixMs,
}

/// Why a command about a link was refused. Nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefusal {
    /// There is none that could be meant.
    #[error("there is no such link")]
    NoSuchLink,
    /// It was refused.
    #[error("the link was refused")]
    Refused,
    /// Nobody has answered it yet.
    #[error("the link still waits")]
    Waiting,
    /// The device that answers may not.
    #[error("the device may not answer links")]
    NotAllowed,
    /// The user has as many devices as are allowed.
    #[error("the user has too many devices")]
    TooManyDevices,
    /// There are as many links as are allowed.
    #[error("too many links wait")]
    TooMany {
        /// When the first of them ends.
        until: UnixMs,
    },
}
