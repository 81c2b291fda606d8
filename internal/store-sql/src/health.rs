//! Whether what is written now will be found again.

use parking_lot::Mutex;
use std::fs::metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a failed write counts. Then the store counts as writable until it has been tried again: a server that nobody
/// is sent to would never find out that its disk has room again.
const FAILURE_COUNTS_FOR: Duration = Duration::from_secs(5);

/// The database's files as they were when the store was opened, and how the last transaction went.
pub(crate) struct Health {
    database: KnownFile,
    /// SQLite never makes the write-ahead log anew while a connection is open.
    log: KnownFile,
    failed_at: Mutex<Option<Instant>>,
}

struct KnownFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Health {
    /// Takes note of the files of an open database.
    pub(crate) fn of(database: PathBuf) -> io::Result<Self> {
        let mut log = database.clone().into_os_string();
        log.push("-wal");
        let (database, log) = (KnownFile::new(database)?, KnownFile::new(log.into())?);
        Ok(Self { database, log, failed_at: Mutex::default() })
    }

    /// Checks that what is written now stands where the next start looks for it. SQLite writes and syncs into files that
    /// were removed or replaced without an error, and nobody would ever find what is in them.
    pub(crate) fn check_files(&self) -> io::Result<()> {
        let gone = || io::Error::other("the database is not where it was; bring the data folder back, or restart");
        if self.database.is_there()? && self.log.is_there()? { Ok(()) } else { Err(gone()) }
    }

    pub(crate) fn committed(&self) {
        *self.failed_at.lock() = None;
    }

    pub(crate) fn failed(&self, now: Instant) {
        *self.failed_at.lock() = Some(now);
    }

    pub(crate) fn is_writable(&self, now: Instant) -> bool {
        let failed = self.failed_at.lock().is_some_and(|at| now.duration_since(at) < FAILURE_COUNTS_FOR);
        !failed && self.check_files().is_ok()
    }
}

impl KnownFile {
    fn new(path: PathBuf) -> io::Result<Self> {
        let found = metadata(&path)?;
        Ok(Self { path, identity: (found.dev(), found.ino()) })
    }

    fn is_there(&self) -> io::Result<bool> {
        let found = metadata(&self.path)?;
        Ok((found.dev(), found.ino()) == self.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_until_a_success_or_for_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["db", "db-wal"] {
            std::fs::write(folder.path().join(name), "").expect("a file is written");
        }
        let health = Health::of(folder.path().join("db")).expect("the files are there");
        let start = Instant::now();
        // What happens, if anything; seconds since the start; whether the store counts as writable.
        let steps: [(Option<bool>, u64, bool); 8] = [
            (Some(true), 0, true),
            (Some(false), 1, false),
            (None, 5, false),
            (None, 6, true),
            (Some(false), 7, false),
            (Some(true), 8, true),
            (Some(false), 9, false),
            (None, 14, true),
        ];
        for (committed, seconds, writable) in steps {
            let now = start + Duration::from_secs(seconds);
            match committed {
                Some(true) => health.committed(),
                Some(false) => health.failed(now),
                None => {}
            }
            assert_eq!(health.is_writable(now), writable, "after {seconds} s");
        }
    }

    #[test]
    fn files_must_be_those_that_were_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, log, away) =
            (folder.path().join("db"), folder.path().join("db-wal"), folder.path().join("away"));
        for file in [&database, &log] {
            std::fs::write(file, "").expect("a file is written");
        }
        let health = Health::of(database.clone()).expect("the files are there");
        for file in [&database, &log] {
            health.check_files().expect("the files are there");
            std::fs::rename(file, &away).expect("the file is moved");
            health.check_files().expect_err("a file is gone");
            std::fs::write(file, "").expect("a file is written");
            health.check_files().expect_err("another file stands in its place");
            std::fs::rename(&away, file).expect("the file is moved back");
        }
        health.check_files().expect("the files are back");
    }
}
