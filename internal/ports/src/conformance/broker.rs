//! What every [`Broker`] does on a quiet machine with mailboxes that are large enough. Each check makes topics of its own,
//! so that one broker can serve them all.

use crate::{Broker, ChannelDeletion, Inbox, Mailbox, Wakeup};
use lockstep_model::{
    Body, Code, ConversationId, DeviceId, Entry, EntryId, Kind, Notice, Offset, Receipts, Sender, Seq, SharedEntry,
    SharedSignal, Signal, UnixMs, UserId,
};
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a check waits for what has to come. Only a broken adapter is waited for that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// All that the contract promises of every broker. Run it on a runtime with several threads.
pub async fn broker(broker: Arc<dyn Broker>) {
    publish_reaches_all_open_consumers_and_no_others(&*broker).await;
    what_is_published_after_open_arrives(&*broker).await;
    close_stops(&*broker).await;
    closing_one_of_two_leaves_the_other(&*broker).await;
    a_closed_mailbox_gets_no_consumer_and_is_let_go(&*broker).await;
    head_signals_reach_the_consumers(&*broker).await;
    signals_reach_the_others(&*broker).await;
    whispers_reach_the_consumers(&*broker).await;
    deleting_channels_closes_a_device_and_no_other(&*broker).await;
    consumers_are_counted(&*broker).await;
    who_stays_open_loses_nothing_while_others_come_and_go(broker).await;
}

/// What a broker may promise beyond that: every entry once and in order.
pub async fn broker_in_order_and_once(broker: &dyn Broker) {
    let (topic, other) = (ConversationId::generate(), ConversationId::generate());
    let mut one = Listener::open(broker, &[topic, other]).await;
    // Opening it twice changes nothing.
    broker.open(&[topic, other], &one.mailbox).await;
    broker.open(&[topic, topic], &one.mailbox).await;
    let mut mixed = entries(topic, 1..=2);
    mixed.extend(entries(other, 1..=1));
    mixed.extend(entries(topic, 3..=4));
    broker.publish(&mixed).await;
    for seq in 5..=50 {
        broker.publish(&entries(topic, seq..=seq)).await;
    }
    broker.publish(&entries(other, 2..=2)).await;
    one.until_reached(topic, 50).await;
    one.until_reached(other, 2).await;
    assert_eq!(one.seqs(topic), (1..=50).collect::<Vec<_>>());
    assert_eq!(one.seqs(other), [1, 2]);
    broker.close(&[topic, other], &one.mailbox).await;
}

async fn publish_reaches_all_open_consumers_and_no_others(broker: &dyn Broker) {
    let (topic, other, nobodys) = (ConversationId::generate(), ConversationId::generate(), ConversationId::generate());
    let mut one = Listener::open(broker, &[topic]).await;
    let mut two = Listener::open(broker, &[topic, other]).await;
    let mut three = Listener::open(broker, &[other]).await;
    let mut all = entries(topic, 1..=3);
    all.extend(entries(nobodys, 1..=1));
    all.extend(entries(other, 1..=1));
    broker.publish(&all).await;
    broker.publish(&[]).await;
    one.until_reached(topic, 3).await;
    two.until_reached(topic, 3).await;
    two.until_reached(other, 1).await;
    three.until_reached(other, 1).await;
    assert!(
        one.is_silent_on(&[other, nobodys]) && two.is_silent_on(&[nobodys]) && three.is_silent_on(&[topic, nobodys])
    );
    for (listener, topics) in [(&one, &[topic][..]), (&two, &[topic, other]), (&three, &[other])] {
        broker.close(topics, &listener.mailbox).await;
    }
}

async fn what_is_published_after_open_arrives(broker: &dyn Broker) {
    let topic = ConversationId::generate();
    broker.publish(&entries(topic, 1..=1)).await;
    let mut one = Listener::open(broker, &[topic]).await;
    broker.publish(&entries(topic, 2..=2)).await;
    one.until_reached(topic, 2).await;
    broker.close(&[topic], &one.mailbox).await;
}

async fn close_stops(broker: &dyn Broker) {
    let (topic, kept, never) = (ConversationId::generate(), ConversationId::generate(), ConversationId::generate());
    let mut one = Listener::open(broker, &[topic, kept]).await;
    broker.publish(&entries(topic, 1..=1)).await;
    one.until_reached(topic, 1).await;
    broker.close(&[topic, never], &one.mailbox).await;
    one.take();
    one.notices.clear();
    broker.publish(&entries(topic, 2..=3)).await;
    broker.signal_heads(&[Offset { conversation: topic, seq: Seq::new(3) }]);
    broker.publish(&entries(kept, 1..=1)).await;
    one.until_reached(kept, 1).await;
    assert!(one.is_silent_on(&[topic]), "an entry after close");
    // Closed and opened again.
    broker.open(&[topic], &one.mailbox).await;
    broker.publish(&entries(topic, 4..=4)).await;
    one.until_reached(topic, 4).await;
    broker.close(&[topic, kept], &one.mailbox).await;
}

async fn closing_one_of_two_leaves_the_other(broker: &dyn Broker) {
    let topic = ConversationId::generate();
    let mut one = Listener::open(broker, &[topic]).await;
    // A second connection of the same device is another consumer.
    let mut two = Listener::with(Mailbox::new(one.mailbox.device(), 1_000));
    broker.open(&[topic], &two.mailbox).await;
    broker.close(&[topic], &one.mailbox).await;
    broker.publish(&entries(topic, 1..=1)).await;
    two.until_reached(topic, 1).await;
    assert!(one.is_silent_on(&[topic]) && broker.has_consumers(topic));
    broker.close(&[topic], &two.mailbox).await;
    assert!(!broker.has_consumers(topic));
}

async fn a_closed_mailbox_gets_no_consumer_and_is_let_go(broker: &dyn Broker) {
    let topic = ConversationId::generate();
    let before = broker.consumers();
    let mut late = Listener::with(Mailbox::new(DeviceId::generate(), 1_000));
    late.mailbox.close(Code::Replaced);
    broker.open(&[topic], &late.mailbox).await;
    assert!(!broker.has_consumers(topic) && broker.consumers() == before, "a consumer of a closed mailbox");
    let mut early = Listener::open(broker, &[topic]).await;
    early.mailbox.close(Code::Replaced);
    broker.publish(&entries(topic, 1..=1)).await;
    assert!(early.is_silent_on(&[topic]) && late.is_silent_on(&[topic]));
    broker.close(&[topic], &early.mailbox).await;
    assert!(!broker.has_consumers(topic) && broker.consumers() == before, "a consumer is left");
    let let_go = async {
        while Arc::strong_count(&late.mailbox) + Arc::strong_count(&early.mailbox) > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, let_go).await.expect("the broker keeps closed mailboxes");
}

async fn deleting_channels_closes_a_device_and_no_other(broker: &dyn Broker) {
    let topics: [ConversationId; 3] = std::array::from_fn(|_| ConversationId::generate());
    let before = broker.consumers();
    let mut gone = Listener::open(broker, &topics).await;
    let second = Listener::with(Mailbox::new(gone.mailbox.device(), 1_000));
    broker.open(&topics, &second.mailbox).await;
    let mut stays = Listener::open(broker, &topics[..2]).await;
    broker.publish(&entries(topics[0], 1..=1)).await;
    gone.until_reached(topics[0], 1).await;
    stays.until_reached(topics[0], 1).await;
    let device = gone.mailbox.device();
    for mailbox in [&gone.mailbox, &second.mailbox] {
        mailbox.close(Code::DeviceRemoved);
    }
    assert_eq!(broker.delete_channels(device, &topics).await, ChannelDeletion::Done);
    assert_eq!(broker.consumers(), before + 2, "those of the other device");
    assert!(!broker.has_consumers(topics[2]), "a consumer is left");
    // Whoever comes too late is no consumer; whoever closes what is closed changes nothing.
    broker.open(&topics, &gone.mailbox).await;
    broker.close(&topics, &gone.mailbox).await;
    broker.publish(&entries(topics[0], 2..=2)).await;
    stays.until_reached(topics[0], 2).await;
    assert_eq!(broker.delete_channels(device, &topics).await, ChannelDeletion::Done, "again");
    assert_eq!(broker.delete_channels(DeviceId::generate(), &[]).await, ChannelDeletion::Done, "there are none");
    broker.close(&topics, &stays.mailbox).await;
    assert_eq!(broker.consumers(), before);
}

async fn head_signals_reach_the_consumers(broker: &dyn Broker) {
    let (topic, other, nobodys) = (ConversationId::generate(), ConversationId::generate(), ConversationId::generate());
    let mut one = Listener::open(broker, &[topic]).await;
    let mut two = Listener::open(broker, &[other]).await;
    let head = |conversation, seq| Offset { conversation, seq: Seq::new(seq) };
    broker.signal_heads(&[head(topic, 7), head(nobodys, 8), head(other, 9)]);
    one.until("a head signal", |notices| notices.contains(&Notice::Head(head(topic, 7)))).await;
    two.until("a head signal", |notices| notices.contains(&Notice::Head(head(other, 9)))).await;
    assert!(one.is_silent_on(&[other, nobodys]) && two.is_silent_on(&[topic, nobodys]));
    broker.close(&[topic], &one.mailbox).await;
    broker.close(&[other], &two.mailbox).await;
}

async fn signals_reach_the_others(broker: &dyn Broker) {
    let (topic, other) = (ConversationId::generate(), ConversationId::generate());
    let mut sender = Listener::open(broker, &[topic]).await;
    let mut one = Listener::open(broker, &[topic, other]).await;
    let mut elsewhere = Listener::open(broker, &[other]).await;
    let (user, device) = (UserId::new("ana").expect("a user"), sender.mailbox.device());
    let signal = Signal { conversation: topic, user, device, body: Body::text("typing") };
    let signal = SharedSignal::new(signal);
    broker.signal(&signal);
    one.until("a signal", |notices| notices.contains(&Notice::Signal(signal.clone()))).await;
    for listener in [&mut sender, &mut elsewhere] {
        listener.take();
        assert!(!listener.notices.contains(&Notice::Signal(signal.clone())), "a signal went astray");
    }
    broker.close(&[topic], &one.mailbox).await;
    one.notices.clear();
    broker.signal(&signal);
    one.take();
    assert!(!one.notices.contains(&Notice::Signal(signal.clone())), "a signal after close");
    for listener in [&sender, &one, &elsewhere] {
        broker.close(&[topic, other], &listener.mailbox).await;
    }
    broker.signal(&signal);
}

async fn whispers_reach_the_consumers(broker: &dyn Broker) {
    let (topic, nobodys) = (ConversationId::generate(), ConversationId::generate());
    let told = |conversation| Notice::Receipts(Box::new(Receipts { conversation, receipts: vec![] }));
    let mut one = Listener::open(broker, &[topic]).await;
    let mut gone = Listener::open(broker, &[topic]).await;
    broker.close(&[topic], &gone.mailbox).await;
    [nobodys, topic].into_iter().for_each(|topic| broker.whisper(topic, &told(topic)));
    one.until("a whisper", |notices| notices.contains(&told(topic))).await;
    gone.take();
    assert!(!one.notices.contains(&told(nobodys)) && gone.notices.is_empty());
    broker.close(&[topic], &one.mailbox).await;
}

async fn consumers_are_counted(broker: &dyn Broker) {
    let topics = [ConversationId::generate(), ConversationId::generate()];
    let before = broker.consumers();
    assert!(!broker.has_consumers(topics[0]) && !broker.topics().contains(&topics[0]));
    let one = Listener::open(broker, &topics).await;
    let two = Listener::open(broker, &topics[..1]).await;
    broker.open(&topics, &one.mailbox).await;
    assert_eq!(broker.consumers(), before + 3);
    assert!(topics.iter().all(|topic| broker.has_consumers(*topic) && broker.topics().contains(topic)));
    assert!(broker.devices(ConversationId::generate()).is_empty());
    let (mut devices, mut open) = (broker.devices(topics[0]), [one.mailbox.device(), two.mailbox.device()]);
    devices.sort_unstable();
    open.sort_unstable();
    assert_eq!(devices, open);
    broker.close(&topics, &one.mailbox).await;
    broker.close(&topics, &one.mailbox).await;
    assert_eq!(broker.consumers(), before + 1);
    assert!(broker.has_consumers(topics[0]) && !broker.has_consumers(topics[1]));
    assert!(!broker.topics().contains(&topics[1]));
    broker.close(&topics, &two.mailbox).await;
    assert_eq!(broker.consumers(), before);
    assert!(!broker.topics().contains(&topics[0]), "a topic without consumers is left");
}

async fn who_stays_open_loses_nothing_while_others_come_and_go(broker: Arc<dyn Broker>) {
    const ENTRIES: u64 = 500;
    let topics: [ConversationId; 4] = std::array::from_fn(|_| ConversationId::generate());
    let before = broker.consumers();
    let mut stayers = Vec::new();
    for _ in 0..4 {
        stayers.push(Listener::open(&*broker, &topics).await);
    }
    let mut tasks = JoinSet::new();
    for topic in topics {
        let broker = Arc::clone(&broker);
        tasks.spawn(async move {
            for seq in 1..=ENTRIES {
                broker.publish(&entries(topic, seq..=seq)).await;
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..4 {
        let broker = Arc::clone(&broker);
        tasks.spawn(async move {
            for _ in 0..50 {
                let guest = Listener::open(&*broker, &topics).await;
                tokio::task::yield_now().await;
                broker.close(&topics, &guest.mailbox).await;
                guest.mailbox.close(Code::Replaced);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a task of the check");
    }
    for stayer in &mut stayers {
        for topic in topics {
            stayer.until_all(topic, 1..=ENTRIES).await;
        }
        broker.close(&topics, &stayer.mailbox).await;
    }
    assert_eq!(broker.consumers(), before);
}

/// A connection's end of a mailbox.
struct Listener {
    mailbox: Arc<Mailbox>,
    notices: Inbox,
}

impl Listener {
    async fn open(broker: &dyn Broker, topics: &[ConversationId]) -> Self {
        let listener = Self::with(Mailbox::new(DeviceId::generate(), 100_000));
        broker.open(topics, &listener.mailbox).await;
        listener
    }

    fn with(mailbox: Arc<Mailbox>) -> Self {
        Self { mailbox, notices: Inbox::new() }
    }

    /// Takes what is there now.
    fn take(&mut self) {
        let waker = std::task::Waker::noop();
        let mut taken = Inbox::new();
        let _ = self.mailbox.poll_take(&mut std::task::Context::from_waker(waker), &mut taken);
        self.notices.append(&mut taken);
    }

    async fn until(&mut self, what: &str, come: impl Fn(&[Notice]) -> bool) {
        let wait = async {
            while !come(&self.notices) {
                let mut taken = Inbox::new();
                let woken = poll_fn(|context| self.mailbox.poll_take(context, &mut taken)).await;
                assert_eq!(woken, Wakeup::Notices, "the mailbox was closed");
                self.notices.append(&mut taken);
            }
        };
        assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "{what} never came");
    }

    /// Waits for an entry, or a head signal that tells of it.
    async fn until_reached(&mut self, topic: ConversationId, seq: u64) {
        self.until("an entry", |notices| tells_of(notices, topic, seq)).await;
    }

    /// Waits for all these entries, or head signals that tell of those that are missing.
    async fn until_all(&mut self, topic: ConversationId, seqs: RangeInclusive<u64>) {
        for seq in seqs {
            self.until_reached(topic, seq).await;
        }
    }

    fn is_silent_on(&mut self, topics: &[ConversationId]) -> bool {
        self.take();
        !self.notices.iter().filter_map(topic_of).any(|topic| topics.contains(&topic))
    }

    fn seqs(&self, topic: ConversationId) -> Vec<u64> {
        let seq = |notice: &Notice| match notice {
            Notice::Entry(entry) if entry.conversation == topic => Some(entry.seq.get()),
            _ => None,
        };
        self.notices.iter().filter_map(seq).collect()
    }
}

fn tells_of(notices: &[Notice], topic: ConversationId, seq: u64) -> bool {
    notices.iter().any(|notice| match notice {
        Notice::Entry(entry) => entry.conversation == topic && entry.seq.get() == seq,
        Notice::Head(head) => head.conversation == topic && head.seq.get() >= seq,
        _ => false,
    })
}

fn topic_of(notice: &Notice) -> Option<ConversationId> {
    match notice {
        Notice::Entry(entry) => Some(entry.conversation),
        Notice::Head(head) => Some(head.conversation),
        _ => None,
    }
}

fn entries(topic: ConversationId, seqs: RangeInclusive<u64>) -> Vec<SharedEntry> {
    let entry = |seq| Entry {
        conversation: topic,
        seq: Seq::new(seq),
        id: EntryId::generate(),
        kind: Kind::Message,
        sender: Sender::server(),
        sender_device: None,
        client_msg_id: None,
        body: Body::text("conformance"),
        sent_at: UnixMs::new(1),
    };
    seqs.map(|seq| SharedEntry::new(entry(seq))).collect()
}
