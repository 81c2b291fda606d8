//! Cursors: what devices have acknowledged, stored in batches, at most one row per device and conversation in a period.

use crate::seen::Seen;
use lockstep_model::{ConversationId, Cursor, DeviceId, Seq};
use lockstep_ports::{CursorRow, Directory};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Cursors in one commit.
const ROWS_PER_COMMIT_MAX: usize = 4_096;
/// Cursors that wait while the store fails. Beyond it new ones are dropped: a stored cursor that is too low only makes
/// the next delivery begin earlier.
const WAITING_MAX: usize = 1_000_000;

/// The cursors that wait to be stored.
pub(crate) struct Cursors {
    directory: Arc<dyn Directory>,
    waiting: Mutex<HashMap<(DeviceId, ConversationId), Seq>>,
    /// Held while cursors are on their way to the store.
    storing: tokio::sync::Mutex<()>,
    /// Stored in the same beat.
    pub(crate) seen: Seen,
}

impl Cursors {
    pub(crate) fn start(
        directory: Arc<dyn Directory>,
        period: Duration,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> Arc<Self> {
        let seen = Seen::new(Arc::clone(&directory));
        let storing = tokio::sync::Mutex::default();
        let cursors = Arc::new(Self { directory, waiting: Mutex::default(), storing, seen });
        let (task, stopping) = (Arc::clone(&cursors), stopping.clone());
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
                task.flush().await;
                task.seen.flush().await;
            }
        });
        cursors
    }

    /// Notes that a device has everything up to `seq`.
    pub(crate) fn note(&self, device: DeviceId, conversation: ConversationId, seq: Seq) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX || waiting.contains_key(&(device, conversation)) {
            let stored = waiting.entry((device, conversation)).or_default();
            *stored = seq.max(*stored);
        } else {
            metrics::counter!("lockstep_cursors_dropped_total").increment(1);
        }
    }

    /// Forgets the cursors that wait above what the device has shown to have. When this returns, those that were on
    /// their way are stored.
    pub(crate) async fn forget_above(&self, device: DeviceId, shown: &HashMap<ConversationId, Cursor>) {
        if shown.is_empty() {
            return;
        }
        let forget = |waiting: &mut HashMap<(DeviceId, ConversationId), Seq>| {
            for (conversation, cursor) in shown {
                if waiting.get(&(device, *conversation)).is_some_and(|seq| *seq > cursor.seq) {
                    waiting.remove(&(device, *conversation));
                }
            }
        };
        let _storing = self.storing.lock().await;
        forget(&mut self.waiting.lock());
    }

    /// The cursor that waits to be stored. Without one, what is stored when this returns is the newest.
    pub(crate) async fn waiting(&self, device: DeviceId, conversation: ConversationId) -> Option<Seq> {
        let _storing = self.storing.lock().await;
        self.waiting.lock().get(&(device, conversation)).copied()
    }

    /// Stores what waits.
    pub(crate) async fn flush(&self) {
        let _storing = self.storing.lock().await;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let rows = waiting.into_iter();
        let rows: Vec<_> = rows.map(|((device, conversation), seq)| CursorRow { device, conversation, seq }).collect();
        for rows in rows.chunks(ROWS_PER_COMMIT_MAX) {
            if let Err(error) = self.directory.store_cursors(rows.to_vec()).await {
                crate::api::store_failed(&error);
                rows.iter().for_each(|row| self.note(row.device, row.conversation, row.seq));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_store_sql::{SqliteOptions, SqliteStore};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[tokio::test]
    async fn a_lowering_waits_for_cursors_on_their_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.expect("a store");
        let (directory, waiting): (Arc<dyn Directory>, _) = (Arc::new(store), Mutex::default());
        let seen = Seen::new(Arc::clone(&directory));
        let cursors = Cursors { directory, waiting, storing: tokio::sync::Mutex::default(), seen };
        let (device, conversation) = (DeviceId::generate(), ConversationId::generate());
        let cursor = |seq| Cursor { seq: Seq::new(seq), entry: None };
        cursors.note(device, conversation, Seq::new(4));
        let now = &mut Context::from_waker(Waker::noop());
        // As if a flush had taken what waited, and the store had not answered yet.
        let on_their_way = cursors.storing.lock().await;
        let shown = HashMap::from([(conversation, cursor(1))]);
        let mut forgetting = pin!(cursors.forget_above(device, &shown));
        assert_eq!(forgetting.as_mut().poll(now), Poll::Pending, "it did not wait");
        let mut flushing = pin!(cursors.flush());
        assert_eq!(flushing.as_mut().poll(now), Poll::Pending, "two flushes may pass one another");
        drop(on_their_way);
        forgetting.await;
        assert!(cursors.waiting.lock().is_empty(), "what is above the shown cursor is forgotten");
        flushing.await;
        // What is not above it stays.
        cursors.note(device, conversation, Seq::new(1));
        cursors.forget_above(device, &shown).await;
        assert_eq!(cursors.waiting.lock().len(), 1);
    }
}
