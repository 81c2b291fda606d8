//! How devices go, and what is still to be done about those that are gone.

use crate::{Committed, StoreError};
use async_trait::async_trait;
use lockstep_model::{Device, DeviceId, Teardown, TeardownReason, TeardownTotals, UnixMs, UserId};

/// Removals and their stored jobs. A part of the [`Directory`](crate::Directory).
///
/// A removal is one commit (I9): it raises both generations, marks the device removed, deletes all that the store keeps for
/// it (cursors, refresh tokens), tells the feed `device_removed` and writes the [`Teardown`]. From then on the store
/// refuses every command of the device. [`Accounts::sign_out`](crate::Accounts::sign_out) and its kin do the same where
/// they remove devices.
///
/// Every command is one commit, durable on return. **Cancellation**: a dropped future may or may not have taken effect; a
/// command that is given again finds what the first one did.
#[async_trait]
pub trait Teardowns: Send + Sync + 'static {
    /// Removes a device. Who may is decided in the same commit. Removing it again changes nothing and returns no entries;
    /// a teardown that is not there any more is made anew.
    async fn remove_device(
        &self,
        removal: DeviceRemoval,
    ) -> Result<Result<Committed<Device>, DeviceRefusal>, StoreError>;

    /// Removes all devices of a user, the last main device too, and returns them as they are then.
    async fn remove_all_devices(
        &self,
        user: UserId,
        reason: TeardownReason,
        now: UnixMs,
    ) -> Result<Committed<Vec<Device>>, StoreError>;

    /// Sub devices that were last seen (they connected, [were connected](Self::seen), or refreshed their tokens), or made if
    /// they never were, before `seen_before`, and come after `after` in that
    /// order: at most `count`.
    async fn unseen(
        &self,
        seen_before: UnixMs,
        after: Option<(UnixMs, DeviceId)>,
        count: u32,
    ) -> Result<Vec<Device>, StoreError>;

    /// Notes until when devices were connected. It never goes back, and nothing is noted of devices that are removed.
    async fn seen(&self, devices: Vec<(DeviceId, UnixMs)>) -> Result<(), StoreError>;

    /// The teardowns that are to be tried now, those that wait longest first: at most `count`.
    async fn due_teardowns(&self, now: UnixMs, count: u32) -> Result<Vec<Teardown>, StoreError>;

    /// Writes down what an attempt brought. One that left something opens a teardown again that was done.
    async fn teardown_tried(&self, attempt: TeardownAttempt) -> Result<(), StoreError>;

    /// The teardown of a device.
    async fn teardown(&self, device: DeviceId) -> Result<Option<Teardown>, StoreError>;

    /// Teardowns, newest first, at most `count` after `after` in that order; `waiting`: only those that are not done.
    async fn teardowns(
        &self,
        after: Option<(UnixMs, DeviceId)>,
        waiting: bool,
        count: u32,
    ) -> Result<Vec<Teardown>, StoreError>;

    /// How many teardowns are not done.
    async fn teardown_totals(&self) -> Result<TeardownTotals, StoreError>;

    /// Forgets teardowns that were done before `done_before`, and says how many: a bounded number, 0 when none is left.
    async fn purge_teardowns(&self, done_before: UnixMs) -> Result<u64, StoreError>;
}

/// Who wants a device removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remover {
    /// A device: itself, or as a main device another one of its user.
    Device(DeviceId),
    /// An administrator.
    Administrator,
    /// The server, if it is a sub device that has not been seen since then.
    Unseen {
        /// Since when.
        seen_before: UnixMs,
    },
}

/// A device to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRemoval {
    /// The device.
    pub device: DeviceId,
    /// Who wants it.
    pub by: Remover,
    /// The time.
    pub now: UnixMs,
}

/// What an attempt to delete a device's channels brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeardownAttempt {
    /// The device.
    pub device: DeviceId,
    /// When it ended.
    pub now: UnixMs,
    /// What is left; absent: nothing.
    pub left: Option<TeardownLeft>,
}

/// What an attempt left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeardownLeft {
    /// The servers that may have channels.
    pub pending: Vec<String>,
    /// Why.
    pub error: String,
    /// When to try again.
    pub next_try_at: UnixMs,
}

/// Why a device was not removed or changed. Nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceRefusal {
    /// The device does not exist, or is another user's; or it was removed, and can be removed but not changed.
    #[error("there is no such device")]
    NoSuchDevice,
    /// The device that wants it has been removed itself.
    #[error("the device that asks has been removed")]
    CallerRemoved,
    /// A sub device wants something of another device.
    #[error("a sub device may do this only to itself")]
    Forbidden,
    /// It is the last main device of its user that is signed in, or the last one where none is.
    #[error("it is the last main device of its user")]
    LastMain,
    /// It has been seen meanwhile, or is no sub device.
    #[error("the device is no sub device that was unseen for so long")]
    SeenSince,
}
