//! Removals, and the jobs that they leave.

use super::devices::{self, find, forget, tell};
use super::job::Command;
use super::work::Work;
use crate::row::{Columns, device_columns};
use crate::sql::{self, RowsSql, Values};
use lockstep_model::{Device, DeviceId, DeviceKind, Entry, FeedChange, TeardownReason, UnixMs, UserId};
use lockstep_ports::{Committed, DeviceRefusal, DeviceRemoval, Remover, TeardownAttempt};
use std::sync::LazyLock;

/// Teardowns that one step forgets at most.
const STEP_ROWS: u64 = 500;

/// [`remove_device`](lockstep_ports::Teardowns::remove_device).
pub(crate) struct RemoveDevice(pub(crate) DeviceRemoval);

/// [`remove_all_devices`](lockstep_ports::Teardowns::remove_all_devices).
pub(crate) struct RemoveAllDevices {
    pub(crate) user: UserId,
    pub(crate) reason: TeardownReason,
    pub(crate) now: UnixMs,
}

/// [`teardown_tried`](lockstep_ports::Teardowns::teardown_tried).
pub(crate) struct TeardownTried(pub(crate) TeardownAttempt);

/// [`purge_teardowns`](lockstep_ports::Teardowns::purge_teardowns).
pub(crate) struct PurgeTeardowns(pub(crate) UnixMs);

/// Jobs: device, user, reason, the time.
static MAKE: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        4,
        "INSERT INTO teardowns (device, user, reason, requested_at, next_try_at) \
         SELECT v.column1, v.column2, v.column3, v.column4, v.column4 FROM (VALUES {rows}) AS v \
         WHERE v.column1 IS NOT NULL ON CONFLICT (device) DO NOTHING",
    )
});

impl Command for RemoveDevice {
    const OPERATION: &'static str = "remove_device";
    type Output = Result<Committed<Device>, DeviceRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let DeviceRemoval { device, by, now } = self.0;
        let Some(device) = find(work, device).await? else { return Ok(Err(DeviceRefusal::NoSuchDevice)) };
        let reason = match may_remove(work, &device, by).await? {
            Ok(reason) => reason,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if device.removed_at.is_some() {
            make_jobs(work, &device.user, &[device.id], reason, now).await?;
            return Ok(Ok(Committed { value: device, entries: vec![] }));
        }
        if is_last_main(work, &device).await? {
            return Ok(Err(DeviceRefusal::LastMain));
        }
        const REMOVE: &str = concat!(
            "UPDATE devices SET token_generation = token_generation + 1, \
             connection_generation = connection_generation + 1, removed_at = ? \
             WHERE id = ? AND removed_at IS NULL RETURNING ",
            device_columns!()
        );
        let mut values = Values::new();
        values.int(now.get()).blob(device.id.as_bytes());
        let rows = sql::fetch(work.connection().await?, REMOVE, &mut values).await?;
        let device = Columns::of(rows.first().ok_or(sqlx::Error::RowNotFound)?).device()?;
        let entries = gone(work, &device.user, &[device.id], reason, now).await?;
        Ok(Ok(Committed { value: device, entries }))
    }
}

/// Whether a device may be removed, and for which reason then.
async fn may_remove(
    work: &mut Work<'_>,
    device: &Device,
    by: Remover,
) -> Result<Result<TeardownReason, DeviceRefusal>, sqlx::Error> {
    Ok(match by {
        Remover::Device(caller) if caller == device.id => Ok(TeardownReason::Itself),
        Remover::Device(caller) => devices::may_change(work, device, caller).await?.map(|()| TeardownReason::Main),
        Remover::Administrator => Ok(TeardownReason::Administrator),
        Remover::Unseen { seen_before } => {
            let unseen = device.seen_at.unwrap_or(device.created_at) < seen_before;
            let gone = device.kind == DeviceKind::Sub && unseen;
            if gone { Ok(TeardownReason::Unseen) } else { Err(DeviceRefusal::SeenSince) }
        }
    })
}

/// Whether it is the last main device that is signed in; where none is, whether it is the last one.
async fn is_last_main(work: &mut Work<'_>, device: &Device) -> Result<bool, sqlx::Error> {
    if device.kind != DeviceKind::Main {
        return Ok(false);
    }
    const OTHERS: &str = "SELECT EXISTS (SELECT 1 FROM devices WHERE user = ? AND removed_at IS NULL \
         AND kind = 'main' AND id <> ? AND (? OR signed_out_at IS NULL))";
    let mut values = Values::new();
    values.text(device.user.as_str()).blob(device.id.as_bytes()).int(device.signed_out_at.is_some().into());
    let rows = sql::fetch(work.connection().await?, OTHERS, &mut values).await?;
    Ok(!Columns::of(rows.first().ok_or(sqlx::Error::RowNotFound)?).flag()?)
}

impl Command for RemoveAllDevices {
    const OPERATION: &'static str = "remove_all_devices";
    type Output = Committed<Vec<Device>>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const REMOVE: &str = concat!(
            "UPDATE devices SET token_generation = token_generation + 1, \
             connection_generation = connection_generation + 1, removed_at = ? \
             WHERE user = ? AND removed_at IS NULL RETURNING ",
            device_columns!()
        );
        let mut values = Values::new();
        values.int(self.now.get()).text(self.user.as_str());
        let rows = sql::fetch(work.connection().await?, REMOVE, &mut values).await?;
        let removed: Vec<Device> = rows.iter().map(|row| Columns::of(row).device()).collect::<Result<_, _>>()?;
        let ids: Vec<DeviceId> = removed.iter().map(|device| device.id).collect();
        let entries = gone(work, &self.user, &ids, self.reason, self.now).await?;
        Ok(Committed { value: removed, entries })
    }
}

/// What follows wherever devices are marked removed: nothing of them is kept, their jobs are made, the feed tells of it.
pub(super) async fn gone(
    work: &mut Work<'_>,
    user: &UserId,
    removed: &[DeviceId],
    reason: TeardownReason,
    now: UnixMs,
) -> Result<Vec<Entry>, sqlx::Error> {
    if removed.is_empty() {
        return Ok(vec![]);
    }
    forget(work, removed).await?;
    make_jobs(work, user, removed, reason, now).await?;
    let changes: Vec<FeedChange> = removed.iter().map(|&device| FeedChange::DeviceRemoved { device }).collect();
    tell(work, user, &changes, now).await
}

async fn make_jobs(
    work: &mut Work<'_>,
    user: &UserId,
    removed: &[DeviceId],
    reason: TeardownReason,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let bind = |values: &mut Values, device: &DeviceId| {
        values.blob(device.as_bytes()).text(user.as_str()).text(reason.as_str()).int(now.get());
    };
    MAKE.execute(work.connection().await?, removed, bind).await.map(drop)
}

impl Command for TeardownTried {
    const OPERATION: &'static str = "teardown_tried";
    type Output = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        let TeardownAttempt { device, now, left } = &self.0;
        const DONE: &str = "UPDATE teardowns SET attempts = attempts + 1, last_error = NULL, pending = '', \
             next_try_at = NULL, done_at = ifnull(done_at, ?) WHERE device = ?";
        const LEFT: &str = "UPDATE teardowns SET attempts = attempts + 1, last_error = ?, pending = ?, \
             next_try_at = ?, done_at = NULL WHERE device = ?";
        let mut values = Values::new();
        let tried = match left {
            None => {
                values.int(now.get());
                DONE
            }
            Some(left) => {
                values.text(&left.error).text(&left.pending.join("\n")).int(left.next_try_at.get());
                LEFT
            }
        };
        values.blob(device.as_bytes());
        sql::execute(work.connection().await?, tried, &mut values).await.map(drop)
    }
}

impl Command for PurgeTeardowns {
    const OPERATION: &'static str = "purge_teardowns";
    type Output = u64;

    async fn run(&self, work: &mut Work<'_>) -> Result<u64, sqlx::Error> {
        const PURGE: &str = "DELETE FROM teardowns WHERE device IN \
             (SELECT device FROM teardowns WHERE done_at < ? ORDER BY done_at LIMIT ?)";
        let mut values = Values::new();
        values.int(self.0.get()).int(STEP_ROWS);
        sql::execute(work.connection().await?, PURGE, &mut values).await
    }
}
