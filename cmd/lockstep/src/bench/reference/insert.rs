//! Bare INSERTs: so many rows to a transaction, into a table of two columns, with the settings of the server's store.

use super::super::frames;
use anyhow::{Context, Result};
use lockstep_model::EntryId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows a second that SQLite takes in transactions of `batch` rows each.
pub(in super::super) async fn rows_per_second(batch: usize, body_bytes: usize, time: Duration) -> Result<f64> {
    let folder = tempfile::tempdir().context("no folder for the reference")?;
    let mut connection = SqliteConnectOptions::new()
        .filename(folder.path().join("bare.db"))
        .create_if_missing(true)
        .page_size(4_096)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "8192")
        .pragma("journal_size_limit", (64 * 1024 * 1024).to_string())
        .pragma("cache_size", "-65536")
        .disable_statement_logging()
        .connect()
        .await?;
    let table = "CREATE TABLE bare (id BLOB PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID";
    sqlx::query(table).execute(&mut connection).await?;
    // SQLite takes at most 32,766 values in a statement.
    let batch = batch.clamp(1, 16_000);
    let insert: Arc<str> = format!("INSERT INTO bare VALUES {}", vec!["(?,?)"; batch].join(",")).into();
    let body = frames::body(body_bytes);
    let (began, mut inserted) = (Instant::now(), 0);
    while began.elapsed() < time {
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&insert)));
        for _ in 0..batch {
            query = query.bind(EntryId::generate().as_bytes().to_vec()).bind(body.clone());
        }
        inserted += query.execute(&mut connection).await?.rows_affected();
    }
    Ok(inserted as f64 / began.elapsed().as_secs_f64())
}
