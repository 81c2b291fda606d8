//! Accounts: passwords, and the sessions of devices.

use crate::{Committed, StoreError};
use async_trait::async_trait;
use lockstep_model::{Device, DeviceId, RefreshHash, TokenGeneration, UnixMs, User, UserId};

/// Who may sign in, and which refresh tokens are good. A part of the [`Directory`](crate::Directory).
///
/// Every command is one commit, durable on return. What was checked before a command (a password, a device's generation)
/// is checked again inside it. **Cancellation**: a dropped future may or may not have taken effect; a command that is
/// given again finds what the first one did.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Makes a user with a password and perhaps a name, and the user's feed. Feed: `profile_changed` if there is a name;
    /// nobody can follow it yet. Refused with `Taken` if the user is there.
    async fn sign_up(
        &self,
        user: UserId,
        name: Option<String>,
        password: PasswordHash,
        now: UnixMs,
    ) -> Result<Result<User, AccountRefusal>, StoreError>;

    /// The password of a user; `None` if there is no such user or the user has none.
    async fn password(&self, user: UserId) -> Result<Option<PasswordHash>, StoreError>;

    /// Gives a user who is there another password, or a first one. With `old` only if that is the
    /// [password](PasswordHash::is_same_password) now, else `PasswordChanged`.
    ///
    /// Signs out all devices of the user but `keep`, as [`sign_out_all`](Self::sign_out_all) does.
    async fn set_password(
        &self,
        change: PasswordChange,
    ) -> Result<Result<Committed<Vec<Device>>, AccountRefusal>, StoreError>;

    /// Stores another hash of a password, if the password's hash still is `old`, and says whether it did. It stays the
    /// [same password](PasswordHash::is_same_password): nobody is signed out by it.
    async fn renew_password(&self, user: UserId, old: PasswordHash, new: PasswordHash) -> Result<bool, StoreError>;

    /// Makes a device with its first refresh token, or signs in one that is there. Feed: `device_linked` for a new one, and
    /// before it `profile_changed` if the user gets a name by [`Proof::Issuer`].
    /// Refused with `UserDisabled` if the proof is right and the user is disabled.
    ///
    /// Signing in a device that is there raises its token generation and forgets its refresh tokens.
    async fn sign_in(&self, sign_in: SignIn) -> Result<Result<Committed<Device>, AccountRefusal>, StoreError>;

    /// Takes one refresh token for another. The one presented must be among those stored for the device: then it is good
    /// again, all others of the device but the next one are forgotten if it is used for the first time, and the next one
    /// is stored. Of next ones that were never used the newest [`NEXT_MAX`] are kept. Refused with `UserDisabled` whatever
    /// is presented for a device of a disabled user.
    ///
    /// One that is not stored is an older one, used again: the device is signed out then ([`Rotated::Reused`]).
    async fn rotate(&self, rotation: Rotation) -> Result<Result<Rotated, AccountRefusal>, StoreError>;

    /// Ends a device's session: its tokens are forgotten and its token generation is raised. The device is removed too
    /// (feed: `device_removed`), unless it is the last main device of its user that is signed in.
    async fn sign_out(
        &self,
        device: DeviceId,
        now: UnixMs,
    ) -> Result<Result<Committed<Device>, AccountRefusal>, StoreError>;

    /// Signs out all devices of a user but `keep`, and returns them as they are then. If no main device would remain,
    /// the one that connected last is not removed.
    async fn sign_out_all(
        &self,
        user: UserId,
        keep: Option<DeviceId>,
        now: UnixMs,
    ) -> Result<Committed<Vec<Device>>, StoreError>;
}

/// Next refresh tokens of one device that nobody has used. An older one is forgotten: its answer was lost, or somebody
/// asks again and again.
pub const NEXT_MAX: usize = 8;

/// A password as it is stored: a PHC string, never the password itself.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl PasswordHash {
    /// Whether both are hashes of a password that was set once. Each one that is set gets a salt of its own, even if it is the
    /// same text again, and keeps that when it is hashed again with other costs.
    pub fn is_same_password(&self, other: &Self) -> bool {
        self == other || self.salt().is_some_and(|salt| other.salt() == Some(salt))
    }

    /// Of `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`.
    fn salt(&self) -> Option<&str> {
        let fields: Vec<&str> = self.0.split('$').collect();
        match fields[..] {
            ["", _algorithm, _version, _costs, salt, _hash] => Some(salt),
            _ => None,
        }
    }
}

impl std::fmt::Debug for PasswordHash {
    /// Without the hash: a weak password can be found from it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Another password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordChange {
    /// Whose.
    pub user: UserId,
    /// The password that was proven.
    pub old: Option<PasswordHash>,
    /// The password from now on.
    pub new: PasswordHash,
    /// The device that stays signed in.
    pub keep: Option<DeviceId>,
    /// The time.
    pub now: UnixMs,
}

/// How a user has proven to be the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// By the password that this is the hash of. Refused with `PasswordChanged` if it is another one now.
    Password(PasswordHash),
    /// By the word of an outside issuer.
    Issuer {
        /// Whether the user is made if need be.
        create_user: bool,
        /// What the issuer calls the user. It becomes the name of one who has none and never had a device.
        name: Option<String>,
    },
}

/// A device that signs in as a main device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Whose it is.
    pub user: UserId,
    /// By what right.
    pub proof: Proof,
    /// Its id: a new one, or that of a device that is there.
    pub device: DeviceId,
    /// The generation of a device that is there. It is another one if somebody else signs it in or out meanwhile: then the
    /// command is refused with `OldGeneration`.
    pub again: Option<TokenGeneration>,
    /// What people call it.
    pub name: String,
    /// What it runs on.
    pub platform: Option<String>,
    /// Whether another main device is to give a new one its history.
    pub unfilled: bool,
    /// Refuses with `NeedsApproval` while the user has a main device that is signed in. One that signed in by this command
    /// counts once it has connected or refreshed its tokens: its answer may have been lost.
    pub alone: bool,
    /// Which main device approved it, and that device's generation then. Refused with `NeedsApproval` unless it is still a
    /// main device of the user with this generation and signed in.
    pub approved_by: Option<(DeviceId, TokenGeneration)>,
    /// Its refresh token.
    pub refresh: RefreshHash,
    /// Until when that is good.
    pub refresh_expires_at: UnixMs,
    /// The time.
    pub now: UnixMs,
}

/// A refresh token that is presented, and the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The device that the token names.
    pub device: DeviceId,
    /// The generation that the token names.
    pub token_generation: TokenGeneration,
    /// What is presented.
    pub presented: RefreshHash,
    /// What comes next.
    pub next: RefreshHash,
    /// Until when that is good.
    pub next_expires_at: UnixMs,
    /// The time.
    pub now: UnixMs,
}

/// What became of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// It was good; the device goes on.
    Next(Device),
    /// It was an older one. The device is signed out.
    Reused(Device),
}

/// Why a command about accounts was refused. Nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// The user is there already.
    #[error("there is such a user already")]
    Taken,
    /// There is no such user.
    #[error("there is no such user")]
    NoSuchUser,
    /// The password is another one now.
    #[error("the password has been changed")]
    PasswordChanged,
    /// There is no such device of this user.
    #[error("there is no such device")]
    NoSuchDevice,
    /// The device has been removed.
    #[error("the device has been removed")]
    DeviceRemoved,
    /// The generation is over.
    #[error("the generation is over")]
    OldGeneration,
    /// The user is disabled.
    #[error("the user is disabled")]
    UserDisabled,
    /// A main device has to approve.
    #[error("a main device has to approve")]
    NeedsApproval,
    /// The user has as many devices as are allowed.
    #[error("the user has too many devices")]
    TooManyDevices,
}
