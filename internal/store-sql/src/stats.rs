//! What the store counts, for tests and for metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a store has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Queries of the reader pool.
    pub read_queries: u64,
    /// Transactions that were committed.
    pub commits: u64,
    /// Trips to SQLite's thread that transactions made: each costs more than most statements do.
    pub transaction_trips: u64,
    /// Transactions that failed, or whose commit did.
    pub failed_commits: u64,
    /// Entries that [`append`](lockstep_ports::MessageLog::append) made.
    pub entries_appended: u64,
    /// Rows that appends wrote: entries, rows that remember sends (each with its row in an index), heads.
    pub append_rows_written: u64,
    /// Cursors that rose.
    pub cursor_rows_written: u64,
    /// Rows that advances of read offsets wrote: offsets (each with its row in an index) and users' versions.
    pub offset_rows_written: u64,
    /// Rows that changes of groups wrote: members, counts, details, and entries with the heads that they move.
    pub group_rows_written: u64,
}

/// The running counters behind [`StoreStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    read_queries: AtomicU64,
    commits: AtomicU64,
    transaction_trips: AtomicU64,
    failed_commits: AtomicU64,
    entries_appended: AtomicU64,
    append_rows: AtomicU64,
    cursor_rows: AtomicU64,
    offset_rows: AtomicU64,
    group_rows: AtomicU64,
}

/// What one transaction wrote; counted only once it is committed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) trips: u64,
    pub(crate) entries_appended: u64,
    pub(crate) append_rows: u64,
    pub(crate) cursor_rows: u64,
    pub(crate) offset_rows: u64,
    pub(crate) group_rows: u64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            read_queries: read(&self.read_queries),
            commits: read(&self.commits),
            transaction_trips: read(&self.transaction_trips),
            failed_commits: read(&self.failed_commits),
            entries_appended: read(&self.entries_appended),
            append_rows_written: read(&self.append_rows),
            cursor_rows_written: read(&self.cursor_rows),
            offset_rows_written: read(&self.offset_rows),
            group_rows_written: read(&self.group_rows),
        }
    }

    pub(crate) fn read_query(&self) {
        self.read_queries.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("lockstep_store_read_queries_total").increment(1);
    }

    pub(crate) fn committed(&self, tally: Tally, took: Duration) {
        let add = |counter: &AtomicU64, rows: u64, what: &'static str| {
            counter.fetch_add(rows, Ordering::Relaxed);
            metrics::counter!("lockstep_store_rows_written_total", "of" => what).increment(rows);
        };
        add(&self.append_rows, tally.append_rows, "append");
        add(&self.cursor_rows, tally.cursor_rows, "cursor");
        add(&self.offset_rows, tally.offset_rows, "offset");
        add(&self.group_rows, tally.group_rows, "group");
        self.entries_appended.fetch_add(tally.entries_appended, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.transaction_trips.fetch_add(tally.trips, Ordering::Relaxed);
        metrics::counter!("lockstep_store_entries_appended_total").increment(tally.entries_appended);
        metrics::counter!("lockstep_store_commits_total").increment(1);
        metrics::histogram!("lockstep_store_transaction_seconds").record(took.as_secs_f64());
    }

    pub(crate) fn failed(&self) {
        self.failed_commits.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("lockstep_store_failed_commits_total").increment(1);
    }
}
