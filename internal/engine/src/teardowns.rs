//! The worker that finishes removals: however often a server has to be asked, and whatever crashed meanwhile.
//!
//! The store has written a job in the commit of the removal (I9). An attempt closes the device's connections, deletes its
//! channels wherever there may be some, and writes down what it brought.

use crate::api::store_failed;
use crate::connections::Connections;
use crate::{Engine, EngineConfig, Ports};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, join_all};
use lockstep_model::{Code, DeviceId, Teardown, TeardownTotals, UnixMs, UserId};
use lockstep_ports::{Broker, ChannelDeletion, Directory, StoreError, TeardownAttempt, TeardownLeft};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Devices whose channels the worker deletes at once. The others wait for the next round.
const AT_ONCE_MAX: usize = 16;
/// How long the worker pauses when the store fails.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often the metrics are brought up to date while something waits.
const METRICS_PERIOD: Duration = Duration::from_secs(10);

/// An attempt under way. All who want the device's channels deleted wait for the same one.
type Attempt = Shared<BoxFuture<'static, ChannelDeletion>>;

/// What attempts need, and those under way.
pub(crate) struct Teardowns {
    directory: Arc<dyn Directory>,
    broker: Arc<dyn Broker>,
    connections: Arc<Connections>,
    config: EngineConfig,
    under_way: Mutex<HashMap<DeviceId, Attempt>>,
    told: Notify,
    stopping: CancellationToken,
}

impl Teardowns {
    /// Starts the worker, which first looks for what a crash has left.
    pub(crate) fn start(
        ports: &Ports,
        connections: &Arc<Connections>,
        config: &EngineConfig,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> Arc<Self> {
        let teardowns = Arc::new(Self {
            directory: Arc::clone(&ports.directory),
            broker: Arc::clone(&ports.broker),
            connections: Arc::clone(connections),
            config: config.clone(),
            under_way: Mutex::default(),
            told: Notify::new(),
            stopping: stopping.clone(),
        });
        let worker = Arc::clone(&teardowns);
        tasks.spawn(async move {
            let stopping = worker.stopping.clone();
            stopping.run_until_cancelled(worker.work()).await;
        });
        teardowns
    }

    /// Wakes the worker: there may be new jobs.
    pub(crate) fn tell(&self) {
        self.told.notify_one();
    }

    /// Tries to delete the channels of a device that the store has removed, or waits for the attempt that is under way.
    pub(crate) async fn attempt(self: &Arc<Self>, user: &UserId, device: DeviceId) -> ChannelDeletion {
        let (teardowns, user) = (Arc::clone(self), user.clone());
        let begin = move || async move { teardowns.try_once(user, device).await }.boxed().shared();
        let attempt = self.under_way.lock().entry(device).or_insert_with(begin).clone();
        let over = attempt.clone();
        let outcome = attempt.await;
        let mut under_way = self.under_way.lock();
        if under_way.get(&device).is_some_and(|now| now.ptr_eq(&over)) {
            under_way.remove(&device);
        }
        outcome
    }

    async fn try_once(&self, user: UserId, device: DeviceId) -> ChannelDeletion {
        // After the commit: whoever is let in from here on is refused by the store.
        self.connections.close_device(&user, device, Code::DeviceRemoved);
        let deletion = self.delete_channels(user, device);
        let Some(outcome) = self.stopping.run_until_cancelled(deletion).await else {
            // The next start goes on with it.
            return ChannelDeletion::Pending { servers: vec![] };
        };
        let result = if outcome == ChannelDeletion::Done { "done" } else { "pending" };
        metrics::counter!("lockstep_teardown_attempts_total", "outcome" => result).increment(1);
        if let Err(error) = self.write_down(device, &outcome).await {
            store_failed(&error);
            // The job is still due: the worker tries it again, and pauses as long as the store fails.
            self.tell();
        }
        outcome
    }

    async fn delete_channels(&self, user: UserId, device: DeviceId) -> ChannelDeletion {
        let topics = match self.directory.followed(user, device).await {
            Ok(followed) => followed.into_iter().map(|row| row.conversation).collect(),
            Err(error) => {
                // The transport's servers know most of them.
                store_failed(&error);
                vec![]
            }
        };
        self.broker.delete_channels(device, &topics).await
    }

    async fn write_down(&self, device: DeviceId, outcome: &ChannelDeletion) -> Result<(), StoreError> {
        let now = UnixMs::now();
        let left = match outcome {
            ChannelDeletion::Done => None,
            ChannelDeletion::Pending { servers } => {
                let attempts = self.directory.teardown(device).await?.map_or(0, |job| job.attempts);
                let pause = self.config.teardown_pause_after(attempts + 1);
                let next_try_at = UnixMs::new(now.get() + pause.as_millis() as u64);
                tracing::warn!(%device, ?servers, ?pause, "a removed device may have channels left; they are deleted later");
                let error = format!("not reached, or a channel came back there: {}", servers.join(", "));
                Some(TeardownLeft { pending: servers.clone(), error, next_try_at })
            }
        };
        self.directory.teardown_tried(TeardownAttempt { device, now, left }).await
    }

    async fn work(self: &Arc<Self>) {
        loop {
            let pause = match self.round().await {
                Ok(totals) => {
                    observe(totals);
                    let due = |at: UnixMs| Duration::from_millis(at.get().saturating_sub(UnixMs::now().get()));
                    totals.next_try_at.map(|at| due(at).min(METRICS_PERIOD))
                }
                Err(error) => {
                    store_failed(&error);
                    Some(STORE_PAUSE)
                }
            };
            match pause {
                Some(pause) => {
                    let _told = tokio::time::timeout(pause, self.told.notified()).await;
                }
                None => self.told.notified().await,
            }
        }
    }

    /// Tries what is due.
    async fn round(self: &Arc<Self>) -> Result<TeardownTotals, StoreError> {
        let due = self.directory.due_teardowns(UnixMs::now(), AT_ONCE_MAX as u32).await?;
        let attempts: Vec<_> = due.iter().map(|job| self.attempt(&job.user, job.device)).collect();
        let _outcomes = join_all(attempts).await;
        for job in &due {
            // What could not be written down is still due: it must not be tried without a pause.
            if self.directory.teardown(job.device).await?.as_ref() == Some(job) {
                tokio::time::sleep(STORE_PAUSE).await;
                break;
            }
        }
        self.directory.teardown_totals().await
    }
}

fn observe(totals: TeardownTotals) {
    let oldest = totals.oldest.map_or(0, |oldest| UnixMs::now().get().saturating_sub(oldest.get()));
    metrics::gauge!("lockstep_teardowns_waiting").set(totals.waiting as f64);
    metrics::gauge!("lockstep_teardowns_oldest_seconds").set(oldest as f64 / 1_000.0);
}

impl Engine {
    /// The jobs of removals, newest first, those after `after` in that order; `waiting`: only those that are not done.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn teardowns(
        &self,
        after: Option<(UnixMs, DeviceId)>,
        waiting: bool,
        count: u32,
    ) -> Result<Vec<Teardown>, Code> {
        let listed = self.0.ports.directory.teardowns(after, waiting, count).await;
        listed.map_err(|error| store_failed(&error))
    }

    /// The job of a device's removal, until it has been done for some days.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn teardown(&self, device: DeviceId) -> Result<Option<Teardown>, Code> {
        self.0.ports.directory.teardown(device).await.map_err(|error| store_failed(&error))
    }

    /// Forgets jobs that have been done for so long, in small steps, and says how many. May be given up at any point.
    ///
    /// # Errors
    ///
    /// `try_again`; what was done until then stays done.
    pub async fn purge_teardowns(&self, kept: Duration, now: UnixMs) -> Result<u64, Code> {
        let done_before = UnixMs::new(now.get().saturating_sub(kept.as_millis() as u64));
        let mut purged = 0;
        loop {
            match self.0.ports.directory.purge_teardowns(done_before).await.map_err(|error| store_failed(&error))? {
                0 => return Ok(purged),
                step => purged += step,
            }
        }
    }
}
