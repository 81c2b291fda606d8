//! The task's loop: collect, execute, commit, answer.

use super::job::{Call, Calls, Cause, Command, Job};
use super::work::{Stage, Work};
use super::{Advances, Appends, Cursors};
use crate::heads::MovedHeads;
use crate::health::Health;
use crate::options::SqliteOptions;
use crate::sql::{self, Values};
use crate::stats::Counters;
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
        if let Err(error) = &outcome
            && is_of_its_rows(error)
        {
            tracing::warn!(%error, "a transaction failed because of its rows; each command is done by itself");
            outcome = self.transact(&mut jobs, true).await;
        }
        let answer = outcome.map_err(|error| {
            self.counters.failed();
            self.health.failed(Instant::now());
            tracing::error!(%error, "a transaction failed");
            Arc::new(error) as Cause
        });
        for job in jobs {
            job.answer(answer.clone());
        }
    }

    /// One transaction, from begin to commit. If it cannot even begin, the connection is made anew, once.
    async fn transact(&mut self, jobs: &mut [Box<dyn Job>], carefully: bool) -> Result<(), sqlx::Error> {
        match self.attempt(jobs, carefully).await {
            Err((Stage::Before, error)) => {
                tracing::warn!(%error, "no transaction could be begun; connecting to the database again");
                self.connection = self.connect.connect().await?;
                self.attempt(jobs, carefully).await.map_err(|(_, error)| error)
            }
            outcome => outcome.map_err(|(_, error)| error),
        }
    }

    /// One transaction. After an error, which comes with how far it was, it is rolled back.
    async fn attempt(&mut self, jobs: &mut [Box<dyn Job>], carefully: bool) -> Result<(), (Stage, sqlx::Error)> {
        let began = Instant::now();
        let mut work = Work::new(&mut self.connection, &self.health, &self.options);
        match execute(&mut work, jobs, carefully).await {
            Ok(()) => {
                let Work { moved, tally, .. } = work;
                self.health.committed();
                self.heads.push(&moved);
                self.counters.committed(tally, began.elapsed());
                Ok(())
            }
            Err(error) => {
                let stage = work.stage();
                // It fails where nothing was begun or the error has rolled back already; where it should have worked, the
                // next transaction cannot begin and takes a new connection.
                let _ = sql::execute(&mut self.connection, "ROLLBACK", &mut Values::new()).await;
                Err((stage, error))
            }
        }
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

/// Executes jobs, and commits what they did.
async fn execute(work: &mut Work<'_>, jobs: &mut [Box<dyn Job>], carefully: bool) -> Result<(), sqlx::Error> {
    let count = jobs.len();
    for (number, job) in (1..).zip(jobs) {
        if carefully {
            job.run_carefully(work).await?;
        } else {
            work.last_job = number == count;
            job.run(work).await?;
        }
    }
    work.commit().await
}

impl Group {
    /// Appends come last: what they write last can be committed in the same go.
    fn into_jobs(self) -> Vec<Box<dyn Job>> {
        let mut jobs = self.jobs;
        if !self.cursors.is_empty() {
            jobs.push(Box::new(Calls::new(self.cursors)));
        }
        if !self.advances.is_empty() {
            jobs.push(Box::new(Calls::new(self.advances)));
        }
        if !self.appends.is_empty() {
            jobs.push(Box::new(Calls::new(self.appends)));
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
