//! The teardowns' part of the directory.

use crate::row::{Columns, device_columns};
use crate::sql::Values;
use crate::store::SqliteStore;
use crate::write::{PurgeTeardowns, RemoveAllDevices, RemoveDevice, SeeDevices, TeardownTried};
use async_trait::async_trait;
use lockstep_model::{Device, DeviceId, Teardown, TeardownReason, TeardownState, TeardownTotals, UnixMs, UserId};
use lockstep_ports::{Committed, DeviceRefusal, DeviceRemoval, StoreError, TeardownAttempt, Teardowns};

/// The columns that [`Columns::teardown`] takes.
macro_rules! teardown_columns {
    () => {
        "device, user, reason, requested_at, attempts, last_error, pending, next_try_at, done_at"
    };
}

#[async_trait]
impl Teardowns for SqliteStore {
    async fn remove_device(
        &self,
        removal: DeviceRemoval,
    ) -> Result<Result<Committed<Device>, DeviceRefusal>, StoreError> {
        self.command(RemoveDevice(removal)).await
    }

    async fn remove_all_devices(
        &self,
        user: UserId,
        reason: TeardownReason,
        now: UnixMs,
    ) -> Result<Committed<Vec<Device>>, StoreError> {
        self.command(RemoveAllDevices { user, reason, now }).await
    }

    async fn unseen(
        &self,
        seen_before: UnixMs,
        after: Option<(UnixMs, DeviceId)>,
        count: u32,
    ) -> Result<Vec<Device>, StoreError> {
        const LIST: &str = concat!(
            "SELECT ",
            device_columns!(),
            " FROM devices INDEXED BY devices_unseen WHERE kind = 'sub' AND removed_at IS NULL \
               AND ifnull(seen_at, created_at) < ?1 AND (ifnull(seen_at, created_at), id) > (ifnull(?2, -1), ifnull(?3, x'')) \
             ORDER BY ifnull(seen_at, created_at), id LIMIT ?4"
        );
        let mut values = Values::new();
        values.int(seen_before.get());
        bind_place(&mut values, after).int(count.into());
        self.ask("unseen", LIST, &mut values, |columns| columns.device()).await
    }

    async fn seen(&self, devices: Vec<(DeviceId, UnixMs)>) -> Result<(), StoreError> {
        self.command(SeeDevices(devices)).await
    }

    async fn due_teardowns(&self, now: UnixMs, count: u32) -> Result<Vec<Teardown>, StoreError> {
        const LIST: &str = concat!(
            "SELECT ",
            teardown_columns!(),
            " FROM teardowns WHERE done_at IS NULL AND next_try_at <= ? ORDER BY next_try_at LIMIT ?"
        );
        let mut values = Values::new();
        values.int(now.get()).int(count.into());
        self.ask("due_teardowns", LIST, &mut values, |columns| columns.teardown()).await
    }

    async fn teardown_tried(&self, attempt: TeardownAttempt) -> Result<(), StoreError> {
        self.command(TeardownTried(attempt)).await
    }

    async fn teardown(&self, device: DeviceId) -> Result<Option<Teardown>, StoreError> {
        const FIND: &str = concat!("SELECT ", teardown_columns!(), " FROM teardowns WHERE device = ?");
        let mut values = Values::new();
        values.blob(device.as_bytes());
        let found = self.ask("teardown", FIND, &mut values, |columns| columns.teardown()).await?;
        Ok(found.into_iter().next())
    }

    async fn teardowns(
        &self,
        after: Option<(UnixMs, DeviceId)>,
        waiting: bool,
        count: u32,
    ) -> Result<Vec<Teardown>, StoreError> {
        const ALL: &str = concat!(
            "SELECT ",
            teardown_columns!(),
            " FROM teardowns WHERE ?1 IS NULL OR (requested_at, device) < (?1, ?2) \
             ORDER BY requested_at DESC, device DESC LIMIT ?3"
        );
        const WAITING: &str = concat!(
            "SELECT ",
            teardown_columns!(),
            " FROM teardowns WHERE done_at IS NULL AND (?1 IS NULL OR (requested_at, device) < (?1, ?2)) \
             ORDER BY requested_at DESC, device DESC LIMIT ?3"
        );
        let mut values = Values::new();
        bind_place(&mut values, after).int(count.into());
        let list = if waiting { WAITING } else { ALL };
        self.ask("teardowns", list, &mut values, |columns| columns.teardown()).await
    }

    async fn teardown_totals(&self) -> Result<TeardownTotals, StoreError> {
        const TOTALS: &str =
            "SELECT count(*), min(requested_at), min(next_try_at) FROM teardowns WHERE done_at IS NULL";
        let totals = |columns: &mut Columns<'_>| {
            Ok(TeardownTotals {
                waiting: columns.int()?,
                oldest: columns.optional_int()?.map(UnixMs::new),
                next_try_at: columns.optional_int()?.map(UnixMs::new),
            })
        };
        let found = self.ask("teardown_totals", TOTALS, &mut Values::new(), totals).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    async fn purge_teardowns(&self, done_before: UnixMs) -> Result<u64, StoreError> {
        self.command(PurgeTeardowns(done_before)).await
    }
}

fn bind_place(values: &mut Values, after: Option<(UnixMs, DeviceId)>) -> &mut Values {
    match after {
        Some((at, device)) => values.int(at.get()).blob(device.as_bytes()),
        None => values.optional_blob(None).optional_blob(None),
    }
}

impl Columns<'_> {
    /// See [`teardown_columns`].
    fn teardown(&mut self) -> Result<Teardown, sqlx::Error> {
        let wrong = |what: &'static str| sqlx::Error::Decode(what.into());
        Ok(Teardown {
            device: DeviceId::from_bytes(self.bytes()?),
            user: self.user_id()?,
            reason: TeardownReason::from_text(self.text()?).ok_or_else(|| wrong("not the reason of a teardown"))?,
            requested_at: self.time()?,
            attempts: self.int()?,
            last_error: self.optional_text()?.map(str::to_owned),
            pending: self.text()?.lines().map(str::to_owned).collect(),
            state: match (self.optional_int()?, self.optional_int()?) {
                (Some(at), None) => TeardownState::Waiting(UnixMs::new(at)),
                (None, Some(at)) => TeardownState::Done(UnixMs::new(at)),
                _ => return Err(wrong("not the state of a teardown")),
            },
        })
    }
}
