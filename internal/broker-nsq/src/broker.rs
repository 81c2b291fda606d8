//! The broker: who follows what.

use crate::channel::{Channel, Stage};
use crate::feed::{Shared, counter};
use crate::fleet::Fleet;
use crate::node::Node;
use crate::node_ids::NodeIds;
use crate::opening::Opener;
use crate::placement::place;
use crate::publish;
use crate::raw::{RawMessage, RawShared, RawTopic};
use crate::recent::Recent;
use crate::recheck;
use crate::settings::{Ingest, NsqSettings};
use crate::topic::{Topic, topic_name};
use crate::{envelope::Sealer, lookup};
use async_trait::async_trait;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use lockstep_model::{ConversationId, DeviceId, Notice, Offset, SharedEntry};
use lockstep_nsq_client::http::HttpSettings;
use lockstep_nsq_client::{Lookup, SettingsError};
use lockstep_ports::{Broker, ChannelDeletion, Mailbox, MessageLog};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Raw messages that wait to be taken in. Beyond that they are put back into nsqd for a second.
const RAW_WAITING_MAX: usize = 1_024;

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
    raw: Arc<RawShared>,
    /// What deletes channels.
    fleet: Fleet,
    /// Follows the other nsqds that have a topic; absent without nsqlookupds.
    pub(crate) lookup: Option<Lookup>,
    pub(crate) opener: Opener,
    /// Connections times topics.
    followers: AtomicUsize,
    /// How many consumers each device has, or waits for.
    of_devices: DashMap<DeviceId, usize>,
    /// Told when a device has none any more.
    without_consumers: Notify,
    /// How many they are.
    consumers: AtomicUsize,
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
        let (messages, raw_messages) = mpsc::channel(RAW_WAITING_MAX);
        let (opener, waiting) = Opener::new();
        let opened: Result<Vec<_>, _> = settings.nsqds.iter().map(|nsqd| Node::open(nsqd, &settings)).collect();
        let (nodes, answers): (Vec<Node>, Vec<_>) = opened?.into_iter().unzip();
        let (watcher, found) = lookup::watcher();
        let (lookup, polling) = lookup::open(&settings, watcher)?.unzip();
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
            settings: settings.clone(),
            tasks: tasks.clone(),
            opener: opener.clone(),
            node_ids,
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
            of_devices: DashMap::new(),
            without_consumers: Notify::new(),
            consumers: AtomicUsize::new(0),
            tasks,
            stopping,
            settings,
        }));
        for answers in answers {
            broker.spawn(publish::watch(broker.clone(), answers));
        }
        if let Some(polling) = polling {
            broker.spawn(polling);
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

    /// Gives memory back that only speed needs. To be called when it is quiet.
    pub fn forget_recent(&self) {
        self.0.shared.recent.clear();
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

    fn open_one(&self, conversation: ConversationId, mailbox: &Arc<Mailbox>) {
        let inner = &self.0;
        let slot = inner.topics.entry(conversation);
        // Looked at while the slot is held: either this is seen here, or what is made here is seen by `stop`.
        if inner.stopping.is_cancelled() {
            return;
        }
        let mut topic = slot.or_insert_with(|| inner.topic(conversation));
        let device = mailbox.device();
        let channel = match topic.channel(device) {
            Some(channel) => Arc::clone(channel),
            None => {
                let channel = Channel::new(conversation, device);
                topic.channels.push(Arc::clone(&channel));
                channel
            }
        };
        let mut state = channel.lock();
        if state.mailboxes.iter().any(|open| Arc::ptr_eq(open, mailbox)) {
            return;
        }
        state.mailboxes.push(Arc::clone(mailbox));
        inner.followers.fetch_add(1, Ordering::Relaxed);
        if matches!(state.stage, Stage::None) && inner.may_consume(device) {
            state.stage = Stage::Waiting;
            drop(state);
            inner.opener.open(channel);
        }
    }

    fn close_one(&self, conversation: ConversationId, mailbox: &Arc<Mailbox>) {
        let inner = &self.0;
        let Some(topic) = inner.topics.get(&conversation) else { return };
        let Some(channel) = topic.channel(mailbox.device()).map(Arc::clone) else { return };
        drop(topic);
        let mut state = channel.lock();
        let Some(index) = state.mailboxes.iter().position(|open| Arc::ptr_eq(open, mailbox)) else { return };
        state.mailboxes.swap_remove(index);
        inner.followers.fetch_sub(1, Ordering::Relaxed);
        if !state.mailboxes.is_empty() {
            return;
        }
        match std::mem::replace(&mut state.stage, Stage::Closing) {
            Stage::Running(consumer) => {
                consumer.stop();
                drop(state);
                let broker = self.clone();
                inner.tasks.spawn(async move {
                    consumer.close().await;
                    broker.consumer_ended(&channel);
                });
            }
            // The opener will find that nobody waits.
            waiting @ Stage::Waiting => state.stage = waiting,
            Stage::Closing => {}
            Stage::ForSeq => {
                state.stage = Stage::None;
                drop(state);
                inner.consumes_no_more(channel.device);
                inner.forget(&channel);
            }
            Stage::None => {
                state.stage = Stage::None;
                drop(state);
                inner.forget(&channel);
            }
        }
    }

    /// Closes a device's consumers in these topics, and waits until it has none anywhere. One that is asked for from now on
    /// by a mailbox that is closed is not opened.
    async fn close_device(&self, device: DeviceId, topics: &[ConversationId]) {
        for topic in topics {
            let channel = self.0.topics.get(topic).and_then(|topic| topic.channel(device).map(Arc::clone));
            let mailboxes = channel.map(|channel| channel.lock().mailboxes.clone()).unwrap_or_default();
            mailboxes.iter().for_each(|mailbox| self.close_one(*topic, mailbox));
        }
        loop {
            let mut changed = pin!(self.0.without_consumers.notified());
            changed.as_mut().enable();
            if !self.0.of_devices.contains_key(&device) {
                return;
            }
            changed.await;
        }
    }

    /// A channel has no consumer any more: it goes, or gets another if somebody has come meanwhile.
    pub(crate) fn consumer_ended(&self, channel: &Arc<Channel>) {
        let inner = &self.0;
        let mut state = channel.lock();
        if state.mailboxes.is_empty() {
            state.stage = Stage::None;
            drop(state);
            inner.consumes_no_more(channel.device);
            inner.forget(channel);
        } else {
            state.stage = Stage::Waiting;
            drop(state);
            inner.opener.open(Arc::clone(channel));
        }
    }
}

impl Inner {
    fn topic(&self, conversation: ConversationId) -> Topic {
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

    /// Takes one of the places for consumers, if there is one: for the device, and in all.
    fn may_consume(&self, device: DeviceId) -> bool {
        let NsqSettings { consumers_per_device_max, consumers_max, .. } = self.settings;
        let mut of_device = self.of_devices.entry(device).or_insert(0);
        let one_more = |consumers| (consumers < consumers_max).then_some(consumers + 1);
        let may = *of_device < consumers_per_device_max
            && self.consumers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if may {
            *of_device += 1;
        } else if *of_device == 0 {
            drop(of_device);
            self.of_devices.remove_if(&device, |_, count| *count == 0);
        }
        may
    }

    /// Gives the place back.
    pub(crate) fn consumes_no_more(&self, device: DeviceId) {
        if let Slot::Occupied(mut slot) = self.of_devices.entry(device) {
            *slot.get_mut() -= 1;
            self.consumers.fetch_sub(1, Ordering::Relaxed);
            if *slot.get() == 0 {
                slot.remove();
                self.without_consumers.notify_waiters();
            }
        }
    }

    /// Forgets a channel that nobody uses, and its topic if that was the last.
    pub(crate) fn forget(&self, channel: &Arc<Channel>) {
        let Slot::Occupied(mut slot) = self.topics.entry(channel.topic) else { return };
        let topic = slot.get_mut();
        if let Some(index) = topic.channels.iter().position(|other| Arc::ptr_eq(other, channel)) {
            let state = channel.lock();
            if state.mailboxes.is_empty() && matches!(state.stage, Stage::None) {
                topic.channels.swap_remove(index);
            }
        }
        if !topic.channels.is_empty() || topic.is_pinned {
            return;
        }
        if let Some(raw) = &topic.raw {
            raw.close();
            // While nobody can make the topic anew: what that adds must not be removed.
            self.lookup.as_ref().inspect(|lookup| lookup.remove(&topic.name));
        }
        slot.remove();
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

    fn whisper(&self, topic: ConversationId, notice: &Notice) {
        if let Some(topic) = self.0.topics.get(&topic) {
            topic.channels.iter().for_each(|channel| channel.whisper(notice));
        }
    }

    fn has_consumers(&self, topic: ConversationId) -> bool {
        self.0.topics.get(&topic).is_some_and(|topic| topic.is_wanted())
    }

    fn topics(&self) -> Vec<ConversationId> {
        self.0.topics.iter().filter(|topic| topic.is_wanted()).map(|topic| *topic.key()).collect()
    }

    fn consumers(&self) -> usize {
        self.0.followers.load(Ordering::Relaxed)
    }
}
