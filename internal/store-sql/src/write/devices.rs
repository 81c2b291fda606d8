//! Devices and their generations.

use super::entries;
use super::job::Command;
use super::links::FORGET_LINKS;
use super::users::{self, feed_of};
use super::work::Work;
use crate::row::{Columns, device_columns};
use crate::sql::{self, RowsSql, Values};
use lockstep_model::{ConnectionGeneration, Device, DeviceId, Entry, FeedChange, TokenGeneration, UnixMs, UserId};
use lockstep_ports::{Committed, Connected, DirectoryRefusal, NewDevice};
use std::sync::LazyLock;

static FORGET_CURSORS: LazyLock<RowsSql> =
    LazyLock::new(|| RowsSql::new(1, "DELETE FROM cursors WHERE device IN (VALUES {rows})"));
/// Their refresh tokens.
pub(super) static FORGET_TOKENS: LazyLock<RowsSql> =
    LazyLock::new(|| RowsSql::new(1, "DELETE FROM refresh_tokens WHERE device IN (VALUES {rows})"));

/// [`create_device`](lockstep_ports::Directory::create_device).
pub(crate) struct CreateDevice(pub(crate) NewDevice);

/// [`connect_device`](lockstep_ports::Directory::connect_device).
pub(crate) struct ConnectDevice {
    pub(crate) device: DeviceId,
    pub(crate) token_generation: TokenGeneration,
    pub(crate) now: UnixMs,
}

/// [`fill_device`](lockstep_ports::Directory::fill_device).
pub(crate) struct FillDevice(pub(crate) DeviceId);

/// [`remove_device`](lockstep_ports::Directory::remove_device).
pub(crate) struct RemoveDevice {
    pub(crate) device: DeviceId,
    pub(crate) now: UnixMs,
}

impl Command for CreateDevice {
    const OPERATION: &'static str = "create_device";
    type Output = Result<Committed<Device>, DirectoryRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let new = &self.0;
        // The command given again.
        if let Some(value) = find(work, new.id).await? {
            return Ok(Ok(Committed { value, entries: vec![] }));
        }
        let device = Device {
            id: new.id,
            user: new.user.clone(),
            name: new.name.clone(),
            kind: new.kind,
            token_generation: TokenGeneration::default(),
            connection_generation: ConnectionGeneration::default(),
            created_at: new.now,
            seen_at: None,
            removed_at: None,
            signed_out_at: None,
            platform: None,
            unfilled: new.unfilled,
            public_key: None,
        };
        if feed_of(work, &device.user).await?.is_none() {
            return Ok(Err(DirectoryRefusal::NoSuchUser));
        }
        const INSERT: &str =
            "INSERT INTO devices (id, user, name, kind, created_at, unfilled) VALUES (?, ?, ?, ?, ?, ?)";
        let mut values = Values::new();
        values.blob(device.id.as_bytes()).text(device.user.as_str()).text(&device.name);
        values.text(device.kind.as_str()).int(device.created_at.get()).int(device.unfilled.into());
        sql::execute(work.connection().await?, INSERT, &mut values).await?;
        let entries = tell(work, &device.user, &[FeedChange::DeviceLinked { device: device.id }], new.now).await?;
        Ok(Ok(Committed { value: device, entries }))
    }
}

impl Command for ConnectDevice {
    const OPERATION: &'static str = "connect_device";
    type Output = Result<Connected, DirectoryRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const CONNECT: &str = concat!(
            "UPDATE devices SET connection_generation = connection_generation + 1, seen_at = ?, signed_out_at = NULL, \
               tokens_unused = 0 \
             WHERE id = ? AND removed_at IS NULL AND token_generation <= ? \
               AND EXISTS (SELECT 1 FROM users u WHERE u.id = devices.user AND u.disabled_at IS NULL) RETURNING ",
            device_columns!(),
            ", (SELECT u.feed FROM users u WHERE u.id = devices.user), \
               (SELECT u.tells_delivered FROM users u WHERE u.id = devices.user), \
               (SELECT u.tells_read FROM users u WHERE u.id = devices.user)"
        );
        let mut values = Values::new();
        values.int(self.now.get()).blob(self.device.as_bytes()).int(self.token_generation.0);
        let rows = sql::fetch(work.connection().await?, CONNECT, &mut values).await?;
        if let Some(row) = rows.first() {
            let mut columns = Columns::of(row);
            let (device, feed) = (columns.device()?, columns.conversation_id()?);
            return Ok(Ok(Connected { device, feed, receipts: columns.receipt_settings()? }));
        }
        Ok(Err(match find(work, self.device).await? {
            None => DirectoryRefusal::NoSuchDevice,
            Some(device) if device.removed_at.is_some() => DirectoryRefusal::DeviceRemoved,
            Some(device) if users::is_disabled(work, &device.user).await? => DirectoryRefusal::UserDisabled,
            Some(_) => DirectoryRefusal::OldGeneration,
        }))
    }
}

impl Command for FillDevice {
    const OPERATION: &'static str = "fill_device";
    type Output = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        const FILL: &str = "UPDATE devices SET unfilled = 0 WHERE id = ? AND unfilled = 1";
        sql::execute(work.connection().await?, FILL, Values::new().blob(self.0.as_bytes())).await.map(drop)
    }
}

impl Command for RemoveDevice {
    const OPERATION: &'static str = "remove_device";
    type Output = Result<Committed<Device>, DirectoryRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const REMOVE: &str = concat!(
            "UPDATE devices SET token_generation = token_generation + 1, \
             connection_generation = connection_generation + 1, removed_at = ? \
             WHERE id = ? AND removed_at IS NULL RETURNING ",
            device_columns!()
        );
        let mut values = Values::new();
        values.int(self.now.get()).blob(self.device.as_bytes());
        let rows = sql::fetch(work.connection().await?, REMOVE, &mut values).await?;
        let Some(row) = rows.first() else {
            let removed = find(work, self.device).await?;
            return Ok(removed.map(|value| Committed { value, entries: vec![] }).ok_or(DirectoryRefusal::NoSuchDevice));
        };
        let device = Columns::of(row).device()?;
        forget(work, &[device.id]).await?;
        let entries = tell(work, &device.user, &[FeedChange::DeviceRemoved { device: device.id }], self.now).await?;
        Ok(Ok(Committed { value: device, entries }))
    }
}

pub(super) async fn find(work: &mut Work<'_>, device: DeviceId) -> Result<Option<Device>, sqlx::Error> {
    const FIND: &str = concat!("SELECT ", device_columns!(), " FROM devices WHERE id = ?");
    let rows = sql::fetch(work.connection().await?, FIND, Values::new().blob(device.as_bytes())).await?;
    rows.first().map(|row| Columns::of(row).device()).transpose()
}

/// Deletes what belongs to devices that are removed.
pub(super) async fn forget(work: &mut Work<'_>, devices: &[DeviceId]) -> Result<(), sqlx::Error> {
    for table in [&*FORGET_CURSORS, &*FORGET_TOKENS, &*FORGET_LINKS] {
        let bind = |values: &mut Values, device: &DeviceId| {
            values.blob(device.as_bytes());
        };
        table.execute(work.connection().await?, devices, bind).await?;
    }
    Ok(())
}

/// Writes changes into a user's feed.
pub(super) async fn tell(
    work: &mut Work<'_>,
    user: &UserId,
    changes: &[FeedChange],
    now: UnixMs,
) -> Result<Vec<Entry>, sqlx::Error> {
    let Some((feed, mut head)) = feed_of(work, user).await? else { return Ok(vec![]) };
    let mut told = Vec::with_capacity(changes.len());
    for change in changes {
        told.push(entries::feed_entry(feed, head, *change, now));
        head = head.next();
    }
    entries::insert(work, &told).await?;
    Ok(told)
}
