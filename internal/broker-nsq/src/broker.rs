//! The broker: who follows what.

use crate::channel::{Channel, Stage};
use crate::feed::{Shared, counter};
use crate::fleet::Fleet;
use crate::inspection;
use crate::node::Node;
use crate::node_ids::NodeIds;
use crate::opening::Opener;
use crate::placement::place;
use crate::places::ConsumerPlaces;
use crate::publish;
use crate::raw::{RawMessage, RawShared, RawTopic};
use crate::raw_room::{self, RawRoom};
use crate::recent::Recent;
use crate::recheck;
use crate::seqs::Seqs;
use crate::settings::{Ingest, NsqSettings};
use crate::topic::{Topic, topic_name};
use crate::{envelope::Sealer, identity, lookup};
use async_trait::async_trait;
use dashmap::DashMap;
use lockstep_model::{ConversationId, DeviceId, Notice, Offset, SharedEntry, SharedSignal};
use lockstep_nsq_client::http::HttpSettings;
use lockstep_nsq_client::{Lookup, SettingsError};
use lockstep_ports::{Broker, ChannelDeletion, Mailbox, MessageLog, TopicAt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long deleting a device's channels may take, the closing of its consumers included, which an nsqd that hangs delays
/// by five seconds. Then all servers count as pending.
const DELETION_TIME_MAX: Duration = Duration::from_secs(15);
/// How long a server may take for each request of that.
const DELETION_REQUEST_TIME_MAX: Duration = Duration::from_secs(3);

/// Why the broker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No nsqd is configured.
    #[error("no nsqd is configured")]
    NoNsqd,
    /// A setting is out of its bounds.
    #[error("a setting of NSQ connections is out of its bounds")]
    Settings(#[from] SettingsError),
}

/// The broker on NSQ. Clones are the same.
#[derive(Clone)]
pub struct NsqBroker(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: NsqSettings,
    pub(crate) nodes: Vec<Node>,
    pub(crate) topics: DashMap<ConversationId, Topic>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) raw: Arc<RawShared>,
    /// What deletes channels.
    fleet: Fleet,
    /// Follows the other nsqds that have a topic; absent without nsqlookupds.
    pub(crate) lookup: Option<Lookup>,
    pub(crate) opener: Opener,
    /// Connections times topics.
    pub(crate) followers: AtomicUsize,
    /// Of consumers.
    pub(crate) places: ConsumerPlaces<Arc<Channel>>,
    /// Told when a device has none any more.
    pub(crate) without_consumers: Notify,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl NsqBroker {
    /// Starts the broker's tasks. The log is asked for heads after a consumer was opened. The second part is what services
    /// publish; if it is dropped, they wait in nsqd.
    ///
    /// # Errors
    ///
    /// [`StartError`]. An nsqd that is not reached is none: it is tried again and again.
    pub fn start(
        settings: NsqSettings,
        log: Arc<dyn MessageLog>,
    ) -> Result<(Self, mpsc::Receiver<RawMessage>), StartError> {
        if settings.nsqds.is_empty() {
            return Err(StartError::NoNsqd);
        }
        let sealer = Sealer::new(&settings.key, settings.epoch);
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let (rechecks, changed) = mpsc::unbounded_channel();
        let (messages, raw_messages) = mpsc::channel(raw_room::MESSAGES_MAX);
        let (opener, waiting) = Opener::new();
        let opened: Result<Vec<_>, _> = settings.nsqds.iter().map(|nsqd| Node::open(nsqd, &settings)).collect();
        let (nodes, answers): (Vec<Node>, Vec<_>) = opened?.into_iter().unzip();
        let (watcher, found) = lookup::watcher();
        let (lookup, polling) = lookup::open(&settings, watcher.clone())?.unzip();
        let node_ids = Arc::new(NodeIds::default());
        let shared = Shared {
            sealer: sealer.clone(),
            recent: Recent::default(),
            node_ids: Arc::clone(&node_ids),
            rechecks,
            envelopes: counter("envelope"),
            ignored: counter("ignored"),
        };
        let raw = RawShared {
            sealer,
            messages,
            room: RawRoom::default(),
            settings: settings.clone(),
            tasks: tasks.clone(),
            opener: opener.clone(),
            node_ids,
            seqs: Seqs::new(settings.seqs_max),
            found: Default::default(),
        };
        let http = HttpSettings { timeout: DELETION_REQUEST_TIME_MAX, ..HttpSettings::default() };
        let broker = Self(Arc::new(Inner {
            fleet: Fleet::new(&settings, http),
            nodes,
            topics: DashMap::new(),
            shared: Arc::new(shared),
            raw: Arc::new(raw),
            lookup,
            opener,
            followers: AtomicUsize::new(0),
            places: ConsumerPlaces::new(settings.consumers_per_device_max, settings.consumers_max),
            without_consumers: Notify::new(),
            tasks,
            stopping,
            settings,
        }));
        for (node, answers) in answers.into_iter().enumerate() {
            broker.spawn(publish::watch(broker.clone(), node, answers));
        }
        if let Some(polling) = polling {
            broker.spawn(polling);
        }
        if broker.0.settings.ingest != Ingest::Off {
            for node in 0..broker.0.nodes.len() {
                broker.spawn(identity::ask(broker.clone(), node, watcher.clone()));
            }
        }
        broker.spawn(recheck::run(log, changed));
        broker.spawn(crate::opening::run(broker.clone(), waiting));
        broker.spawn(lookup::run(broker.clone(), found));
        for conversation in broker.0.settings.pinned.clone() {
            broker.0.topics.entry(conversation).or_insert_with(|| broker.0.topic(conversation));
        }
        Ok((broker, raw_messages))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.0.stopping.clone();
        self.0.tasks.spawn(async move {
            stopping.run_until_cancelled(task).await;
        });
    }

    /// How many of the configured nsqds take envelopes at this moment, and how many there are.
    pub fn connected(&self) -> (usize, usize) {
        let nodes = &self.0.nodes;
        (nodes.iter().filter(|node| node.producer.is_connected()).count(), nodes.len())
    }

    /// Whether the topic of a conversation is used here, if only because a consumer is still being closed.
    pub fn uses(&self, conversation: ConversationId) -> bool {
        self.0.topics.contains_key(&conversation)
    }

    /// How many conversations of devices, and how many `_seq` channels, wait for a place: they live by head signals and wait
    /// in nsqd meanwhile.
    pub fn waiting(&self) -> (usize, usize) {
        (self.0.places.waiting(), self.0.raw.seqs.waiting())
    }

    /// Gives memory back that only speed needs. To be called when it is quiet.
    pub fn forget_recent(&self) {
        self.0.shared.recent.clear();
        self.0.raw.room.forget_finished();
    }

    /// Stops in order: closes the consumers, then the connections that publish.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        for mut topic in self.0.topics.iter_mut() {
            let topic = topic.value_mut();
            topic.raw.take().inspect(|raw| raw.close());
            for channel in &topic.channels {
                let stage = std::mem::take(&mut channel.lock().stage);
                if let Stage::Running(consumer) = stage {
                    self.0.tasks.spawn(async move {
                        consumer.close().await;
                    });
                }
            }
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
        for node in &self.0.nodes {
            node.producer.close().await;
        }
    }
}

impl Inner {
    pub(crate) fn topic(&self, conversation: ConversationId) -> Topic {
        let name = topic_name(&self.settings.topic_prefix, conversation);
        let nsqds = self.nodes.iter().map(|node| node.addresses.tcp.as_str());
        let node = place(nsqds, name.as_str()).expect("checked at the start");
        let raw = (self.settings.ingest == Ingest::Live)
            .then(|| RawTopic::open(conversation, name.clone(), &self.nodes[node].seqs, &self.raw));
        if let (Some(lookup), Some(_)) = (&self.lookup, &raw) {
            lookup.add(name.clone());
        }
        let is_pinned = self.settings.pinned.contains(&conversation);
        Topic { name, node, channels: vec![], raw, is_pinned }
    }
}

#[async_trait]
impl Broker for NsqBroker {
    async fn publish(&self, entries: &[SharedEntry]) {
        for run in entries.chunk_by(|one, next| one.conversation == next.conversation) {
            publish::run(&self.0, run);
        }
    }

    async fn open(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        if !mailbox.is_closed() {
            topics.iter().for_each(|topic| self.open_one(*topic, mailbox));
        }
    }

    async fn close(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        topics.iter().for_each(|topic| self.close_one(*topic, mailbox));
    }

    async fn leave(&self, topic: ConversationId, mailbox: &Arc<Mailbox>) {
        self.note_left(topic, mailbox);
        self.close_one(topic, mailbox);
    }

    async fn delete_channels(&self, device: DeviceId, topics: &[ConversationId]) -> ChannelDeletion {
        let fleet = &self.0.fleet;
        let deletion = tokio::time::timeout(DELETION_TIME_MAX, async {
            // First, since one that reconnects makes its channel again.
            self.close_device(device, topics).await;
            fleet.delete_channels(device, Some(topics)).await
        });
        deletion.await.unwrap_or_else(|_| fleet.all_pending()).into()
    }

    fn signal_heads(&self, heads: &[Offset]) {
        for head in heads {
            if let Some(topic) = self.0.topics.get(&head.conversation) {
                topic.channels.iter().for_each(|channel| channel.signal_head(head.seq));
            }
        }
    }

    fn signal(&self, signal: &SharedSignal) {
        if let Some(topic) = self.0.topics.get(&signal.conversation) {
            let others = topic.channels.iter().filter(|channel| channel.device != signal.device);
            others.for_each(|channel| channel.whisper(&Notice::Signal(signal.clone())));
        }
    }

    fn whisper(&self, topic: ConversationId, notice: &Notice) {
        if let Some(topic) = self.0.topics.get(&topic) {
            topic.channels.iter().for_each(|channel| channel.whisper(notice));
        }
    }

    fn has_consumers(&self, topic: ConversationId) -> bool {
        self.0.topics.get(&topic).is_some_and(|topic| topic.is_wanted())
    }

    fn devices(&self, topic: ConversationId) -> Vec<DeviceId> {
        let topic = self.0.topics.get(&topic);
        topic.map_or_else(Vec::new, |topic| topic.channels.iter().map(|channel| channel.device).collect())
    }

    async fn places(&self, topic: ConversationId) -> Vec<TopicAt> {
        let name = topic_name(&self.0.settings.topic_prefix, topic);
        let looking = inspection::places(&self.0.fleet, &name);
        tokio::time::timeout(DELETION_TIME_MAX, looking).await.unwrap_or_default()
    }

    fn topics(&self) -> Vec<ConversationId> {
        self.0.topics.iter().filter(|topic| topic.is_wanted()).map(|topic| *topic.key()).collect()
    }

    fn consumers(&self) -> usize {
        self.0.followers.load(Ordering::Relaxed)
    }
}
