//! Entries come through nsqd: not as head signals, which would do for conformance.

mod common;

use common::house;
use common::listener::{Listener, conversations, entries, publish};
use common::look::{PATIENCE, all_topics, channel_stats, ephemeral, topic_stats, until};
use lockstep_broker_nsq::{Channels, Ingest, NsqSettings, SEQ_CHANNEL};
use lockstep_ports::Broker;

/// Entries of a check.
const ENTRIES: u64 = 100;

/// No head signal is to come in place of an entry, however slow the machine is.
fn patient(settings: &mut NsqSettings) {
    settings.publish_timeout = PATIENCE;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_device_gets_each_entry_in_order_and_nothing_else() {
    let house = house(2, false, patient).await;
    house.until_connected().await;
    let topics = conversations::<3>();
    let mut devices = Vec::new();
    for _ in 0..5 {
        devices.push(Listener::fed(&house.broker, &topics).await);
    }
    // As many as nsqd keeps in memory: what goes over its disk comes out of order.
    for round in 0..5 {
        let (first, last) = (20 * round + 1, 20 * round + 20);
        for topic in topics {
            publish(&house.broker, topic, first..=last - 10).await;
            // Many at once, too.
            house.broker.publish(&entries(topic, last - 9..=last)).await;
        }
        for device in &mut devices {
            for topic in topics {
                device.until_entry(topic, last).await;
                assert_eq!(device.seqs(topic), (1..=last).collect::<Vec<_>>());
                assert!(device.heads(topic).is_empty(), "{:?}", device.heads(topic));
            }
        }
    }
    // What operators see of it: the one nsqd that has a topic, and the channel of each device.
    let places = house.broker.places(topics[0]).await;
    let channels: Vec<_> = places.iter().flat_map(|place| &place.channels).collect();
    assert_eq!(channels.iter().filter(|channel| channel.clients == 1 && channel.name != SEQ_CHANNEL).count(), 5);
    assert!(places.iter().all(|place| place.depth == 0 && place.server.starts_with("127.0.0.1:")), "{places:?}");
    assert_eq!(house.broker.devices(topics[0]).len(), 5);
    house.broker.stop().await;
}

/// nsqd keeps `--mem-queue-size` messages of a channel, here 100, and what is more on disk for durable ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_arrives_whole_through_durable_channels() {
    let durable = |settings: &mut NsqSettings| {
        patient(settings);
        settings.channels = Channels::Durable;
    };
    let house = house(1, false, durable).await;
    house.until_connected().await;
    let [topic] = conversations();
    let mut devices = [Listener::fed(&house.broker, &[topic]).await, Listener::fed(&house.broker, &[topic]).await];
    let all: Vec<u64> = (1..=3_000).collect();
    publish(&house.broker, topic, 1..=2_000).await;
    house.broker.publish(&entries(topic, 2_001..=3_000)).await;
    for device in &mut devices {
        device.until("all of them", |notices| notices.len() >= all.len()).await;
        let mut came = device.seqs(topic);
        came.sort_unstable();
        assert_eq!(came, all, "each once, and no head signal in place of one");
    }
    house.broker.stop().await;
}

/// Ephemeral channels have no disk: what is more is lost, and what comes next shows the gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_burst_an_ephemeral_channel_goes_on() {
    let house = house(1, false, patient).await;
    house.until_connected().await;
    let [topic] = conversations();
    let mut device = Listener::fed(&house.broker, &[topic]).await;
    house.broker.publish(&entries(topic, 1..=3_000)).await;
    let seen = async || {
        let channel = channel_stats(&house.nsqds[0], topic, &ephemeral(device.device())).await.expect("its channel");
        topic_stats(&house.nsqds[0], topic).await.is_some_and(|topic| topic.depth == 0 && topic.message_count == 3_000)
            && (channel.depth, channel.in_flight_count) == (0, 0)
    };
    until("all are through", seen).await;
    publish(&house.broker, topic, 3_001..=3_001).await;
    device.until_entry(topic, 3_001).await;
    let mut came = device.seqs(topic);
    let count = came.len();
    came.sort_unstable();
    came.dedup();
    assert_eq!(came.len(), count, "one came twice");
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_connections_of_a_device_get_everything() {
    let house = house(1, false, patient).await;
    house.until_connected().await;
    let [topic] = conversations();
    let mut one = Listener::fed(&house.broker, &[topic]).await;
    let mut two = Listener::of(one.device());
    house.broker.open(&[topic], &two.mailbox).await;
    publish(&house.broker, topic, 1..=ENTRIES).await;
    for connection in [&mut one, &mut two] {
        connection.until_entry(topic, ENTRIES).await;
        assert_eq!(connection.seqs(topic), (1..=ENTRIES).collect::<Vec<_>>());
    }
    let channel = channel_stats(&house.nsqds[0], topic, &ephemeral(one.device())).await.expect("its channel");
    assert_eq!(channel.client_count, 1, "they share what comes");
    // One goes, the other stays on the same consumer.
    house.broker.close(&[topic], &one.mailbox).await;
    publish(&house.broker, topic, ENTRIES + 1..=ENTRIES + 1).await;
    two.until_entry(topic, ENTRIES + 1).await;
    assert!(two.heads(topic).is_empty());
    one.take();
    assert_eq!(one.notices.len(), ENTRIES as usize);
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ephemeral_channels_go_with_their_device() {
    let house = house(1, false, patient).await;
    let [topic] = conversations();
    let device = Listener::fed(&house.broker, &[topic]).await;
    let stays = Listener::fed(&house.broker, &[topic]).await;
    let mut names = channel_names(&house, topic).await;
    let mut expected = [SEQ_CHANNEL.to_owned(), ephemeral(device.device()), ephemeral(stays.device())];
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    house.broker.close(&[topic], &device.mailbox).await;
    let left = ephemeral(device.device());
    until("its channel is gone", async || channel_stats(&house.nsqds[0], topic, &left).await.is_none()).await;
    assert!(channel_stats(&house.nsqds[0], topic, &ephemeral(stays.device())).await.is_some());
    house.broker.stop().await;
    until("all but _seq is gone", async || channel_names(&house, topic).await == [SEQ_CHANNEL]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_channels_stay_and_are_emptied_for_who_returns() {
    let durable = |settings: &mut NsqSettings| {
        patient(settings);
        settings.channels = Channels::Durable;
    };
    let house = house(1, false, durable).await;
    house.until_connected().await;
    let [topic] = conversations();
    let mut gone = Listener::fed(&house.broker, &[topic]).await;
    let mut stays = Listener::fed(&house.broker, &[topic]).await;
    let channel = gone.device().to_string();
    house.broker.close(&[topic], &gone.mailbox).await;
    let stats = async || channel_stats(&house.nsqds[0], topic, &channel).await.expect("the channel stays");
    until("its consumer is gone", async || stats().await.client_count == 0).await;
    publish(&house.broker, topic, 1..=ENTRIES).await;
    stays.until_entry(topic, ENTRIES).await;
    until("all wait in its channel", async || stats().await.depth == ENTRIES as i64).await;
    // What waits is dropped: the log has it, and the head is told.
    house.heads.set(topic, ENTRIES);
    house.broker.open(&[topic], &gone.mailbox).await;
    gone.until_head(topic, ENTRIES).await;
    publish(&house.broker, topic, ENTRIES + 1..=ENTRIES + 1).await;
    gone.until_entry(topic, ENTRIES + 1).await;
    assert_eq!(gone.seqs(topic), [ENTRIES + 1]);
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_piles_up_where_nobody_is() {
    let house = house(1, false, patient).await;
    house.until_connected().await;
    let [never, before, other] = conversations();
    let mut device = Listener::fed(&house.broker, &[before, other]).await;
    house.broker.close(&[before], &device.mailbox).await;
    let channel = ephemeral(device.device());
    until("its channel is gone", async || channel_stats(&house.nsqds[0], before, &channel).await.is_none()).await;
    for topic in [never, before] {
        publish(&house.broker, topic, 1..=1_000).await;
        house.broker.publish(&entries(topic, 1_001..=2_000)).await;
    }
    // What was published later has passed nsqd, so what was published before would have, too.
    publish(&house.broker, other, 1..=1).await;
    device.until_entry(other, 1).await;
    assert_eq!(topic_stats(&house.nsqds[0], never).await, None);
    let before = topic_stats(&house.nsqds[0], before).await.expect("the topic with its _seq");
    assert_eq!((before.depth, before.message_count), (0, 0));
    assert!(before.channels.iter().all(|channel| channel.depth == 0));
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_conversation_is_published_to_with_nobody_there() {
    let [pinned] = conversations();
    let pin = |settings: &mut NsqSettings| {
        patient(settings);
        settings.pinned.insert(pinned);
    };
    let house = house(1, false, pin).await;
    house.until_connected().await;
    let mut spy = common::spy::Spy::watch(&house.nsqds[0], pinned).await;
    publish(&house.broker, pinned, 1..=ENTRIES).await;
    for _ in 0..ENTRIES {
        let (_, envelope) = spy.message().await;
        assert!(envelope.starts_with(b"LSE1"));
    }
    assert!(house.broker.has_consumers(pinned));
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_ingest_there_is_no_seq() {
    let off = |settings: &mut NsqSettings| {
        patient(settings);
        settings.ingest = Ingest::Off;
    };
    let house = house(1, false, off).await;
    house.until_connected().await;
    let [topic] = conversations();
    let mut device = Listener::fed(&house.broker, &[topic]).await;
    publish(&house.broker, topic, 1..=ENTRIES).await;
    device.until_entry(topic, ENTRIES).await;
    assert_eq!(device.seqs(topic), (1..=ENTRIES).collect::<Vec<_>>());
    assert_eq!(channel_names(&house, topic).await, [ephemeral(device.device())]);
    house.broker.stop().await;
}

async fn channel_names(house: &common::House, topic: lockstep_model::ConversationId) -> Vec<String> {
    let topics = all_topics(&house.nsqds[0]).await;
    let topic = topics.into_iter().find(|found| found.topic_name == common::look::topic_name(topic));
    let channels = topic.map(|topic| topic.channels).unwrap_or_default();
    channels.into_iter().map(|channel| channel.channel_name.to_string()).collect()
}
