//! Who finds no place waits, and gets the next one that is free.

mod common;

use common::listener::{Listener, conversations, publish};
use common::look::{PATIENCE, all_topics, device_channels, publish_raw, topic_stats, until};
use common::{House, house};
use lockstep_broker_nsq::{NsqSettings, SEQ_CHANNEL};
use lockstep_model::ConversationId;
use lockstep_ports::Broker;

/// Publishes an entry, and waits until it comes itself or is told as a head. True if it came itself.
async fn comes(house: &House, device: &mut Listener, topic: ConversationId, seq: u64) -> bool {
    publish(&house.broker, topic, seq..=seq).await;
    device.until_told(topic, seq).await
}

/// The topics whose `_seq` is consumed, on all nsqds.
async fn seqs(house: &House) -> usize {
    let mut consumed = 0;
    for nsqd in &house.nsqds {
        let topics = all_topics(nsqd).await;
        let channels = topics.iter().flat_map(|topic| &topic.channels);
        consumed += channels.filter(|c| c.channel_name.as_str() == SEQ_CHANNEL && c.client_count > 0).count();
    }
    consumed
}

/// nsqd shows a consumer a moment longer than it is there.
async fn until_seqs(house: &House, wanted: usize) {
    until(&format!("{wanted} _seq are consumed"), async || seqs(house).await == wanted).await;
}

async fn next_raw(house: &mut House) -> (ConversationId, Vec<u8>) {
    let next = tokio::time::timeout(PATIENCE, house.raw.recv()).await;
    let raw = next.expect("no raw message comes").expect("the broker runs");
    let came = (raw.conversation, raw.body.clone());
    raw.finish();
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_a_place_for_seq_has_no_channel_until_one_is_free() {
    let mut house = house(1, false, |settings: &mut NsqSettings| settings.seqs_max = 3).await;
    house.until_connected().await;
    let topics = conversations::<8>();
    let mut device = Listener::open(&house.broker, &topics).await;
    device.until_fed(&topics[..3]).await;
    assert_eq!((seqs(&house).await, device_channels(&house.nsqds[0]).await), (3, 3));
    assert_eq!((all_topics(&house.nsqds[0]).await.len(), house.broker.waiting()), (3, (0, 5)));
    for (number, topic) in topics.into_iter().enumerate() {
        assert_eq!(comes(&house, &mut device, topic, 1).await, number < 3, "topic {number}");
    }
    // What services publish into the others waits, and no device's channel takes it.
    for topic in &topics[3..5] {
        publish_raw(&house.nsqds[0], *topic, b"early").await;
        let stats = topic_stats(&house.nsqds[0], *topic).await.expect("the topic");
        assert_eq!((stats.depth, stats.channels.len()), (1, 0));
    }
    // One leaves: the next in the line has its place.
    device.notices.clear();
    house.broker.close(&topics[..1], &device.mailbox).await;
    device.until_fed(&topics[3..4]).await;
    assert_eq!(next_raw(&mut house).await, (topics[3], b"early".to_vec()));
    assert!(comes(&house, &mut device, topics[3], 2).await);
    until_seqs(&house, 3).await;
    assert_eq!(house.broker.waiting(), (0, 4));
    // One that waits leaves, and is not served.
    house.broker.close(&topics[4..5], &device.mailbox).await;
    house.broker.close(&topics[1..2], &device.mailbox).await;
    device.until_fed(&topics[5..6]).await;
    until_seqs(&house, 3).await;
    assert_eq!(house.broker.waiting(), (0, 2));
    let stats = topic_stats(&house.nsqds[0], topics[4]).await.expect("the topic");
    assert_eq!((stats.depth, stats.channels.len()), (1, 0), "it still waits in nsqd");
    // All that are left fit.
    house.broker.close(&topics[2..4], &device.mailbox).await;
    device.until_fed(&topics[6..]).await;
    assert_eq!(house.broker.waiting(), (0, 0));
    assert!(comes(&house, &mut device, topics[7], 2).await);
    house.broker.close(&topics[5..], &device.mailbox).await;
    until_seqs(&house, 0).await;
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_nsqd_that_has_a_topic_takes_a_place_too() {
    let mut house = house(2, true, |settings: &mut NsqSettings| settings.seqs_max = 2).await;
    house.until_connected().await;
    let [first, second] = conversations();
    publish_raw(&house.nsqds[1], first, b"elsewhere").await;
    let device = Listener::fed(&house.broker, &[first, second]).await;
    until("the other nsqd is found", async || house.broker.waiting() == (0, 1)).await;
    assert_eq!(seqs(&house).await, 2);
    house.broker.close(&[second], &device.mailbox).await;
    assert_eq!(next_raw(&mut house).await, (first, b"elsewhere".to_vec()));
    until_seqs(&house, 2).await;
    assert_eq!(house.broker.waiting(), (0, 0));
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_gives_its_place_to_its_next_conversation() {
    let house = house(1, false, |settings: &mut NsqSettings| settings.consumers_per_device_max = 2).await;
    house.until_connected().await;
    let topics = conversations::<6>();
    let mut device = Listener::open(&house.broker, &topics).await;
    device.until_fed(&topics[..2]).await;
    assert_eq!(house.broker.waiting(), (4, 0));
    for (number, topic) in topics.into_iter().enumerate() {
        assert_eq!(comes(&house, &mut device, topic, 1).await, number < 2, "topic {number}");
    }
    device.notices.clear();
    // The third leaves before it is served.
    house.broker.close(&topics[1..3], &device.mailbox).await;
    device.until_fed(&topics[3..4]).await;
    for (topic, is_fed) in [(topics[0], true), (topics[3], true), (topics[4], false), (topics[5], false)] {
        assert_eq!(comes(&house, &mut device, topic, 2).await, is_fed);
    }
    house.broker.close(&[topics[0], topics[3], topics[4]], &device.mailbox).await;
    device.notices.clear();
    device.until_fed(&topics[5..]).await;
    assert!(comes(&house, &mut device, topics[5], 3).await);
    assert_eq!(house.broker.waiting(), (0, 0));
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_leaves_gives_its_places_to_others() {
    let house = house(1, false, |settings: &mut NsqSettings| settings.consumers_max = 4).await;
    house.until_connected().await;
    let topics = conversations::<3>();
    let first = Listener::fed(&house.broker, &topics).await;
    let (mut second, mut third) =
        (Listener::open(&house.broker, &topics).await, Listener::open(&house.broker, &topics).await);
    second.until_fed(&topics[..1]).await;
    assert_eq!(house.broker.waiting(), (5, 0));
    house.broker.close(&topics, &first.mailbox).await;
    second.until_fed(&topics[1..]).await;
    third.until_fed(&topics[..1]).await;
    assert!(comes(&house, &mut second, topics[2], 1).await);
    assert!(comes(&house, &mut third, topics[0], 1).await && !comes(&house, &mut third, topics[1], 1).await);
    assert_eq!(device_channels(&house.nsqds[0]).await, 4);
    // All go while some wait: nothing is left.
    house.broker.close(&topics, &third.mailbox).await;
    house.broker.close(&topics, &second.mailbox).await;
    until("no channel is left", async || device_channels(&house.nsqds[0]).await == 0).await;
    assert_eq!((house.broker.waiting(), house.broker.topics().len()), ((0, 0), 0));
    house.broker.stop().await;
}

/// Places change hands while their next owners come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_when_all_come_and_go() {
    let bounds = |settings: &mut NsqSettings| {
        (settings.seqs_max, settings.consumers_max, settings.consumers_per_device_max) = (3, 5, 2);
    };
    let house = house(1, false, bounds).await;
    house.until_connected().await;
    let topics = conversations::<6>();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4_usize {
        let broker = house.broker.clone();
        tasks.spawn(async move {
            for round in 0..60_usize {
                let device = Listener::open(&broker, &topics[(task + round) % 4..]).await;
                for _ in 0..round % 7 {
                    tokio::task::yield_now().await;
                }
                broker.close(&topics[round % 3..], &device.mailbox).await;
                broker.close(&topics, &device.mailbox).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a task");
    }
    until("all have left", async || topics.iter().all(|topic| !house.broker.uses(*topic))).await;
    assert_eq!(house.broker.waiting(), (0, 0));
    // As many find a place as at the beginning.
    let mut devices = Vec::new();
    for _ in 0..3 {
        devices.push(Listener::open(&house.broker, &topics[..3]).await);
    }
    let all_are_taken = async || {
        let taken = (seqs(&house).await, device_channels(&house.nsqds[0]).await);
        taken == (3, 5) && house.broker.waiting() == (4, 0)
    };
    until("all places are taken", all_are_taken).await;
    for device in devices {
        house.broker.close(&topics, &device.mailbox).await;
    }
    until("no channel is left", async || device_channels(&house.nsqds[0]).await == 0).await;
    house.broker.stop().await;
}
