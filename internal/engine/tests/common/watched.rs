//! A broker that is watched.

use async_trait::async_trait;
use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_model::{ConversationId, DeviceId, Notice, Offset, SharedEntry, SharedSignal};
use lockstep_ports::{Broker, ChannelDeletion, Mailbox};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A broker that tells what is made of it.
#[derive(Default)]
pub struct WatchedBroker {
    pub inner: EmbeddedBroker,
    /// Gets the devices whose channels are deleted.
    pub deleted: Option<mpsc::UnboundedSender<DeviceId>>,
    /// The topics for which consumers were opened.
    pub opened: Mutex<Vec<ConversationId>>,
}

#[async_trait]
impl Broker for WatchedBroker {
    async fn publish(&self, entries: &[SharedEntry]) {
        self.inner.publish(entries).await;
    }
    async fn open(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        self.opened.lock().extend(topics);
        self.inner.open(topics, mailbox).await;
    }
    async fn close(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>) {
        self.inner.close(topics, mailbox).await;
    }
    async fn delete_channels(&self, device: DeviceId, _: &[ConversationId]) -> ChannelDeletion {
        self.deleted.iter().for_each(|deleted| deleted.send(device).unwrap());
        ChannelDeletion::Done
    }
    fn signal_heads(&self, heads: &[Offset]) {
        self.inner.signal_heads(heads);
    }
    fn signal(&self, signal: &SharedSignal) {
        self.inner.signal(signal);
    }

    fn whisper(&self, topic: ConversationId, notice: &Notice) {
        self.inner.whisper(topic, notice);
    }
    fn has_consumers(&self, topic: ConversationId) -> bool {
        self.inner.has_consumers(topic)
    }
    fn devices(&self, topic: ConversationId) -> Vec<DeviceId> {
        self.inner.devices(topic)
    }
    fn topics(&self) -> Vec<ConversationId> {
        self.inner.topics()
    }
    fn consumers(&self) -> usize {
        self.inner.consumers()
    }
}
