//! Opening: the folder, its lock, the database, its schema, its identity.

use crate::health::Health;
use crate::options::SqliteOptions;
use crate::sql::{self, Values};
use futures_util::future::try_join_all;
use lockstep_model::Epoch;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The schema's steps; `PRAGMA user_version` counts those that a database has taken.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_services.sql"),
    include_str!("../migrations/0003_accounts.sql"),
    include_str!("../migrations/0004_groups.sql"),
    include_str!("../migrations/0005_messages.sql"),
    include_str!("../migrations/0006_people.sql"),
    include_str!("../migrations/0007_reads.sql"),
    include_str!("../migrations/0008_unused_sign_ins.sql"),
    include_str!("../migrations/0009_fills.sql"),
    include_str!("../migrations/0010_disabled_users.sql"),
    include_str!("../migrations/0011_links.sql"),
    include_str!("../migrations/0012_teardowns.sql"),
    include_str!("../migrations/0013_bounds.sql"),
];
/// `PRAGMA application_id` of our databases: "Lock" (<https://www.sqlite.org/pragma.html#pragma_application_id>).
const APPLICATION_ID: i64 = 0x4c6f_636b;
const PAGE_BYTES: u64 = 4_096;

/// Why a store could not be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is not there and cannot be made.
    #[error("the data folder {path} cannot be made; create it, or name another one")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// The folder cannot be written to.
    #[error("the data folder {path} cannot be written to; give this user the right to, or name another one")]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// Another server has the folder open.
    #[error("another running server uses the data folder {path}; stop it, or name another folder")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The database was written by a later version.
    #[error(
        "the database {path} is from a newer version of Lockstep (schema {found}, this version knows {known}); run that \
         version, or restore an older backup"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The database's schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// The file is no database, or one of another program.
    #[error("{path} is not a Lockstep database; move it away, or name another data folder")]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The database is damaged.
    #[error("the database {path} is damaged; restore it from a backup")]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: sqlx::Error,
    },
    /// The database could not be opened, read or written.
    #[error("the database {path} could not be opened; check the disk's space and health and the file's rights")]
    Database {
        /// The database file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: sqlx::Error,
    },
}

/// An open database.
pub(crate) struct Opened {
    pub(crate) lock: File,
    pub(crate) connection: SqliteConnection,
    pub(crate) connect: SqliteConnectOptions,
    pub(crate) readers: SqlitePool,
    pub(crate) health: Health,
    pub(crate) epoch: Epoch,
}

pub(crate) async fn open(folder: &Path, options: &SqliteOptions) -> Result<Opened, OpenError> {
    let lock = lock(folder)?;
    let path = folder.join("lockstep.db");
    let connect = writing(&path, options);
    let failed = |cause| explain(&path, cause);
    // Asked before anything is changed: the file may be another program's.
    check_ours(&path).await?;
    let mut connection = connect.connect().await.map_err(failed)?;
    migrate(&mut connection).await.map_err(failed)?;
    let epoch = epoch(&mut connection).await.map_err(failed)?;
    let readers = readers(&path, options).await.map_err(failed)?;
    let health = Health::of(path.clone()).map_err(|cause| failed(sqlx::Error::Io(cause)))?;
    // A later connection is one to this database. One that is not there any more must not be made anew.
    let connect = connect.create_if_missing(false);
    Ok(Opened { lock, connection, connect, readers, health, epoch })
}

/// Opens all readers, so that later reads need nothing but what is open: they go on even if the folder is lost.
async fn readers(path: &Path, options: &SqliteOptions) -> Result<SqlitePool, sqlx::Error> {
    let connections = options.readers.max(1);
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        // A caller waits as long as it likes: it holds a place in a bounded number of requests itself.
        .acquire_timeout(Duration::from_secs(60))
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(reading(path));
    // Held all at once, so that each is another one.
    try_join_all((0..connections).map(|_| pool.acquire())).await?;
    Ok(pool)
}

/// Makes the folder and takes its lock, which the system gives free when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.to_owned();
    std::fs::create_dir_all(folder).map_err(|cause| OpenError::Folder { path: path.clone(), cause })?;
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lockstep.lock"));
    let file = file.map_err(|cause| OpenError::NotWritable { path: path.clone(), cause })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
        Err(TryLockError::Error(cause)) => Err(OpenError::NotWritable { path, cause }),
    }
}

fn writing(path: &Path, options: &SqliteOptions) -> SqliteConnectOptions {
    let connect = common(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES as u32)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", options.checkpoint_pages.to_string())
        // A log that grew under load is cut back to this at the next checkpoint.
        .pragma("journal_size_limit", (64 * 1024 * 1024).to_string())
        // The pages that the next transactions change again: the last one of each conversation, and where sends go.
        .pragma("cache_size", "-32768")
        .pragma("temp_store", "memory")
        .thread_name(|_| "lockstep-write".into());
    match options.database_bytes_max {
        Some(bytes) => connect.pragma("max_page_count", (bytes / PAGE_BYTES).max(1).to_string()),
        None => connect,
    }
}

fn reading(path: &Path) -> SqliteConnectOptions {
    common(path)
        .read_only(true)
        // What is read again and again are the upper pages of the trees; the system keeps the others at hand for all.
        .pragma("cache_size", "-2048")
        .thread_name(|number| format!("lockstep-read-{number}"))
}

fn common(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_secs(10))
        // Whole answers pass to the caller without the two threads waiting for one another.
        .row_buffer_size(1_024)
        .statement_cache_capacity(256)
        .disable_statement_logging()
}

/// Checks that the file, if it is there, is one of our databases and of a version that we know.
async fn check_ours(path: &Path) -> Result<(), OpenError> {
    // An empty file is what a crash before the first write leaves.
    if std::fs::metadata(path).map_or(true, |file| file.len() == 0) {
        return Ok(());
    }
    let failed = |cause| explain(path, cause);
    let mut connection = common(path).connect().await.map_err(failed)?;
    let application = pragma(&mut connection, "PRAGMA application_id").await.map_err(failed)?;
    let found = pragma(&mut connection, "PRAGMA user_version").await.map_err(failed)?;
    let objects = pragma(&mut connection, "SELECT count(*) FROM sqlite_schema").await.map_err(failed)?;
    let known = MIGRATIONS.len() as i64;
    match (application, found) {
        (APPLICATION_ID, found) if found > known => Err(OpenError::Newer { path: path.to_owned(), found, known }),
        (APPLICATION_ID, _) => Ok(()),
        // A crash before the first migration leaves a database with nothing in it.
        (0, 0) if objects == 0 => Ok(()),
        _ => Err(OpenError::NotOurs { path: path.to_owned() }),
    }
}

async fn pragma(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query(sql).fetch_one(connection).await?.try_get(0)
}

/// Takes the steps that the schema lacks, each in a transaction of its own together with its number.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let taken = pragma(connection, "PRAGMA user_version").await?;
    for (number, migration) in (1..).zip(MIGRATIONS).skip(usize::try_from(taken).unwrap_or(0)) {
        let script = format!(
            "BEGIN IMMEDIATE; {migration}; \
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The store's identity, made with the store.
async fn epoch(connection: &mut SqliteConnection) -> Result<Epoch, sqlx::Error> {
    const MAKE: &str = "INSERT OR IGNORE INTO meta (name, value) VALUES ('epoch', ?)";
    sql::execute(connection, MAKE, Values::new().blob(Epoch::generate().as_bytes())).await?;
    const FIND: &str = "SELECT value FROM meta WHERE name = 'epoch'";
    let rows = sql::fetch(connection, FIND, &mut Values::new()).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    crate::row::Columns::of(row).bytes().map(Epoch::from_bytes)
}

/// Tells by SQLite's primary result code (<https://www.sqlite.org/rescode.html>) what is wrong with a database.
fn explain(path: &Path, cause: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    let code = cause.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i32>().ok());
    match code.map(|code| code & 0xff) {
        // SQLITE_NOTADB
        Some(26) => OpenError::NotOurs { path },
        // SQLITE_CORRUPT
        Some(11) => OpenError::Corrupt { path, cause },
        _ => OpenError::Database { path, cause },
    }
}
