//! The poller's task.

use super::known::{Known, Said};
use super::{LookupSettings, Shared, Watcher};
use crate::TopicName;
use crate::http::{HttpError, LookupdHttp, LookupdNode};
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub(super) struct Poller<W> {
    settings: LookupSettings,
    shared: Arc<Shared>,
    lookupds: Vec<Lookupd>,
    known: Known,
    watcher: W,
    /// Dropped last.
    _ending: watch::Sender<()>,
}

struct Lookupd {
    http: LookupdHttp,
    said: Said,
    answered_at: Option<Instant>,
    failing: bool,
}

impl<W: Watcher> Poller<W> {
    pub(super) fn new(settings: LookupSettings, shared: Arc<Shared>, watcher: W, ending: watch::Sender<()>) -> Self {
        let lookupd = |address: &crate::Address| Lookupd {
            http: LookupdHttp::new(address.clone(), settings.http.clone()),
            said: Said::default(),
            answered_at: None,
            failing: false,
        };
        let lookupds = settings.addresses.iter().map(lookupd).collect();
        Self { settings, shared, lookupds, known: Known::default(), watcher, _ending: ending }
    }

    pub(super) async fn run(mut self) {
        let mut stopped = self.shared.stopped.subscribe();
        loop {
            let period = self.settings.period.mul_f64(rand::random_range(0.9..=1.1));
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = async {
                    let next = sleep(period);
                    self.poll().await;
                    next.await;
                } => {}
            }
        }
    }

    /// One period: all nsqlookupds at once, then what came of it.
    async fn poll(&mut self) {
        let answers = all(self.lookupds.iter().map(|lookupd| lookupd.http.nodes()).collect()).await;
        let (topics, removed) = {
            let mut topics = self.shared.topics.lock();
            (topics.in_use.clone(), std::mem::take(&mut topics.removed))
        };
        self.known.forget(&removed);
        let now = Instant::now();
        let mut answered = 0;
        for (lookupd, answer) in self.lookupds.iter_mut().zip(answers) {
            match answer {
                Ok(nodes) => {
                    answered += 1;
                    lookupd.answered(&nodes, &topics, self.settings.misses_max, now);
                }
                Err(error) => lookupd.failed(&error),
            }
        }
        if answered > 0 {
            for lookupd in &mut self.lookupds {
                if lookupd.answered_at.is_some_and(|at| now - at >= self.settings.stale_after) {
                    lookupd.said.forget();
                }
            }
        }
        self.known.update(self.lookupds.iter().map(|lookupd| &lookupd.said), &topics, &mut self.watcher);
        self.watcher.polled(answered);
    }
}

impl Lookupd {
    fn answered(&mut self, nodes: &[LookupdNode], topics: &HashSet<TopicName>, misses_max: u32, now: Instant) {
        if std::mem::take(&mut self.failing) {
            tracing::info!(nsqlookupd = %self.http.address(), "answers again");
        }
        self.answered_at = Some(now);
        self.said.hear(nodes, topics, misses_max);
    }

    fn failed(&mut self, error: &HttpError) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(nsqlookupd = %self.http.address(), ?error, "does not answer; what it said last is kept");
        }
    }
}

/// Waits for all of them at once.
async fn all<F: Future<Output = Result<Vec<LookupdNode>, HttpError>>>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outcomes: HashMap<usize, F::Output> = HashMap::new();
    let waiting = std::future::poll_fn(move |cx| {
        for (index, future) in futures.iter_mut().enumerate() {
            if !outcomes.contains_key(&index)
                && let Poll::Ready(outcome) = future.as_mut().poll(cx)
            {
                outcomes.insert(index, outcome);
            }
        }
        if outcomes.len() < futures.len() {
            return Poll::Pending;
        }
        Poll::Ready((0..futures.len()).filter_map(|index| outcomes.remove(&index)).collect())
    });
    pin!(waiting).await
}
