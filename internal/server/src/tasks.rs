//! The server's own tasks: tracked, named, and missed when one is gone.

use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// All tasks of one server but those of the engine and of WebSockets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    vital_ended: CancellationToken,
}

impl Tasks {
    /// For tasks that come and go, such as connections.
    pub(crate) fn tracker(&self) -> TaskTracker {
        self.tracker.clone()
    }

    /// Runs a task without which the server is of no use.
    pub(crate) fn spawn_vital(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let guard = self.vital_ended.clone().drop_guard();
        let work = async move {
            // Dropped by a panic too.
            let _guard = guard;
            work.await;
        };
        self.tracker.spawn(work.instrument(tracing::info_span!("task", name)));
    }

    /// Does something once per period, for the first time after one period.
    pub(crate) fn spawn_periodic<F, W>(
        &self,
        name: &'static str,
        period: Duration,
        stop: CancellationToken,
        mut work: F,
    ) where
        F: FnMut() -> W + Send + 'static,
        W: Future<Output = ()> + Send,
    {
        let repeat = async move {
            let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let working = async {
                loop {
                    ticks.tick().await;
                    work().await;
                }
            };
            // Both kinds of work may be given up at any point.
            stop.run_until_cancelled(working).await;
        };
        self.tracker.spawn(repeat.instrument(tracing::info_span!("task", name)));
    }

    /// Returns once a vital task has ended.
    pub(crate) async fn vital_ended(&self) {
        self.vital_ended.cancelled().await;
    }

    /// Returns once all tasks have ended.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
