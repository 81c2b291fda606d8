//! The one history of a run, written by all its devices.

use crate::History;
use anyhow::{Result, bail};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A handle to a [`History`] that can be waited on: cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Record(Arc<watch::Sender<History>>);

impl Record {
    /// An empty record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes something down.
    pub fn write(&self, change: impl FnOnce(&mut History)) {
        self.0.send_modify(change);
    }

    /// Looks something up.
    pub fn read<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.0.borrow())
    }

    /// Waits until the history says so.
    ///
    /// # Errors
    ///
    /// If that takes longer than `patience`; `what` tells what was waited for.
    pub async fn until(&self, what: &str, patience: Duration, condition: impl Fn(&History) -> bool) -> Result<()> {
        let mut changes = self.0.subscribe();
        let waiting = changes.wait_for(|history| condition(history));
        let outcome = tokio::time::timeout(patience, waiting).await.map(drop);
        if outcome.is_err() {
            bail!("waited {} s in vain until {what}\n{}", patience.as_secs(), self.read(History::check));
        }
        Ok(())
    }
}
