//! Devices and their generations.

use super::entries;
use super::job::Command;
use super::links::FORGET_LINKS;
use super::users::{self, feed_of};
use super::work::Work;
use crate::row::{Columns, device_columns};
use crate::sql::{self, RowsSql, Values};
use lockstep_model::{
    ConnectionGeneration, Device, DeviceId, DeviceKind, Entry, FeedChange, TokenGeneration, UnixMs, UserId,
};
use lockstep_ports::{Committed, Connected, DeviceRefusal, DeviceRename, DirectoryRefusal, NewDevice};
use std::sync::LazyLock;

static FORGET_CURSORS: LazyLock<RowsSql> =
    LazyLock::new(|| RowsSql::new(1, "DELETE FROM cursors WHERE device IN (VALUES {rows})"));
/// Their refresh tokens.
pub(super) static FORGET_TOKENS: LazyLock<RowsSql> =
    LazyLock::new(|| RowsSql::new(1, "DELETE FROM refresh_tokens WHERE device IN (VALUES {rows})"));

/// Devices, and until when they were there.
static SEE: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        2,
        "UPDATE devices SET seen_at = v.column2 FROM (VALUES {rows}) AS v \
         WHERE id = v.column1 AND removed_at IS NULL AND ifnull(seen_at, 0) < v.column2",
    )
});

/// [`create_device`](lockstep_ports::Directory::create_device).
pub(crate) struct CreateDevice(pub(crate) NewDevice);

/// [`connect_device`](lockstep_ports::Directory::connect_device).
pub(crate) struct ConnectDevice {
    pub(crate) device: DeviceId,
    pub(crate) token_generation: TokenGeneration,
    pub(crate) now: UnixMs,
}

/// [`seen`](lockstep_ports::Teardowns::seen).
pub(crate) struct SeeDevices(pub(crate) Vec<(DeviceId, UnixMs)>);

/// [`fill_device`](lockstep_ports::Directory::fill_device).
pub(crate) struct FillDevice(pub(crate) DeviceId);

/// [`rename_device`](lockstep_ports::Directory::rename_device).
pub(crate) struct RenameDevice(pub(crate) DeviceRename);

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

impl Command for SeeDevices {
    const OPERATION: &'static str = "seen";
    type Output = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        let bind = |values: &mut Values, (device, until): &(DeviceId, UnixMs)| {
            values.blob(device.as_bytes()).int(until.get());
        };
        SEE.execute(work.connection().await?, &self.0, bind).await.map(drop)
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

impl Command for RenameDevice {
    const OPERATION: &'static str = "rename_device";
    type Output = Result<Committed<Device>, DeviceRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let DeviceRename { device, by, name, now } = &self.0;
        let found = find(work, *device).await?;
        let Some(device) = found else { return Ok(Err(DeviceRefusal::NoSuchDevice)) };
        if let Err(refusal) = may_change(work, &device, *by).await? {
            return Ok(Err(refusal));
        }
        if device.removed_at.is_some() {
            return Ok(Err(DeviceRefusal::NoSuchDevice));
        }
        if device.name == *name {
            return Ok(Ok(Committed { value: device, entries: vec![] }));
        }
        const RENAME: &str = "UPDATE devices SET name = ? WHERE id = ?";
        let mut values = Values::new();
        values.text(name).blob(device.id.as_bytes());
        sql::execute(work.connection().await?, RENAME, &mut values).await?;
        let entries = tell(work, &device.user, &[FeedChange::DeviceRenamed { device: device.id }], *now).await?;
        Ok(Ok(Committed { value: Device { name: name.clone(), ..device }, entries }))
    }
}

/// Whether a device may change another: it is there itself, of the same user, and a main device or the same one.
pub(super) async fn may_change(
    work: &mut Work<'_>,
    device: &Device,
    caller: DeviceId,
) -> Result<Result<(), DeviceRefusal>, sqlx::Error> {
    Ok(match find(work, caller).await? {
        None => Err(DeviceRefusal::CallerRemoved),
        Some(caller) if caller.removed_at.is_some() => Err(DeviceRefusal::CallerRemoved),
        Some(caller) if caller.user != device.user => Err(DeviceRefusal::NoSuchDevice),
        Some(caller) if caller.kind != DeviceKind::Main && caller.id != device.id => Err(DeviceRefusal::Forbidden),
        Some(_) => Ok(()),
    })
}

pub(super) async fn find(work: &mut Work<'_>, device: DeviceId) -> Result<Option<Device>, sqlx::Error> {
    const FIND: &str = concat!("SELECT ", device_columns!(), " FROM devices WHERE id = ?");
    let rows = sql::fetch(work.connection().await?, FIND, Values::new().blob(device.as_bytes())).await?;
    rows.first().map(|row| Columns::of(row).device()).transpose()
}

/// Deletes what belongs to devices that are removed: the one place that knows every table with such rows.
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

#[cfg(test)]
mod tests {
    use crate::{SqliteOptions, SqliteStore};
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Row};

    /// The tables that [`forget`](super::forget) knows, and those that keep what they have of a removed device.
    const FORGOTTEN: [&str; 3] = ["cursors", "links", "refresh_tokens"];
    const KEPT: [&str; 1] = ["teardowns"];

    /// A table that is made later has to be put into one of the lists, and [`forget`](super::forget) has to be taught.
    #[tokio::test]
    async fn every_table_with_a_device_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.expect("the store opens");
        let options = SqliteConnectOptions::new().filename(folder.path().join("lockstep.db"));
        let mut connection = options.connect().await.expect("the database opens");
        const TABLES: &str = "SELECT t.name FROM sqlite_schema t, pragma_table_info(t.name) c \
             WHERE t.type = 'table' AND c.name LIKE '%device' AND c.name <> 'sender_device' ORDER BY t.name";
        let rows = sqlx::query(TABLES).fetch_all(&mut connection).await.expect("the schema can be read");
        let mut known = [&FORGOTTEN[..], &KEPT[..]].concat();
        known.sort_unstable();
        assert_eq!(rows.iter().map(|row| row.get::<String, _>("name")).collect::<Vec<_>>(), known);
        store.close().await;
    }
}
