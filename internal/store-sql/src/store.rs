//! The handle that callers hold.

use crate::follow;
use crate::gather::Gathered;
use crate::heads::MovedHeads;
use crate::health::Health;
use crate::offsets::{self, Since};
use crate::open::{self, OpenError, Opened};
use crate::options::SqliteOptions;
use crate::read::Readers;
use crate::stats::{Counters, StoreStats};
use crate::write::{Batch, Call, Command, Maintain, Queued, Writer};
use lockstep_model::{DeviceId, Epoch, UnixMs, UserId};
use lockstep_ports::{Followed, OffsetsChange, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

/// A store in one SQLite database: the log, the directory and the read offsets. Cheap to clone.
///
/// [`close`](Self::close) it before the process ends. Without that nothing that was answered is lost, but the next start
/// has to take in the write-ahead log.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    epoch: Epoch,
    queue: mpsc::Sender<Queued>,
    readers: Arc<Readers>,
    follow: Gathered<(UserId, DeviceId), Vec<Followed>>,
    offset_changes: Gathered<Since, OffsetsChange>,
    counters: Arc<Counters>,
    heads: Arc<MovedHeads>,
    health: Arc<Health>,
    receipts_members_max: u64,
    /// The write task; absent once it has ended.
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What [`SqliteStore::maintain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Maintained {
    /// Sends that are no longer remembered.
    pub sends_forgotten: u64,
    /// Entries below their floor that were deleted.
    pub entries_deleted: u64,
    /// Whether a step left something to the next.
    pub(crate) more: bool,
}

impl SqliteStore {
    /// Opens the store in a folder, making both if need be. Only one process at a time may have it open.
    ///
    /// Must be called within a tokio runtime: the write task runs there.
    pub async fn open(folder: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let Opened { lock, connection, connect, readers, health, epoch } = open::open(folder, &options).await?;
        let counters = Arc::new(Counters::default());
        let heads = Arc::new(MovedHeads::new(options.moved_heads_max));
        let health = Arc::new(health);
        let receipts_members_max = options.receipts_members_max.into();
        // Full: callers wait in front of it.
        let (queue, waiting) = mpsc::channel(options.commands_waiting_max);
        let writer = Writer {
            queue: waiting,
            connection,
            connect,
            options,
            readers: readers.clone(),
            counters: counters.clone(),
            heads: heads.clone(),
            health: health.clone(),
            lock,
        };
        let task = Mutex::new(Some(tokio::spawn(writer.run())));
        let readers = Arc::new(Readers::new(readers, counters.clone()));
        let followed = move |readers, devices| follow::followed(readers, devices, receipts_members_max);
        let follow = Gathered::start("followed", readers.clone(), followed);
        let offset_changes = Gathered::start("changed_since", readers.clone(), offsets::changed_since);
        Ok(Self(Arc::new(Inner {
            epoch,
            queue,
            readers,
            follow,
            offset_changes,
            counters,
            heads,
            health,
            receipts_members_max,
            task,
        })))
    }

    /// Closes the store for all its handles, in order: takes no more commands, finishes those that wait, lets the
    /// readers end, moves the write-ahead log into the database, gives the folder free. Closing it again changes nothing.
    pub async fn close(&self) {
        let mut task = self.0.task.lock().await;
        if let Some(task) = task.as_mut() {
            // It is gone already if an earlier call was cancelled after this.
            let _ = self.0.queue.send(Queued::Close).await;
            if let Err(error) = task.await {
                tracing::error!(%error, "the write task did not end in order");
            }
        }
        *task = None;
    }

    /// Forgets sends that are older than 30 days and deletes what lies below the floors, step by step between other
    /// work, until nothing is left to do. Call it about every hour.
    pub async fn maintain(&self, now: UnixMs) -> Result<Maintained, StoreError> {
        let mut total = Maintained::default();
        loop {
            let step = self.command(Maintain { now }).await?;
            total.sends_forgotten += step.sends_forgotten;
            total.entries_deleted += step.entries_deleted;
            if !step.more {
                return Ok(total);
            }
        }
    }

    /// Whether a write would go well now, as far as one can tell without one: the files are there, and no transaction has
    /// failed in the last seconds without one that went well since. Looks at two files.
    pub fn is_writable(&self) -> bool {
        self.0.health.is_writable(Instant::now())
    }

    /// What the store has done since it was opened.
    pub fn stats(&self) -> StoreStats {
        self.0.counters.snapshot()
    }

    pub(crate) fn store_epoch(&self) -> Epoch {
        self.0.epoch
    }

    pub(crate) fn moved_heads(&self) -> &MovedHeads {
        &self.0.heads
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    /// Members up to which receipts are told.
    pub(crate) fn receipts_members_max(&self) -> u64 {
        self.0.receipts_members_max
    }

    pub(crate) fn follow(&self) -> &Gathered<(UserId, DeviceId), Vec<Followed>> {
        &self.0.follow
    }

    pub(crate) fn offset_changes(&self) -> &Gathered<Since, OffsetsChange> {
        &self.0.offset_changes
    }

    /// Has a command executed by the write task.
    pub(crate) async fn command<C: Command>(&self, command: C) -> Result<C::Output, StoreError> {
        self.submit::<C>(command, |call| Queued::command(call)).await
    }

    /// Has one call of a batched operation executed by the write task.
    pub(crate) async fn submit<B: Batch>(
        &self,
        input: B::Input,
        queued: impl FnOnce(Call<B>) -> Queued,
    ) -> Result<B::Output, StoreError> {
        let (answer, answered) = oneshot::channel();
        let closed = || StoreError::Closed { operation: B::OPERATION };
        self.0.queue.send(queued(Call { input, answer })).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}
