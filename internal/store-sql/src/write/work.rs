//! One transaction in the making.

use crate::health::Health;
use crate::options::SqliteOptions;
use crate::sql::{self, RowsScript, RowsSql, Values};
use crate::stats::Tally;
use lockstep_model::Offset;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

/// What the commands of one transaction share: the connection and what will have to be told once it is committed.
///
/// The transaction begins with the first statement, and ends with the last one where that is known to be the last: each
/// trip to SQLite's thread and back wakes two threads, which for a lone send costs more than the statements do.
pub(crate) struct Work<'c> {
    connection: &'c mut SqliteConnection,
    health: &'c Health,
    stage: Stage,
    /// Whether nothing comes after the job that runs now.
    pub(crate) last_job: bool,
    pub(crate) options: &'c SqliteOptions,
    /// The heads that the transaction moves.
    pub(crate) moved: Vec<Offset>,
    /// The rows that it writes.
    pub(crate) tally: Tally,
}

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Before,
    Open,
    Committed,
}

/// Where to go back to.
pub(crate) struct Savepoint {
    moved: usize,
    tally: Tally,
}

impl<'c> Work<'c> {
    pub(crate) fn new(connection: &'c mut SqliteConnection, health: &'c Health, options: &'c SqliteOptions) -> Self {
        let (moved, tally) = (Vec::new(), Tally::default());
        Self { connection, health, stage: Stage::Before, last_job: false, options, moved, tally }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// The connection, for a statement of the transaction.
    pub(crate) async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.tally.trips += 1;
        if self.stage == Stage::Before {
            sql::execute(self.connection, sql::BEGIN, &mut Values::new()).await?;
            self.stage = Stage::Open;
        }
        Ok(self.connection)
    }

    /// Asks a statement about many items.
    pub(crate) async fn fetch<T: Sync>(
        &mut self,
        sql: &RowsSql,
        items: &[T],
        bind: impl Fn(&mut Values, usize, &T) + Send + Sync,
        take: impl FnMut(&SqliteRow) -> Result<(), sqlx::Error> + Send,
    ) -> Result<(), sqlx::Error> {
        if items.is_empty() {
            return Ok(());
        }
        self.tally.trips += 1;
        sql.fetch(self.connection, self.stage == Stage::Before, items, bind, take).await?;
        self.stage = Stage::Open;
        Ok(())
    }

    /// Executes a script. If it is the job's last statement and the job is the last one, it commits too.
    pub(crate) async fn execute_script<const N: usize>(
        &mut self,
        script: &RowsScript<N>,
        last_statement: bool,
        rows: usize,
        bind: impl Fn(&mut Values, usize),
    ) -> Result<u64, sqlx::Error> {
        let commit = last_statement && self.last_job;
        if commit {
            self.check_files()?;
        }
        let changed = script.execute(self.connection().await?, commit, rows, bind).await?;
        if commit {
            self.stage = Stage::Committed;
        }
        Ok(changed)
    }

    /// Commits what is not committed yet.
    pub(crate) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        if self.stage == Stage::Open {
            self.check_files()?;
            self.tally.trips += 1;
            sql::execute(self.connection, sql::COMMIT, &mut Values::new()).await?;
            self.stage = Stage::Committed;
        }
        Ok(())
    }

    /// Looks for the files as late as possible: here everything can still be rolled back, and nothing has been answered.
    /// A look after the commit would find more only of what is lost around an answer, which nothing can prevent. It is
    /// done on the runtime: two questions to a local file system's memory, a microsecond or so each, before a sync.
    fn check_files(&self) -> Result<(), sqlx::Error> {
        self.health.check_files().map_err(sqlx::Error::Io)
    }

    /// Begins something whose failure undoes only itself.
    pub(crate) async fn savepoint(&mut self) -> Result<Savepoint, sqlx::Error> {
        self.execute("SAVEPOINT alone").await?;
        Ok(Savepoint { moved: self.moved.len(), tally: self.tally })
    }

    /// Keeps what was done since the savepoint, or undoes it if it failed. The outer error means that the transaction is
    /// lost.
    pub(crate) async fn end_savepoint<T>(
        &mut self,
        savepoint: Savepoint,
        result: Result<T, sqlx::Error>,
    ) -> Result<Result<T, sqlx::Error>, sqlx::Error> {
        if result.is_err() {
            self.execute("ROLLBACK TO alone").await?;
            self.moved.truncate(savepoint.moved);
            self.tally = savepoint.tally;
        }
        self.execute("RELEASE alone").await?;
        Ok(result)
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sql::execute(self.connection().await?, sql, &mut Values::new()).await.map(drop)
    }
}
