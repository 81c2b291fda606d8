//! The bounded pool of connections that read.

use crate::sql::{self, RowsSql, Values};
use crate::stats::Counters;
use lockstep_ports::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
use std::sync::Arc;

/// The pool, and the count of what it is asked.
pub(crate) struct Readers {
    pool: SqlitePool,
    counters: Arc<Counters>,
}

impl Readers {
    pub(crate) fn new(pool: SqlitePool, counters: Arc<Counters>) -> Self {
        Self { pool, counters }
    }

    /// All rows of a statement.
    pub(crate) async fn fetch(
        &self,
        operation: &'static str,
        sql: &'static str,
        values: &mut Values,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let mut connection = self.connection(operation).await?;
        sql::fetch(&mut connection, sql, values).await.map_err(|error| failed(operation, error))
    }

    /// The rows of a statement about many items.
    pub(crate) async fn fetch_many<T: Sync>(
        &self,
        operation: &'static str,
        sql: &RowsSql,
        items: &[T],
        bind: impl Fn(&mut Values, usize, &T) + Send + Sync,
        take: impl FnMut(&SqliteRow) -> Result<(), sqlx::Error> + Send,
    ) -> Result<(), StoreError> {
        if items.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection(operation).await?;
        sql.fetch(&mut connection, false, items, bind, take).await.map_err(|error| failed(operation, error))
    }

    async fn connection(&self, operation: &'static str) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.counters.read_query();
        self.pool.acquire().await.map_err(|error| failed(operation, error))
    }
}

/// A read's failure as the ports name it.
pub(crate) fn failed(operation: &'static str, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::PoolClosed => StoreError::Closed { operation },
        error => StoreError::Read { operation, cause: Arc::new(error) },
    }
}
