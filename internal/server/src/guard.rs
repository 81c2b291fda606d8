//! Whether the store is there and takes writes: a log that refuses to write where nobody would find it again, and what
//! `/readyz` says.

use async_trait::async_trait;
use lockstep_model::{Bounds, ConversationId, Entry, Epoch, Offset, Seq};
use lockstep_ports::{Append, AppendRefusal, Appended, HeadMark, MessageLog, Range, StoreError};
use lockstep_store_sql::{SqliteStore, StoreStats};
use std::fs::metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a failed write speaks against the server. Then it counts as ready until it has been tried again: a server
/// that nobody is sent to would never find out that its disk has room again.
const FAILURE_COUNTS_FOR: Duration = Duration::from_secs(5);

/// The database's files, as they were when the store was opened.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    database: PathBuf,
    write_ahead_log: PathBuf,
    identity: (u64, u64),
}

impl Files {
    /// The files of the open store in a folder.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let database = folder.join("lockstep.db");
        let identity = identity(&database)?;
        Ok(Self { database, write_ahead_log: folder.join("lockstep.db-wal"), identity })
    }

    /// Checks that what is written now stands where the next start looks for it. A file that was removed or moved away
    /// still takes all writes and syncs, and nobody would ever find them.
    fn check(&self) -> io::Result<()> {
        let gone = || io::Error::other("the database is not where it was; bring the data folder back, or restart");
        // SQLite may make the log anew, but it is never without one while it is open.
        let there = identity(&self.database)? == self.identity && self.write_ahead_log.exists();
        if there { Ok(()) } else { Err(gone()) }
    }
}

fn identity(file: &Path) -> io::Result<(u64, u64)> {
    metadata(file).map(|found| (found.dev(), found.ino()))
}

/// The log of a store, which appends only while its files are there.
pub(crate) struct GuardedLog {
    pub(crate) store: SqliteStore,
    pub(crate) files: Files,
}

#[async_trait]
impl MessageLog for GuardedLog {
    fn epoch(&self) -> Epoch {
        self.store.epoch()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        // Two looks at a local file system, for a whole batch that is about to be synced to it.
        self.files.check().map_err(|error| StoreError::Write { operation: "append", cause: Arc::new(error) })?;
        self.store.append(batch).await
    }

    async fn ranges(&self, ranges: Vec<Range>) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.store.ranges(ranges).await
    }

    async fn bounds(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Bounds>>, StoreError> {
        self.store.bounds(conversations).await
    }

    fn mark(&self) -> HeadMark {
        self.store.mark()
    }

    fn moved_since(&self, mark: HeadMark) -> Option<Vec<Offset>> {
        self.store.moved_since(mark)
    }

    async fn raise_floor(&self, conversation: ConversationId, floor: Seq) -> Result<(), StoreError> {
        self.store.raise_floor(conversation, floor).await
    }
}

/// Tells whether the store takes writes, by how the last ones went.
pub(crate) struct Writable {
    store: SqliteStore,
    files: Files,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    stats: StoreStats,
    failed_at: Option<Instant>,
}

impl Writable {
    pub(crate) fn new(store: SqliteStore, files: Files) -> Self {
        Self { store, files, seen: Mutex::default() }
    }

    /// Whether the files are there, and no write has failed lately without one that went well since.
    pub(crate) fn now(&self) -> bool {
        // A panic while the lock was held cannot have left it half changed.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.look(self.store.stats(), Instant::now());
        seen.failed_at.is_none() && self.files.check().is_ok()
    }
}

impl Seen {
    fn look(&mut self, stats: StoreStats, now: Instant) {
        if stats.failed_commits != self.stats.failed_commits {
            self.failed_at = Some(now);
        } else if stats.commits != self.stats.commits {
            self.failed_at = None;
        }
        self.failed_at = self.failed_at.filter(|at| now.duration_since(*at) < FAILURE_COUNTS_FOR);
        self.stats = stats;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_until_a_success_or_for_a_while() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let (mut stats, second) = (StoreStats::default(), Duration::from_secs(1));
        // Commits, failed ones, seconds since the start; whether a failure counts.
        let cases = [
            (1, 0, 0, false),
            (1, 1, 1, true),
            (1, 1, 5, true),
            (1, 1, 6, false),
            (1, 2, 7, true),
            (2, 2, 8, false),
            (3, 3, 9, true),
            (3, 3, 10, true),
        ];
        for (commits, failed_commits, seconds, counts) in cases {
            stats.commits = commits;
            stats.failed_commits = failed_commits;
            seen.look(stats, start + second * seconds);
            assert_eq!(seen.failed_at.is_some(), counts, "after {seconds} s");
        }
    }
}
