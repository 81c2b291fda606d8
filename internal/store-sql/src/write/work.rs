//! One transaction in the making.

use crate::sql;
use crate::stats::Tally;
use lockstep_model::Offset;
use sqlx::sqlite::SqliteConnection;

/// What the commands of one transaction share: the connection and what will have to be told once it is committed.
pub(crate) struct Work<'c> {
    pub(crate) connection: &'c mut SqliteConnection,
    pub(crate) conversations_per_user_max: u32,
    /// The heads that the transaction moves.
    pub(crate) moved: Vec<Offset>,
    /// The rows that it writes.
    pub(crate) tally: Tally,
}

/// Where to go back to.
pub(crate) struct Savepoint {
    moved: usize,
    tally: Tally,
}

impl Work<'_> {
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
        sql::execute(self.connection, sql, &mut sql::Values::new()).await.map(drop)
    }
}
