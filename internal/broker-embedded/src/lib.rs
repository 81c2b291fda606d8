//! Topics and channels inside this process: the [`Broker`] of the embedded default.
//!
//! Steps 5 and 6 of a message's way. A consumer is one pointer to its connection's [`Mailbox`] in the topic's list; there
//! is no task and no queue per consumer. It never duplicates, reorders or loses: what is published while a consumer is
//! open is in the mailbox when `publish` returns, or the mailbox has overflowed and says so.

use async_trait::async_trait;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use lockstep_model::{ConversationId, DeviceId, Notice, Offset, SharedEntry, SharedSignal};
use lockstep_ports::{Broker, ChannelDeletion, Mailbox};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The broker of the embedded default.
#[derive(Debug, Default)]
pub struct EmbeddedBroker {
    topics: DashMap<ConversationId, Vec<Arc<Mailbox>>>,
    consumers: AtomicUsize,
}

impl EmbeddedBroker {
    /// A broker without topics.
    pub fn new() -> Self {
        Self::default()
    }

    fn open_one(&self, topic: ConversationId, mailbox: &Arc<Mailbox>) {
        let mut consumers = self.topics.entry(topic).or_default();
        if consumers.iter().any(|open| Arc::ptr_eq(open, mailbox)) {
            return;
        }
        if consumers.len() == consumers.capacity() {
            // Growing by a quarter instead of doubling keeps the list within a few pointers of its size.
            let more = (consumers.len() / 4).max(1);
            consumers.reserve_exact(more);
        }
        consumers.push(Arc::clone(mailbox));
        self.consumers.fetch_add(1, Ordering::Relaxed);
    }

    fn close_those(&self, topic: ConversationId, is_meant: impl Fn(&Arc<Mailbox>) -> bool) {
        let Slot::Occupied(mut slot) = self.topics.entry(topic) else { return };
        let consumers = slot.get_mut();
        while let Some(index) = consumers.iter().position(&is_meant) {
            consumers.swap_remove(index);
            self.consumers.fetch_sub(1, Ordering::Relaxed);
        }
        if consumers.is_empty() {
            slot.remove();
        } else if consumers.len() <= consumers.capacity() / 2 {
            consumers.shrink_to_fit();
        }
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn publish(&self, entries: &[SharedEntry]) {
        for run in entries.chunk_by(|one, next| one.conversation == next.conversation) {
            if let Some(consumers) = self.topics.get(&run[0].conversation) {
                consumers.iter().for_each(|mailbox| mailbox.deliver(run));
            }
        }
    }

    async fn open(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        if !mailbox.is_closed() {
            topics.iter().for_each(|topic| self.open_one(*topic, mailbox));
        }
    }

    async fn close(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        topics.iter().for_each(|topic| self.close_those(*topic, |open| Arc::ptr_eq(open, mailbox)));
    }

    async fn delete_channels(&self, device: DeviceId, topics: &[ConversationId]) -> ChannelDeletion {
        topics.iter().for_each(|topic| self.close_those(*topic, |open| open.device() == device));
        ChannelDeletion::Done
    }

    fn signal_heads(&self, heads: &[Offset]) {
        for head in heads {
            if let Some(consumers) = self.topics.get(&head.conversation) {
                consumers.iter().for_each(|mailbox| mailbox.signal(Notice::Head(*head)));
            }
        }
    }

    fn signal(&self, signal: &SharedSignal) {
        if let Some(consumers) = self.topics.get(&signal.conversation) {
            let others = consumers.iter().filter(|mailbox| mailbox.device() != signal.device);
            others.for_each(|mailbox| mailbox.whisper(Notice::Signal(signal.clone())));
        }
    }

    fn whisper(&self, topic: ConversationId, notice: &Notice) {
        if let Some(consumers) = self.topics.get(&topic) {
            consumers.iter().for_each(|mailbox| mailbox.whisper(notice.clone()));
        }
    }

    fn has_consumers(&self, topic: ConversationId) -> bool {
        self.topics.contains_key(&topic)
    }

    fn devices(&self, topic: ConversationId) -> Vec<DeviceId> {
        self.topics.get(&topic).map_or_else(Vec::new, |open| open.iter().map(|mailbox| mailbox.device()).collect())
    }

    fn topics(&self) -> Vec<ConversationId> {
        self.topics.iter().map(|topic| *topic.key()).collect()
    }

    fn consumers(&self) -> usize {
        self.consumers.load(Ordering::Relaxed)
    }
}
