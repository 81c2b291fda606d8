//! The task's loop: collect, execute, commit, answer.

use super::job::{Call, Calls, Cause, Command, Job};
use super::work::Work;
use super::{Advances, Appends, Cursors};
use crate::heads::MovedHeads;
use crate::health::Health;
use crate::options::SqliteOptions;
use crate::sql::{self, Values};
use crate::stats::{Counters, Tally};
use lockstep_model::Offset;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{ConnectOptions, Connection};
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// What waits for the write task.
pub(crate) enum Queued {
    Append(Call<Appends>),
    Cursors(Call<Cursors>),
    Advance(Call<Advances>),
    /// A command of which there are few.
    Command(Box<dyn Job>),
    /// Take no more, finish what waits, close the database.
    Close,
}

impl Queued {
    pub(crate) fn command<C: Command>(call: Call<C>) -> Self {
        Self::Command(Box::new(Calls::new(vec![call])))
    }
}

/// Everything that the write task owns.
pub(crate) struct Writer {
    pub(crate) queue: mpsc::Receiver<Queued>,
    pub(crate) connection: SqliteConnection,
    /// To connect again should the connection break.
    pub(crate) connect: SqliteConnectOptions,
    pub(crate) options: SqliteOptions,
    pub(crate) readers: SqlitePool,
    pub(crate) counters: Arc<Counters>,
    pub(crate) heads: Arc<MovedHeads>,
    pub(crate) health: Arc<Health>,
    /// Holds the folder's lock until everything is closed.
    pub(crate) lock: File,
}

/// The commands of one transaction. All of them wait at the same time, so any order among them is a true one.
#[derive(Default)]
struct Group {
    rows: usize,
    appends: Vec<Call<Appends>>,
    cursors: Vec<Call<Cursors>>,
    advances: Vec<Call<Advances>>,
    jobs: Vec<Box<dyn Job>>,
}

/// Why a transaction failed.
enum Failure {
    /// A statement failed; nothing is stored.
    Statement(sqlx::Error),
    /// The commit failed.
    Commit(sqlx::Error),
}

impl Writer {
    /// Runs until the queue is closed, which is when the store is closed or all its handles are gone.
    pub(crate) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut group = Group::default();
            self.take_in(&mut group, first);
            while group.rows < self.options.group_rows_max
                && let Ok(next) = self.queue.try_recv()
            {
                self.take_in(&mut group, next);
            }
            let jobs = group.into_jobs();
            if !jobs.is_empty() {
                self.serve(jobs).await;
            }
        }
        self.end().await;
    }

    fn take_in(&mut self, group: &mut Group, queued: Queued) {
        match queued {
            Queued::Append(call) => {
                group.rows += call.input.len();
                group.appends.push(call);
            }
            Queued::Cursors(call) => {
                group.rows += call.input.len();
                group.cursors.push(call);
            }
            Queued::Advance(call) => {
                group.rows += 1;
                group.advances.push(call);
            }
            Queued::Command(job) => {
                group.rows += 1;
                group.jobs.push(job);
            }
            Queued::Close => self.queue.close(),
        }
    }

    /// Brings the jobs to disk, or not, and answers.
    async fn serve(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let mut outcome = self.transact(&mut jobs, false).await;
        if let Err(Failure::Statement(error)) = &outcome
            && is_of_its_rows(error)
        {
            tracing::warn!(%error, "a transaction failed because of its rows; each command is done by itself");
            outcome = self.transact(&mut jobs, true).await;
        }
        let answer = outcome.map_err(|failure| {
            self.counters.failed();
            self.health.failed(Instant::now());
            let (Failure::Statement(error) | Failure::Commit(error)) = failure;
            tracing::error!(%error, "a transaction failed");
            Arc::new(error) as Cause
        });
        for job in jobs {
            job.answer(answer.clone());
        }
    }

    /// One transaction, from begin to commit. After an error it is rolled back.
    async fn transact(&mut self, jobs: &mut [Box<dyn Job>], carefully: bool) -> Result<(), Failure> {
        let began = Instant::now();
        self.begin().await.map_err(Failure::Statement)?;
        let result = match self.execute(jobs, carefully).await {
            Ok(done) => self.commit().await.map(|()| done),
            Err(error) => Err(Failure::Statement(error)),
        };
        match result {
            Ok((moved, tally)) => {
                self.health.committed();
                self.heads.push(&moved);
                self.counters.committed(tally, began.elapsed());
                Ok(())
            }
            Err(failure) => {
                // It fails where the error has rolled back already; where it should have worked, the next begin fails
                // and takes a new connection.
                let _ = sql::execute(&mut self.connection, "ROLLBACK", &mut Values::new()).await;
                Err(failure)
            }
        }
    }

    async fn execute(
        &mut self,
        jobs: &mut [Box<dyn Job>],
        carefully: bool,
    ) -> Result<(Vec<Offset>, Tally), sqlx::Error> {
        let mut work = Work {
            connection: &mut self.connection,
            conversations_per_user_max: self.options.conversations_per_user_max,
            moved: Vec::new(),
            tally: Tally::default(),
        };
        for job in jobs {
            if carefully {
                job.run_carefully(&mut work).await?;
            } else {
                job.run(&mut work).await?;
            }
        }
        Ok((work.moved, work.tally))
    }

    /// Looks for the files as late as possible: here everything can still be rolled back, and nothing has been answered.
    /// A look after the commit would find more only of what is lost around an answer, which nothing can prevent. It is
    /// done on the runtime: two questions to a local file system's memory, a microsecond or so each, before a sync.
    async fn commit(&mut self) -> Result<(), Failure> {
        self.health.check_files().map_err(|error| Failure::Statement(sqlx::Error::Io(error)))?;
        sql::execute(&mut self.connection, "COMMIT", &mut Values::new()).await.map(drop).map_err(Failure::Commit)
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        let Err(error) = sql::execute(&mut self.connection, BEGIN, &mut Values::new()).await else { return Ok(()) };
        tracing::warn!(%error, "no transaction could be begun; connecting to the database again");
        self.connection = self.connect.connect().await?;
        sql::execute(&mut self.connection, BEGIN, &mut Values::new()).await.map(drop)
    }

    /// Closes everything in order: readers first, so that the checkpoint can take the whole log in.
    async fn end(mut self) {
        self.readers.close().await;
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = sql::execute(&mut self.connection, checkpoint, &mut Values::new()).await {
            tracing::warn!(%error, "the last checkpoint failed; the next start makes up for it");
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the database was not closed cleanly; the next start makes up for it");
        }
        drop(self.lock);
    }
}

impl Group {
    fn into_jobs(self) -> Vec<Box<dyn Job>> {
        let mut jobs = self.jobs;
        if !self.appends.is_empty() {
            jobs.push(Box::new(Calls::new(self.appends)));
        }
        if !self.cursors.is_empty() {
            jobs.push(Box::new(Calls::new(self.cursors)));
        }
        if !self.advances.is_empty() {
            jobs.push(Box::new(Calls::new(self.advances)));
        }
        jobs
    }
}

/// Whether an error is about the rows of one command, so that others may do better without it: SQLITE_TOOBIG,
/// SQLITE_CONSTRAINT and SQLITE_MISMATCH (<https://www.sqlite.org/rescode.html>), or a stored value that makes no sense.
fn is_of_its_rows(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<i32>().ok());
            // The low byte of an extended code is the primary one.
            matches!(code.map(|code| code & 0xff), Some(18..=20))
        }
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}
