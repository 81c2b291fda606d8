//! The directory port: commands go to the write task, questions to the readers.

use crate::read::failed;
use crate::row::{Columns, conversation_columns, device_columns};
use crate::sql::{RowsSql, Values};
use crate::store::SqliteStore;
use crate::write::{
    ConnectDevice, CreateConversation, CreateDevice, EnsureUser, FillDevice, LowerCursors, Queued, RenameDevice,
};
use async_trait::async_trait;
use lockstep_model::{
    Bounds, Conversation, ConversationId, Details, Device, DeviceId, History, Intervals, Member, Seq, TokenGeneration,
    UnixMs, User, UserId,
};
use lockstep_ports::{
    Committed, Connected, CursorRow, DeviceRefusal, DeviceRename, Directory, DirectoryRefusal, Followed,
    ListedConversation, NewConversation, NewDevice, StoreError,
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

static STRAYS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, device, conversation) AS (VALUES {rows}) \
         SELECT w.i FROM want w CROSS JOIN devices d ON d.id = w.device AND d.removed_at IS NULL \
         WHERE NOT EXISTS (SELECT 1 FROM members m INDEXED BY members_by_user \
           WHERE m.user = d.user AND m.conversation = w.conversation AND m.left_seq IS NULL)",
    )
});

type Refusable<T> = Result<Result<T, DirectoryRefusal>, StoreError>;

/// The members of now: those who joined at the same head stand in the order of their ids.
const MEMBERS: &str = "SELECT user, role, joined_seq, joined_at FROM members INDEXED BY members_now \
     WHERE conversation = ?1 AND left_seq IS NULL AND (joined_seq, user) > (ifnull(?2, -1), ifnull(?3, '')) \
     ORDER BY joined_seq, user LIMIT ?4";

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

    async fn strays(
        &self,
        places: Vec<(DeviceId, ConversationId)>,
    ) -> Result<Vec<(DeviceId, ConversationId)>, StoreError> {
        let mut strays = vec![false; places.len()];
        let bind = |values: &mut Values, index: usize, (device, conversation): &(DeviceId, ConversationId)| {
            values.int(index as u64).blob(device.as_bytes()).blob(conversation.as_bytes());
        };
        let take = |row: &SqliteRow| {
            if let Some(stray) = strays.get_mut(Columns::of(row).index()?) {
                *stray = true;
            }
            Ok(())
        };
        self.readers().fetch_many("strays", &STRAYS, &places, bind, take).await?;
        Ok(places.into_iter().zip(strays).filter_map(|(place, stray)| stray.then_some(place)).collect())
    }

    async fn connect_device(
        &self,
        device: DeviceId,
        token_generation: TokenGeneration,
        now: UnixMs,
    ) -> Refusable<Connected> {
        self.command(ConnectDevice { device, token_generation, now }).await
    }

    async fn fill_device(&self, device: DeviceId) -> Result<(), StoreError> {
        self.command(FillDevice(device)).await
    }

    async fn authorize_device(&self, device: DeviceId, token_generation: TokenGeneration) -> Refusable<Device> {
        const FIND: &str = concat!(
            "SELECT ",
            device_columns!(),
            ", (SELECT u.disabled_at IS NOT NULL FROM users u WHERE u.id = devices.user) FROM devices WHERE id = ?"
        );
        let read = |columns: &mut Columns<'_>| Ok((columns.device()?, columns.flag()?));
        let found = self.ask("authorize_device", FIND, Values::new().blob(device.as_bytes()), read).await?;
        Ok(match found.into_iter().next() {
            None => Err(DirectoryRefusal::NoSuchDevice),
            Some((device, _)) if device.removed_at.is_some() => Err(DirectoryRefusal::DeviceRemoved),
            Some((_, true)) => Err(DirectoryRefusal::UserDisabled),
            Some((device, false)) if token_generation < device.token_generation => Err(DirectoryRefusal::OldGeneration),
            Some((device, false)) => Ok(device),
        })
    }

    async fn rename_device(
        &self,
        rename: DeviceRename,
    ) -> Result<Result<Committed<Device>, DeviceRefusal>, StoreError> {
        self.command(RenameDevice(rename)).await
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
        after: Option<(Seq, UserId)>,
        count: u32,
    ) -> Result<Vec<Member>, StoreError> {
        let mut values = Values::new();
        values.blob(conversation.as_bytes());
        match &after {
            Some((joined, user)) => values.int(joined.get()).text(user.as_str()),
            None => values.optional_text(None).optional_text(None),
        };
        values.int(count.into());
        self.ask("members_of", MEMBERS, &mut values, |columns| columns.member()).await
    }

    async fn conversations_of(
        &self,
        user: UserId,
        after: Option<(UnixMs, ConversationId)>,
        count: u32,
    ) -> Result<Vec<ListedConversation>, StoreError> {
        // Those that were active at the same time stand in the order of their ids, newest first. What goes on in a
        // conversation does not move it for those who have left.
        const LIST: &str = concat!(
            "WITH stays AS MATERIALIZED (SELECT conversation, max(left_seq IS NULL) AS lasts, max(left_seq) AS left_seq, \
               max(left_at) AS left_at, max(CASE WHEN left_seq IS NULL THEN role END) AS role \
               FROM members WHERE user = ?1 GROUP BY conversation), \
             listed AS (SELECT s.*, c.*, k.pinned, k.archived, k.muted_until, k.marked_unread, k.delete_before, \
               CASE WHEN s.lasts THEN c.active_at ELSE ifnull(s.left_at, c.created_at) END AS at \
               FROM stays s JOIN conversations c ON c.id = s.conversation \
               LEFT JOIN member_states k ON k.user = ?1 AND k.conversation = c.id WHERE c.kind <> 'feed') \
             SELECT ",
            conversation_columns!(),
            ", c.role, CASE WHEN c.kind = 'direct' THEN \
               (SELECT p.user FROM members p WHERE p.conversation = c.id AND p.user <> ?1 LIMIT 1) END, \
               c.pinned, c.archived, c.muted_until, c.marked_unread, c.delete_before, \
               CASE WHEN NOT c.lasts THEN c.left_seq END, c.at \
             FROM listed c WHERE ?2 IS NULL OR (c.at, c.id) < (?2, ?3) \
             ORDER BY c.at DESC, c.id DESC LIMIT ?4"
        );
        let mut values = Values::new();
        values.text(user.as_str());
        match &after {
            Some((active_at, id)) => values.int(active_at.get()).blob(id.as_bytes()),
            None => values.optional_blob(None).optional_blob(None),
        };
        values.int(count.into());
        let listed = |columns: &mut Columns<'_>| {
            let mut listed = ListedConversation {
                conversation: columns.conversation()?,
                role: columns.optional_role()?,
                peer: columns.optional_user_id()?,
                state: columns.member_state()?,
            };
            if let Some(left) = columns.optional_int()?.map(Seq::new) {
                as_it_was(&mut listed.conversation, left, columns.time()?);
            }
            Ok(listed)
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

/// What is left of a conversation for one who has left it.
fn as_it_was(conversation: &mut Conversation, left: Seq, left_at: UnixMs) {
    let Conversation { details, member_count, bounds, active_at, .. } = conversation;
    *details = Details { title: None, avatar: None, custom: None, history: History::None };
    (*member_count, *active_at) = (0, left_at);
    (bounds.head, bounds.floor) = (left, bounds.floor.min(left.next()));
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

#[cfg(test)]
mod tests {
    use super::MEMBERS;
    use crate::write::SUCCESSOR;
    use crate::{SqliteOptions, SqliteStore};
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Row};

    /// However many came and went, only those are read who are there, in their order.
    #[tokio::test]
    async fn members_are_read_along_the_index_of_those_who_are_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.expect("the store opens");
        let options = SqliteConnectOptions::new().filename(folder.path().join("lockstep.db"));
        let mut connection = options.connect().await.expect("the database opens");
        for statement in [MEMBERS, SUCCESSOR] {
            let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let steps = sqlx::query(plan).fetch_all(&mut connection).await.expect("the statement has a plan");
            let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
            let along = steps.iter().all(|step| step.contains("INDEX members_now (conversation=?"));
            assert!(along, "{statement}: {steps:?}");
        }
        store.close().await;
    }
}
