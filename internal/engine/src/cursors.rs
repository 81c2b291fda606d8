//! Cursors: what devices have acknowledged, stored in batches, at most one row per device and conversation in a period.

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
}

impl Cursors {
    pub(crate) fn start(
        directory: Arc<dyn Directory>,
        period: Duration,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> Arc<Self> {
        let cursors = Arc::new(Self { directory, waiting: Mutex::default(), storing: tokio::sync::Mutex::default() });
        let (task, stopping) = (Arc::clone(&cursors), stopping.clone());
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
                task.flush().await;
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
