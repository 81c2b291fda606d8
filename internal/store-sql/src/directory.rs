//! The directory port: commands go to the write task, questions to the readers.

use crate::read::failed;
use crate::row::{Columns, conversation_columns, device_columns, state_columns};
use crate::sql::{RowsSql, Values};
use crate::store::SqliteStore;
use crate::write::{ConnectDevice, CreateConversation, CreateDevice, EnsureUser, LowerCursors, Queued, RemoveDevice};
use async_trait::async_trait;
use lockstep_model::{
    Bounds, Conversation, ConversationId, Device, DeviceId, Intervals, TokenGeneration, UnixMs, User, UserId,
};
use lockstep_ports::{
    Committed, Connected, CursorRow, Directory, DirectoryRefusal, Followed, ListedConversation, NewConversation,
    NewDevice, StoreError,
};
use sqlx::sqlite::SqliteRow;
use std::sync::LazyLock;

static GONE: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        2,
        "WITH want (i, device) AS (VALUES {rows}) SELECT w.i FROM want w LEFT JOIN devices d ON d.id = w.device \
         WHERE w.i IS NOT NULL AND (d.id IS NULL OR d.removed_at IS NOT NULL)",
    )
});

type Refusable<T> = Result<Result<T, DirectoryRefusal>, StoreError>;

#[async_trait]
impl Directory for SqliteStore {
    async fn ensure_user(&self, user: UserId, now: UnixMs) -> Result<User, StoreError> {
        self.command(EnsureUser { user, now }).await
    }

    async fn user(&self, user: UserId) -> Result<Option<User>, StoreError> {
        const FIND: &str = "SELECT id, feed, created_at FROM users WHERE id = ?";
        let users = self.ask("user", FIND, Values::new().text(user.as_str()), |columns| columns.user()).await?;
        Ok(users.into_iter().next())
    }

    async fn create_device(&self, device: NewDevice) -> Refusable<Committed<Device>> {
        self.command(CreateDevice(device)).await
    }

    async fn device(&self, device: DeviceId) -> Result<Option<Device>, StoreError> {
        const FIND: &str = concat!("SELECT ", device_columns!(), " FROM devices WHERE id = ?");
        let devices =
            self.ask("device", FIND, Values::new().blob(device.as_bytes()), |columns| columns.device()).await?;
        Ok(devices.into_iter().next())
    }

    async fn devices_of(&self, user: UserId) -> Result<Vec<Device>, StoreError> {
        const LIST: &str = concat!(
            "SELECT ",
            device_columns!(),
            " FROM devices WHERE user = ? AND removed_at IS NULL ORDER BY created_at, id"
        );
        self.ask("devices_of", LIST, Values::new().text(user.as_str()), |columns| columns.device()).await
    }

    async fn gone(&self, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, StoreError> {
        let mut gone = vec![false; devices.len()];
        let bind = |values: &mut Values, index: usize, device: &DeviceId| {
            values.int(index as u64).blob(device.as_bytes());
        };
        let take = |row: &SqliteRow| {
            if let Some(gone) = gone.get_mut(Columns::of(row).index()?) {
                *gone = true;
            }
            Ok(())
        };
        self.readers().fetch_many("gone", &GONE, &devices, bind, take).await?;
        Ok(devices.into_iter().zip(gone).filter_map(|(device, gone)| gone.then_some(device)).collect())
    }

    async fn connect_device(
        &self,
        device: DeviceId,
        token_generation: TokenGeneration,
        now: UnixMs,
    ) -> Refusable<Connected> {
        self.command(ConnectDevice { device, token_generation, now }).await
    }

    async fn remove_device(&self, device: DeviceId, now: UnixMs) -> Refusable<Committed<Device>> {
        self.command(RemoveDevice { device, now }).await
    }

    async fn create_conversation(&self, conversation: NewConversation) -> Refusable<Committed<Conversation>> {
        self.command(CreateConversation(conversation)).await
    }

    async fn membership(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Option<(Intervals, Bounds)>, StoreError> {
        // Without the index's name all members of a room would be looked through, as their key is in the wanted order.
        const FIND: &str = "SELECT c.floor, c.head, m.user IS NOT NULL, m.joined_seq, m.left_seq, \
               max(m.visible_from_seq, ifnull(s.delete_before, 0)) \
             FROM conversations c LEFT JOIN members m INDEXED BY members_by_user ON m.user = ?2 AND m.conversation = c.id \
             LEFT JOIN member_states s ON s.user = ?2 AND s.conversation = c.id \
             WHERE c.id = ?1 ORDER BY m.joined_seq";
        let mut values = Values::new();
        values.blob(conversation.as_bytes()).text(user.as_str());
        let stay = |columns: &mut Columns<'_>| {
            let bounds = columns.bounds()?;
            let interval = if columns.flag()? { Some(columns.interval()?) } else { None };
            Ok((bounds, interval))
        };
        let stays = self.ask("membership", FIND, &mut values, stay).await?;
        let bounds = stays.first().map(|(bounds, _)| *bounds);
        let intervals = Intervals(stays.into_iter().filter_map(|(_, interval)| interval).collect());
        Ok(bounds.map(|bounds| (intervals, bounds)))
    }

    async fn members_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        count: u32,
    ) -> Result<Vec<UserId>, StoreError> {
        // Those who joined at the same head stand in the order of their ids. Who has left since still has a place in
        // the order, so that a reader can go on from there.
        const LIST: &str = "SELECT user FROM members WHERE conversation = ?1 AND left_seq IS NULL \
             AND (joined_seq, user) > (CASE WHEN ?2 IS NULL THEN -1 ELSE (SELECT max(m.joined_seq) \
               FROM members m INDEXED BY members_by_user WHERE m.user = ?2 AND m.conversation = ?1) END, ifnull(?2, '')) \
             ORDER BY joined_seq, user LIMIT ?3";
        let mut values = Values::new();
        values.blob(conversation.as_bytes()).optional_text(after.as_ref().map(UserId::as_str)).int(count.into());
        self.ask("members_of", LIST, &mut values, |columns| columns.user_id()).await
    }

    async fn conversations_of(
        &self,
        user: UserId,
        after: Option<(UnixMs, ConversationId)>,
        count: u32,
    ) -> Result<Vec<ListedConversation>, StoreError> {
        // Those that were active at the same time stand in the order of their ids, newest first.
        const LIST: &str = concat!(
            "SELECT ",
            conversation_columns!(),
            ", max(m.left_seq IS NULL), CASE WHEN c.kind = 'direct' THEN \
               (SELECT p.user FROM members p WHERE p.conversation = c.id AND p.user <> ?1 LIMIT 1) END, ",
            state_columns!(),
            " FROM members m JOIN conversations c ON c.id = m.conversation \
             LEFT JOIN member_states s ON s.user = m.user AND s.conversation = m.conversation \
             WHERE m.user = ?1 AND c.kind <> 'feed' AND (?2 IS NULL OR (c.active_at, c.id) < (?2, ?3)) \
             GROUP BY c.id ORDER BY c.active_at DESC, c.id DESC LIMIT ?4"
        );
        let mut values = Values::new();
        values.text(user.as_str());
        match &after {
            Some((active_at, id)) => values.int(active_at.get()).blob(id.as_bytes()),
            None => values.optional_blob(None).optional_blob(None),
        };
        values.int(count.into());
        let listed = |columns: &mut Columns<'_>| {
            Ok(ListedConversation {
                conversation: columns.conversation()?,
                member: columns.flag()?,
                peer: columns.optional_user_id()?,
                state: columns.member_state()?,
            })
        };
        self.ask("conversations_of", LIST, &mut values, listed).await
    }

    async fn followed(&self, user: UserId, device: DeviceId) -> Result<Vec<Followed>, StoreError> {
        self.follow().ask((user, device)).await
    }

    async fn store_cursors(&self, cursors: Vec<CursorRow>) -> Result<(), StoreError> {
        if cursors.is_empty() {
            return Ok(());
        }
        self.submit(cursors, Queued::Cursors).await
    }

    async fn lower_cursors(&self, cursors: Vec<CursorRow>) -> Result<(), StoreError> {
        if cursors.is_empty() {
            return Ok(());
        }
        self.command(LowerCursors(cursors)).await
    }
}

impl SqliteStore {
    /// Asks one statement and reads each of its rows.
    pub(crate) async fn ask<T>(
        &self,
        operation: &'static str,
        sql: &'static str,
        values: &mut Values,
        read: impl Fn(&mut Columns<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let rows: Vec<SqliteRow> = self.readers().fetch(operation, sql, values).await?;
        let read = rows.iter().map(|row| read(&mut Columns::of(row)));
        read.collect::<Result<_, _>>().map_err(|error| failed(operation, error))
    }
}
