//! Which nsqds have which topics: one poller per process, for all topics in use.
//!
//! Each period makes one request (`/nodes`) to each nsqlookupd, however many topics are in use. What changed is told to
//! a [`Watcher`]. An nsqlookupd that does not answer takes nothing back, and neither does one that was just started and
//! knows nothing yet: see [`LookupSettings`].

mod known;
mod poller;

use crate::http::{HttpSettings, Node};
use crate::settings::check;
use crate::{Address, SettingsError, TopicName};
use parking_lot::Mutex;
use poller::Poller;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How nsqlookupds are polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupSettings {
    /// The HTTP addresses of the nsqlookupds.
    pub addresses: Vec<Address>,
    /// How often. Each wait is shorter or longer by up to a tenth, by chance.
    pub period: Duration,
    /// A node is reported as gone after an nsqlookupd has answered so often in a row without it: one that was just
    /// started needs up to 30 s until all nsqds have come back to it. (They look after it every 15 s, and may find the
    /// first time only that they were cut off.)
    pub misses_max: u32,
    /// What an nsqlookupd said last is forgotten after it has not answered for so long while another one has. When
    /// none answers, nothing is forgotten.
    pub stale_after: Duration,
    /// How requests are made. Their timeout is what a period may take when an nsqlookupd does not answer.
    pub http: HttpSettings,
}

impl LookupSettings {
    /// The settings for these nsqlookupds.
    pub fn new(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            period: Duration::from_secs(1),
            misses_max: 45,
            stale_after: Duration::from_secs(5 * 60),
            http: HttpSettings { timeout: Duration::from_secs(2), ..HttpSettings::default() },
        }
    }

    fn check(&self) -> Result<(), SettingsError> {
        check("period", self.period >= Duration::from_millis(10), "at least 10 ms")?;
        check("misses_max", self.misses_max > 0, "at least 1")
    }
}

/// Who hears of changes. The calls come from the poller's task, one after the other, and must not block.
pub trait Watcher: Send + 'static {
    /// A node has the topic. A topic that is new, or was removed and added again, begins without nodes.
    fn appeared(&mut self, topic: &TopicName, node: &Node);

    /// A node no longer has the topic, or is gone.
    fn vanished(&mut self, topic: &TopicName, node: &Node);

    /// A period has passed. `answered` of the nsqlookupds did.
    fn polled(&mut self, _answered: usize) {}
}

/// Polls nsqlookupds. Dropping it ends the poller.
pub struct Lookup {
    shared: Arc<Shared>,
}

struct Shared {
    topics: Mutex<Topics>,
    stopped: watch::Sender<bool>,
    /// Held by the task: closed when that has ended.
    ended: watch::Receiver<()>,
}

#[derive(Default)]
struct Topics {
    in_use: HashSet<TopicName>,
    /// Removed since the last period, and perhaps added again: those begin without nodes. Only what was in use gets
    /// here, and each period takes all.
    removed: HashSet<TopicName>,
}

impl Lookup {
    /// A new poller, with its task on the current tokio runtime. It has no topics yet.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open(settings: LookupSettings, watcher: impl Watcher) -> Result<Self, SettingsError> {
        let (lookup, task) = Self::prepare(settings, watcher)?;
        // It ends with the handle: `close` waits for that, and dropping the handle asks for it.
        drop(tokio::spawn(task));
        Ok(lookup)
    }

    /// A new poller, and its task for whoever keeps account of tasks himself.
    pub fn prepare<W: Watcher>(
        settings: LookupSettings,
        watcher: W,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static + use<W>), SettingsError> {
        settings.check()?;
        let (ending, ended) = watch::channel(());
        let shared = Arc::new(Shared { topics: Mutex::default(), stopped: watch::Sender::new(false), ended });
        let poller = Poller::new(settings, shared.clone(), watcher, ending);
        Ok((Self { shared }, poller.run()))
    }

    /// The topic is in use: from the next period on its nodes are told. Bounded by what its caller adds.
    pub fn add(&self, topic: TopicName) {
        self.shared.topics.lock().in_use.insert(topic);
    }

    /// The topic is no longer in use: nothing is told of it from the next period on.
    pub fn remove(&self, topic: &TopicName) {
        let mut topics = self.shared.topics.lock();
        if let Some(topic) = topics.in_use.take(topic) {
            topics.removed.insert(topic);
        }
    }

    /// Ends the poller, and waits until it has ended: its watcher is not called after this.
    pub async fn close(self) {
        self.shared.stopped.send_replace(true);
        let mut ended = self.shared.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.shared.stopped.send_replace(true);
    }
}
