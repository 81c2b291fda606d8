//! A connection's end of a mailbox, and entries to publish.

use super::look::PATIENCE;
use lockstep_broker_nsq::NsqBroker;
use lockstep_model::{
    Body, ConversationId, DeviceId, Entry, EntryId, Kind, Notice, Offset, Sender, Seq, SharedEntry, UnixMs,
};
use lockstep_ports::{Broker, Inbox, Mailbox, Wakeup};
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::task::{Context, Waker};

/// A connection's end of a mailbox.
pub(crate) struct Listener {
    pub(crate) mailbox: Arc<Mailbox>,
    /// All that has come so far.
    pub(crate) notices: Inbox,
}

impl Listener {
    /// A connection of a device, which follows nothing yet.
    pub(crate) fn of(device: DeviceId) -> Self {
        Self { mailbox: Mailbox::new(device, 1_000_000), notices: Inbox::new() }
    }

    /// A new device's connection that follows these.
    pub(crate) async fn open(broker: &NsqBroker, topics: &[ConversationId]) -> Self {
        let listener = Self::of(DeviceId::generate());
        broker.open(topics, &listener.mailbox).await;
        listener
    }

    /// As [`open`](Self::open), and waits until nsqd feeds all of them: the log's head is told after that.
    pub(crate) async fn fed(broker: &NsqBroker, topics: &[ConversationId]) -> Self {
        let mut listener = Self::open(broker, topics).await;
        listener.until_fed(topics).await;
        listener
    }

    /// Waits until the head of each was told, and forgets that.
    pub(crate) async fn until_fed(&mut self, topics: &[ConversationId]) {
        let told = |notices: &[Notice]| topics.iter().all(|topic| heads(notices, *topic).next().is_some());
        self.until("the head after its consumer was opened", told).await;
        self.notices.clear();
    }

    pub(crate) fn device(&self) -> DeviceId {
        self.mailbox.device()
    }

    /// Takes what is there now.
    pub(crate) fn take(&mut self) {
        let mut taken = Inbox::new();
        let _ = self.mailbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut taken);
        self.notices.append(&mut taken);
    }

    /// Waits until what has come is enough.
    pub(crate) async fn until(&mut self, what: &str, come: impl Fn(&[Notice]) -> bool) {
        let wait = async {
            while !come(&self.notices) {
                let mut taken = Inbox::new();
                let woken = poll_fn(|context| self.mailbox.poll_take(context, &mut taken)).await;
                assert_eq!(woken, Wakeup::Notices, "the mailbox was closed");
                self.notices.append(&mut taken);
            }
        };
        let came = tokio::time::timeout(PATIENCE, wait).await.is_ok();
        let last = &self.notices[self.notices.len().saturating_sub(3)..];
        assert!(came, "{what} never came; the last of {}: {last:?}", self.notices.len());
    }

    /// Waits for this entry itself.
    pub(crate) async fn until_entry(&mut self, topic: ConversationId, seq: u64) {
        self.until(&format!("entry {seq}"), |notices| seqs(notices, topic).any(|came| came == seq)).await;
    }

    /// Waits for this entry or a head signal that reaches so far. Says whether it was the entry.
    pub(crate) async fn until_told(&mut self, topic: ConversationId, seq: u64) -> bool {
        self.until(&format!("entry or head {seq}"), |notices| {
            seqs(notices, topic).any(|came| came == seq) || heads(notices, topic).any(|came| came >= seq)
        })
        .await;
        seqs(&self.notices, topic).any(|came| came == seq)
    }

    /// Waits for a head signal that reaches so far.
    pub(crate) async fn until_head(&mut self, topic: ConversationId, seq: u64) {
        self.until(&format!("head {seq}"), |notices| heads(notices, topic).any(|came| came >= seq)).await;
    }

    /// The entries that came.
    pub(crate) fn seqs(&self, topic: ConversationId) -> Vec<u64> {
        seqs(&self.notices, topic).collect()
    }

    /// The head signals that came.
    pub(crate) fn heads(&self, topic: ConversationId) -> Vec<u64> {
        heads(&self.notices, topic).collect()
    }
}

fn seqs(notices: &[Notice], topic: ConversationId) -> impl Iterator<Item = u64> {
    notices.iter().filter_map(move |notice| match notice {
        Notice::Entry(entry) if entry.conversation == topic => Some(entry.seq.get()),
        _ => None,
    })
}

fn heads(notices: &[Notice], topic: ConversationId) -> impl Iterator<Item = u64> {
    notices.iter().filter_map(move |notice| match notice {
        Notice::Head(Offset { conversation, seq }) if *conversation == topic => Some(seq.get()),
        _ => None,
    })
}

/// Entries of a conversation.
pub(crate) fn entries(topic: ConversationId, seqs: RangeInclusive<u64>) -> Vec<SharedEntry> {
    let entry = |seq| Entry {
        conversation: topic,
        seq: Seq::new(seq),
        id: EntryId::generate(),
        kind: Kind::Message,
        sender: Sender::server(),
        sender_device: None,
        client_msg_id: None,
        body: Body::text("hello"),
        sent_at: UnixMs::new(1),
    };
    seqs.map(|seq| SharedEntry::new(entry(seq))).collect()
}

/// Publishes entries one after the other.
pub(crate) async fn publish(broker: &NsqBroker, topic: ConversationId, seqs: RangeInclusive<u64>) {
    for entry in entries(topic, seqs) {
        broker.publish(&[entry]).await;
    }
}

/// New conversations.
pub(crate) fn conversations<const N: usize>() -> [ConversationId; N] {
    std::array::from_fn(|_| ConversationId::generate())
}
