//! The sessions of devices: how they end.

use super::devices;
use super::job::Command;
use super::links::{self, FORGET_LINKS};
use super::teardowns;
use super::work::Work;
use crate::row::{Columns, device_columns};
use crate::sql::{self, RowsSql, Values};
use lockstep_model::{
    ConnectionGeneration, Device, DeviceId, DeviceKind, TeardownReason, TokenGeneration, UnixMs, UserId,
};
use lockstep_ports::{AccountRefusal, Committed};
use std::sync::LazyLock;

/// [`sign_out`](lockstep_ports::Accounts::sign_out).
pub(crate) struct SignOut {
    pub(crate) device: DeviceId,
    pub(crate) now: UnixMs,
}

/// [`sign_out_all`](lockstep_ports::Accounts::sign_out_all).
pub(crate) struct SignOutAll {
    pub(crate) user: UserId,
    pub(crate) keep: Option<DeviceId>,
    pub(crate) now: UnixMs,
}

/// A device, whether it is removed too, the time.
static SIGN_OUT: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "UPDATE devices SET token_generation = token_generation + 1, \
           connection_generation = connection_generation + v.column2, \
           removed_at = iif(v.column2, v.column3, NULL), signed_out_at = v.column3 \
         FROM (VALUES {rows}) AS v WHERE id = v.column1",
    )
});

impl Command for SignOut {
    const OPERATION: &'static str = "sign_out";
    type Output = Result<Committed<Device>, AccountRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let Some(device) = devices::find(work, self.device).await? else {
            return Ok(Err(AccountRefusal::NoSuchDevice));
        };
        if device.removed_at.is_some() {
            return Ok(Err(AccountRefusal::DeviceRemoved));
        }
        let user = device.user.clone();
        let all = devices_of(work, &user).await?;
        let mut mains = all.iter().filter(|one| one.kind == DeviceKind::Main);
        // One that is signed out itself can approve nobody.
        let is_last_main = mains.all(|main| main.id == device.id || main.signed_out_at.is_some());
        let removed = !(device.kind == DeviceKind::Main && is_last_main);
        let mut ended = end(work, &user, vec![(device, removed)], TeardownReason::Itself, self.now).await?;
        let value = ended.value.pop().ok_or(sqlx::Error::RowNotFound)?;
        Ok(Ok(Committed { value, entries: ended.entries }))
    }
}

impl Command for SignOutAll {
    const OPERATION: &'static str = "sign_out_all";
    type Output = Committed<Vec<Device>>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        all_but(work, &self.user, self.keep, self.now).await
    }
}

/// Signs out all devices of a user but one.
pub(super) async fn all_but(
    work: &mut Work<'_>,
    user: &UserId,
    keep: Option<DeviceId>,
    now: UnixMs,
) -> Result<Committed<Vec<Device>>, sqlx::Error> {
    links::forget_of_user(work, user).await?;
    let (kept, others): (Vec<_>, Vec<_>) =
        devices_of(work, user).await?.into_iter().partition(|device| Some(device.id) == keep);
    let is_main = |device: &&Device| device.kind == DeviceKind::Main;
    let spared = if kept.iter().any(|device| is_main(&device)) {
        None
    } else {
        let connected = |device: &&Device| (device.seen_at.unwrap_or(device.created_at), device.id);
        others.iter().filter(is_main).max_by_key(connected).map(|device| device.id)
    };
    let ending = others.into_iter().map(|device| {
        let removed = Some(device.id) != spared;
        (device, removed)
    });
    end(work, user, ending.collect(), TeardownReason::SignedOut, now).await
}

/// Revokes all tokens of a user's devices, all of which stay.
pub(super) async fn tokens_of_all(work: &mut Work<'_>, user: &UserId, now: UnixMs) -> Result<Vec<Device>, sqlx::Error> {
    let ending = devices_of(work, user).await?.into_iter().map(|device| (device, false)).collect();
    Ok(end(work, user, ending, TeardownReason::SignedOut, now).await?.value)
}

/// Revokes all tokens of a device that stays.
pub(super) async fn tokens_of(work: &mut Work<'_>, device: Device, now: UnixMs) -> Result<Device, sqlx::Error> {
    let user = device.user.clone();
    let mut ended = end(work, &user, vec![(device, false)], TeardownReason::SignedOut, now).await?;
    ended.value.pop().ok_or(sqlx::Error::RowNotFound)
}

/// Ends the sessions of devices of one user, of which some are removed too.
async fn end(
    work: &mut Work<'_>,
    user: &UserId,
    ending: Vec<(Device, bool)>,
    reason: TeardownReason,
    now: UnixMs,
) -> Result<Committed<Vec<Device>>, sqlx::Error> {
    if ending.is_empty() {
        return Ok(Committed { value: vec![], entries: vec![] });
    }
    SIGN_OUT
        .execute(work.connection().await?, &ending, |values, (device, removed)| {
            values.blob(device.id.as_bytes()).int((*removed).into()).int(now.get());
        })
        .await?;
    let (removed, stay): (Vec<_>, Vec<_>) = ending.iter().partition(|(_, removed)| *removed);
    let removed: Vec<DeviceId> = removed.into_iter().map(|(device, _)| device.id).collect();
    let stay: Vec<DeviceId> = stay.into_iter().map(|(device, _)| device.id).collect();
    for table in [&*devices::FORGET_TOKENS, &*FORGET_LINKS] {
        let bind = |values: &mut Values, device: &DeviceId| {
            values.blob(device.as_bytes());
        };
        table.execute(work.connection().await?, &stay, bind).await?;
    }
    let entries = teardowns::gone(work, user, &removed, reason, now).await?;
    let value = ending.into_iter().map(|(device, removed)| ended(device, removed, now)).collect();
    Ok(Committed { value, entries })
}

/// A device as the statement leaves it.
fn ended(device: Device, removed: bool, now: UnixMs) -> Device {
    Device {
        token_generation: TokenGeneration(device.token_generation.0 + 1),
        connection_generation: ConnectionGeneration(device.connection_generation.0 + u64::from(removed)),
        removed_at: removed.then_some(now),
        signed_out_at: Some(now),
        ..device
    }
}

/// The devices of a user, as they are.
pub(super) async fn devices_of(work: &mut Work<'_>, user: &UserId) -> Result<Vec<Device>, sqlx::Error> {
    const LIST: &str = concat!("SELECT ", device_columns!(), " FROM devices WHERE user = ? AND removed_at IS NULL");
    let rows = sql::fetch(work.connection().await?, LIST, Values::new().text(user.as_str())).await?;
    rows.iter().map(|row| Columns::of(row).device()).collect()
}
