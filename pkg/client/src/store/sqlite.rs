//! A store in an SQLite file, for devices that keep what they have.

use super::{Change, HistorySource, LocalStore, OutboxItem, State, StoreError};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use lockstep_protocol::{
    Body, Content, ConversationId, Cursor, Entry, Epoch, Held, Kind, Offset, OffsetsVersion, Seq, Target,
};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Executor, Row, SqliteConnection, sqlite::SqliteRow};
use std::path::Path;
use std::time::Duration;

/// The version of the tables, kept in the file's `user_version`.
const SCHEMA_VERSION: i64 = 2;
const SCHEMA: &str = "
    CREATE TABLE device (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE cursors (conversation BLOB PRIMARY KEY, seq INTEGER NOT NULL, entry BLOB) WITHOUT ROWID;
    CREATE TABLE entries (conversation BLOB, seq INTEGER, entry TEXT NOT NULL, PRIMARY KEY (conversation, seq))
        WITHOUT ROWID;
    CREATE TABLE offsets (conversation BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE reads (conversation BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, client_msg_id TEXT NOT NULL UNIQUE,
        conversation BLOB, user TEXT, body TEXT NOT NULL);
";
/// What the second version adds: what is to be sent may be something else than a message.
const SCHEMA_2: &str = "
    ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'message';
    PRAGMA user_version = 2;
";

/// Tables that files of the same version may lack: nothing in them means what it meant without them.
const LATER: &str = "
    CREATE TABLE IF NOT EXISTS left_conversations (conversation BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS partial_conversations (conversation BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
";

/// A store in an SQLite file. It keeps the whole history: the disk is the bound.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    /// One connection: the file is locked for it, and transactions follow one another anyway.
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, made if need be, and locks it: one process uses it at a time.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, is in use, or is of a later version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .locking_mode(SqliteLockingMode::Exclusive)
            .busy_timeout(Duration::from_millis(250))
            // With NORMAL a power cut could take back a message that `enqueue` has promised to keep, and entries that
            // the server will not deliver again once retention has passed them. A device writes little.
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(failed("open the store"))?;
        let store = Self { pool };
        store.prepare().await?;
        Ok(store)
    }

    /// Closes the file. Other clones of this store fail from here on.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let failed = failed("prepare the store");
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await.map_err(&failed)?;
        match version {
            SCHEMA_VERSION => {}
            0 => {
                tx.execute(SCHEMA).await.map_err(&failed)?;
                tx.execute(SCHEMA_2).await.map_err(&failed)?;
            }
            1 => {
                tx.execute(SCHEMA_2).await.map_err(&failed)?;
            }
            _ => return Err(StoreError("the store was made by a later version".to_owned())),
        }
        tx.execute(LATER).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)
    }
}

#[async_trait]
impl LocalStore for SqliteStore {
    async fn load(&self) -> Result<State, StoreError> {
        let failed = failed("load the store");
        let mut tx = self.pool.begin().await.map_err(&failed)?;
        load(&mut tx).await.map_err(&failed)
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        let failed = failed("write to the store");
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(&failed)?;
        for change in changes {
            apply(&mut tx, change).await.map_err(&failed)?;
        }
        tx.commit().await.map_err(&failed)
    }

    async fn history(&self, conversation: ConversationId, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let failed = failed("read the history");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sqlx::query("SELECT entry FROM entries WHERE conversation = ? ORDER BY seq DESC LIMIT ?")
            .bind(blob(conversation.as_bytes()))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(&failed)?;
        rows.iter().rev().map(read_entry).collect::<Result<_, _>>().map_err(&failed)
    }
}

#[async_trait]
impl HistorySource for SqliteStore {
    async fn held(&self) -> Result<Vec<Held>, StoreError> {
        // A look at the first entry of each, not at all entries.
        const HELD: &str = "SELECT c.conversation, (SELECT min(e.seq) FROM entries e \
            WHERE e.conversation = c.conversation) AS first FROM cursors c WHERE first IS NOT NULL";
        let failed = failed("read what is held");
        let rows = sqlx::query(HELD).fetch_all(&self.pool).await.map_err(&failed)?;
        let held = |row| Ok(Held { conversation: conversation(row)?, from_seq: seq(row)? });
        rows.iter().map(held).collect::<sqlx::Result<_>>().map_err(&failed)
    }

    async fn latest(&self, conversation: ConversationId, entries: u32, to: Seq) -> Result<Option<Seq>, StoreError> {
        const LATEST: &str = "SELECT min(seq) FROM (SELECT seq FROM entries \
            WHERE conversation = ? AND seq <= ? ORDER BY seq DESC LIMIT ?)";
        let latest = sqlx::query_scalar(LATEST).bind(blob(conversation.as_bytes())).bind(to.get() as i64).bind(entries);
        let first: Option<i64> = latest.fetch_one(&self.pool).await.map_err(failed("read the history"))?;
        Ok(first.map(|seq| Seq::new(seq as u64)))
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        const STRETCH: &str = "SELECT entry FROM entries WHERE conversation = ? AND seq BETWEEN ? AND ? ORDER BY seq";
        let failed = failed("read the history");
        let mut rows = sqlx::query(STRETCH)
            .bind(blob(conversation.as_bytes()))
            .bind(from.get() as i64)
            .bind(to.get() as i64)
            .fetch(&self.pool);
        let mut room = bytes_max;
        let mut stretch: Vec<Entry> = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(&failed)? {
            let bytes = row.try_get::<&str, _>(0).map_err(&failed)?.len();
            if bytes > room && !stretch.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            stretch.push(read_entry(&row).map_err(&failed)?);
        }
        Ok(stretch)
    }
}

async fn load(db: &mut SqliteConnection) -> sqlx::Result<State> {
    let mut state = State::default();
    for row in sqlx::query("SELECT name, value FROM device").fetch_all(&mut *db).await? {
        match row.try_get::<&str, _>(0)? {
            "user" => state.user = Some(parsed(row.try_get(1)?)?),
            "feed" => state.feed = Some(ConversationId::from_bytes(bytes(&row, 1)?)),
            "epoch" => state.epoch = Some(Epoch::from_bytes(bytes(&row, 1)?)),
            "offsets_version" => state.offsets_version = OffsetsVersion::new(row.try_get::<i64, _>(1)? as u64),
            _ => {}
        }
    }
    for row in sqlx::query("SELECT conversation, seq, entry FROM cursors").fetch_all(&mut *db).await? {
        let entry: Option<&[u8]> = row.try_get(2)?;
        let entry = entry.map(|_| bytes(&row, 2)).transpose()?.map(lockstep_protocol::EntryId::from_bytes);
        state.cursors.insert(conversation(&row)?, Cursor { seq: seq(&row)?, entry });
    }
    for row in sqlx::query("SELECT conversation FROM left_conversations").fetch_all(&mut *db).await? {
        state.left.insert(conversation(&row)?);
    }
    for row in sqlx::query("SELECT conversation, seq FROM partial_conversations").fetch_all(&mut *db).await? {
        state.partial.insert(conversation(&row)?, seq(&row)?);
    }
    for row in sqlx::query("SELECT conversation, seq FROM offsets").fetch_all(&mut *db).await? {
        state.offsets.insert(conversation(&row)?, seq(&row)?);
    }
    for row in sqlx::query("SELECT conversation, seq FROM reads").fetch_all(&mut *db).await? {
        state.reads.insert(conversation(&row)?, seq(&row)?);
    }
    let outbox = "SELECT conversation, user, client_msg_id, body, kind FROM outbox ORDER BY position";
    for row in sqlx::query(outbox).fetch_all(&mut *db).await? {
        let target = match row.try_get::<Option<&str>, _>(1)? {
            Some(user) => Target::User(parsed(user)?),
            None => Target::Conversation(conversation(&row)?),
        };
        let body = Body::from_stored(row.try_get(3)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let kind = Kind::from_text(row.try_get(4)?);
        state.outbox.push(OutboxItem { client_msg_id: parsed(row.try_get(2)?)?, target, kind, body });
    }
    Ok(state)
}

const PUT: &str = "INSERT INTO device (name, value) VALUES (?, ?) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const PUT_CURSOR: &str = "INSERT INTO cursors (conversation, seq, entry) VALUES (?, ?, ?) \
    ON CONFLICT (conversation) DO UPDATE SET seq = excluded.seq, entry = excluded.entry";
const RAISE_OFFSET: &str = "INSERT INTO offsets (conversation, seq) VALUES (?, ?) \
    ON CONFLICT (conversation) DO UPDATE SET seq = max(seq, excluded.seq)";
const RAISE_READ: &str = "INSERT INTO reads (conversation, seq) VALUES (?, ?) \
    ON CONFLICT (conversation) DO UPDATE SET seq = max(seq, excluded.seq)";
const RAISE_PARTIAL: &str = "INSERT INTO partial_conversations (conversation, seq) VALUES (?, ?) \
    ON CONFLICT (conversation) DO UPDATE SET seq = max(seq, excluded.seq)";

/// Erases a recalled message and its edits.
const ERASE: &str = "UPDATE entries SET entry = json_set(entry, '$.body', json(?3)) WHERE conversation = ?1 \
    AND (seq = ?2 OR (seq > ?2 AND entry ->> '$.kind' = 'edit' AND entry ->> '$.body.target' = ?2))";

async fn apply(db: &mut SqliteConnection, change: &Change) -> sqlx::Result<()> {
    match change {
        Change::Identity { user, feed } => {
            sqlx::query(PUT).bind("user").bind(user.as_str()).execute(&mut *db).await?;
            sqlx::query(PUT).bind("feed").bind(blob(feed.as_bytes())).execute(db).await?;
        }
        Change::Epoch(epoch) => {
            sqlx::query(PUT).bind("epoch").bind(blob(epoch.as_bytes())).execute(db).await?;
        }
        Change::Entry(entry) => {
            put_entry(&mut *db, entry).await?;
            put_cursor(db, entry.conversation, Cursor { seq: entry.seq, entry: Some(entry.id) }).await?;
        }
        Change::Past(entry) => put_entry(db, entry).await?,
        Change::Partial(offset) => raise(db, RAISE_PARTIAL, offset).await?,
        Change::Filled { conversation, cursor } => {
            drop_partial(&mut *db, *conversation).await?;
            put_cursor(db, *conversation, *cursor).await?;
        }
        Change::PartialDropped(conversation) => {
            drop_partial(&mut *db, *conversation).await?;
            drop_entries(db, *conversation).await?;
        }
        Change::Cursor { conversation, cursor } => put_cursor(db, *conversation, *cursor).await?,
        Change::Reset { conversation, cursor } => {
            drop_entries(&mut *db, *conversation).await?;
            put_cursor(db, *conversation, *cursor).await?;
        }
        Change::Left(conversation) => {
            let leave = sqlx::query("INSERT OR IGNORE INTO left_conversations (conversation) VALUES (?)");
            leave.bind(blob(conversation.as_bytes())).execute(db).await?;
        }
        Change::Joined(conversation) => {
            let join = sqlx::query("DELETE FROM left_conversations WHERE conversation = ?");
            join.bind(blob(conversation.as_bytes())).execute(db).await?;
        }
        Change::Offsets { version, offsets } => {
            for offset in offsets {
                raise(db, RAISE_OFFSET, offset).await?;
            }
            if let Some(version) = version {
                sqlx::query(PUT).bind("offsets_version").bind(version.get() as i64).execute(db).await?;
            }
        }
        Change::OffsetsDropped => {
            sqlx::query("DELETE FROM offsets").execute(&mut *db).await?;
            sqlx::query("DELETE FROM device WHERE name = 'offsets_version'").execute(db).await?;
        }
        Change::OutboxAdded(item) => add_to_outbox(db, item).await?,
        Change::OutboxRemoved(id) => {
            sqlx::query("DELETE FROM outbox WHERE client_msg_id = ?").bind(id.as_str()).execute(db).await?;
        }
        Change::ReadWanted(offset) => raise(db, RAISE_READ, offset).await?,
        Change::ReadSettled(offset) => {
            let settle = sqlx::query("DELETE FROM reads WHERE conversation = ? AND seq <= ?");
            settle.bind(blob(offset.conversation.as_bytes())).bind(offset.seq.get() as i64).execute(db).await?;
        }
    }
    Ok(())
}

async fn put_entry(db: &mut SqliteConnection, entry: &Entry) -> sqlx::Result<()> {
    let json = serde_json::to_string(entry).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("INSERT OR REPLACE INTO entries (conversation, seq, entry) VALUES (?, ?, ?)")
        .bind(blob(entry.conversation.as_bytes()))
        .bind(entry.seq.get() as i64)
        .bind(json)
        .execute(&mut *db)
        .await?;
    if let (Kind::Recall, Ok(Content::Recall { target })) = (&entry.kind, Content::of(&entry.kind, &entry.body)) {
        sqlx::query(ERASE)
            .bind(blob(entry.conversation.as_bytes()))
            .bind(target.get() as i64)
            .bind(Body::recalled().as_json().to_owned())
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

async fn drop_entries(db: &mut SqliteConnection, conversation: ConversationId) -> sqlx::Result<()> {
    let drop_entries = sqlx::query("DELETE FROM entries WHERE conversation = ?");
    drop_entries.bind(blob(conversation.as_bytes())).execute(db).await.map(drop)
}

async fn drop_partial(db: &mut SqliteConnection, conversation: ConversationId) -> sqlx::Result<()> {
    let drop_partial = sqlx::query("DELETE FROM partial_conversations WHERE conversation = ?");
    drop_partial.bind(blob(conversation.as_bytes())).execute(db).await.map(drop)
}

async fn put_cursor(db: &mut SqliteConnection, conversation: ConversationId, cursor: Cursor) -> sqlx::Result<()> {
    sqlx::query(PUT_CURSOR)
        .bind(blob(conversation.as_bytes()))
        .bind(cursor.seq.get() as i64)
        .bind(cursor.entry.map(|id| blob(id.as_bytes())))
        .execute(db)
        .await
        .map(drop)
}

async fn raise(db: &mut SqliteConnection, sql: &'static str, offset: &Offset) -> sqlx::Result<()> {
    let raise = sqlx::query(sql).bind(blob(offset.conversation.as_bytes())).bind(offset.seq.get() as i64);
    raise.execute(db).await.map(drop)
}

async fn add_to_outbox(db: &mut SqliteConnection, item: &OutboxItem) -> sqlx::Result<()> {
    let (conversation, user) = match &item.target {
        Target::Conversation(conversation) => (Some(blob(conversation.as_bytes())), None),
        Target::User(user) => (None, Some(user.as_str().to_owned())),
    };
    sqlx::query("INSERT OR IGNORE INTO outbox (client_msg_id, conversation, user, body, kind) VALUES (?, ?, ?, ?, ?)")
        .bind(item.client_msg_id.as_str().to_owned())
        .bind(conversation)
        .bind(user)
        .bind(item.body.as_json().to_owned())
        .bind(item.kind.as_str().to_owned())
        .execute(db)
        .await
        .map(drop)
}

fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| StoreError(format!("cannot {operation}: {error}"))
}

fn blob(bytes: &[u8; 16]) -> Vec<u8> {
    bytes.to_vec()
}

fn bytes(row: &SqliteRow, column: usize) -> sqlx::Result<[u8; 16]> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes.try_into().map_err(|_| sqlx::Error::Decode("an id must have 16 bytes".into()))
}

fn conversation(row: &SqliteRow) -> sqlx::Result<ConversationId> {
    bytes(row, 0).map(ConversationId::from_bytes)
}

fn seq(row: &SqliteRow) -> sqlx::Result<Seq> {
    row.try_get::<i64, _>(1).map(|seq| Seq::new(seq as u64))
}

fn parsed<T: std::str::FromStr<Err = lockstep_protocol::IdError>>(text: &str) -> sqlx::Result<T> {
    text.parse().map_err(|error: T::Err| sqlx::Error::Decode(error.into()))
}

fn read_entry(row: &SqliteRow) -> sqlx::Result<Entry> {
    serde_json::from_str(row.try_get(0)?).map_err(|error| sqlx::Error::Decode(error.into()))
}
