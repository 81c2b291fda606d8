//! The transport of live entries: topic = conversation, channel = device.

use crate::Mailbox;
use async_trait::async_trait;
use lockstep_model::{ConversationId, DeviceId, Notice, Offset, SharedEntry, SharedSignal};
use std::sync::Arc;

/// Moves committed entries to the connections that follow their conversations.
///
/// **Order, duplicates, loss**: a broker may duplicate, reorder and lose: the session machine drops, waits and reads the
/// log. **Durability**: none; the log is the truth. **Cancellation**: a dropped `publish` may have reached some.
///
/// A consumer is the pair (topic, the mailbox of the connection), whose device names the channel.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Passes entries to every consumer of their topics. Entries of one conversation stand in seq order.
    async fn publish(&self, entries: &[SharedEntry]);

    /// Opens a consumer. When this returns, what is published later reaches the mailbox, or the broker will put
    /// [`Notice::Head`] there once it does. Opening it twice changes nothing; a closed
    /// mailbox gets none.
    async fn open(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>);

    /// Closes consumers. When this returns, nothing more is put into the mailbox for these topics.
    async fn close(&self, topics: &[ConversationId], mailbox: &Arc<Mailbox>);

    /// Closes the consumer of a topic whose conversation the device's user is not in any more. What is kept for the device there
    /// may go too: of the device's connections, the last one that closes its consumer takes it along.
    async fn leave(&self, topic: ConversationId, mailbox: &Arc<Mailbox>) {
        self.close(&[topic], mailbox).await;
    }

    /// Closes the consumers of a device in this process, and deletes its channels wherever there may be some. Its mailboxes
    /// must have been closed before: of those that are open, consumers may come back. `topics` are those that it followed;
    /// channels elsewhere are found if a server has them.
    ///
    /// Takes seconds at the most, and tells where channels may be left then. May be given again at any time.
    /// **Cancellation**: some channels may be deleted.
    async fn delete_channels(&self, device: DeviceId, topics: &[ConversationId]) -> ChannelDeletion;

    /// Tells the consumers in this process that the heads of these topics are at least so far: a head signal.
    fn signal_heads(&self, heads: &[Offset]);

    /// Passes a signal to the consumers of its topic in this process, but not to those of the device that it comes from. At
    /// most once: a mailbox that is full drops it.
    fn signal(&self, signal: &SharedSignal);

    /// Tells the consumers of a topic in this process something that is kept nowhere. At most once: a mailbox that is full
    /// drops it.
    fn whisper(&self, topic: ConversationId, notice: &Notice);

    /// Whether anybody in this process consumes the topic.
    fn has_consumers(&self, topic: ConversationId) -> bool;

    /// The devices that consume a topic in this process, in any order.
    fn devices(&self, topic: ConversationId) -> Vec<DeviceId>;

    /// What the transport's servers say of a topic, for operators. Nothing if the transport is this process. Servers that
    /// do not answer within some seconds are left out.
    async fn places(&self, _topic: ConversationId) -> Vec<TopicAt> {
        vec![]
    }

    /// The topics that have consumers in this process.
    fn topics(&self) -> Vec<ConversationId>;

    /// How many consumers are open in this process, for metrics.
    fn consumers(&self) -> usize;
}

/// A topic on one of the transport's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicAt {
    /// The server's address.
    pub server: String,
    /// Messages that wait for a channel.
    pub depth: u64,
    /// Its channels, those with the most that waits first.
    pub channels: Vec<TopicChannel>,
}

/// A channel of a topic on one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicChannel {
    /// Its name.
    pub name: String,
    /// Messages that wait.
    pub depth: u64,
    /// Messages that were delivered and are not finished.
    pub in_flight: u64,
    /// Consumers.
    pub clients: u64,
}

/// What became of a device's channels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a device whose channels are not all deleted stays fenced"]
pub enum ChannelDeletion {
    /// There are none.
    Done,
    /// Some may be left.
    Pending {
        /// The servers that were not reached, or where a channel came back: their addresses, for operators.
        servers: Vec<String>,
    },
}
