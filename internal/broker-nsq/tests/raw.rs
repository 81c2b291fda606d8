//! What services publish comes out once taken in, and only there.

mod common;

use common::listener::{Listener, conversations, publish};
use common::look::{PATIENCE, channel_name, channel_stats, http, publish_raw, topic_name, topic_stats, until};
use common::spy::Spy;
use common::{House, furnish, house, start};
use lockstep_broker_nsq::{NsqSettings, RawMessage, SEQ_CHANNEL};
use lockstep_model::ConversationId;
use lockstep_ports::Broker;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

impl House {
    async fn next_raw(&mut self) -> RawMessage {
        let next = tokio::time::timeout(PATIENCE, self.raw.recv()).await;
        next.expect("no raw message comes").expect("the broker runs")
    }

    /// Waits until nothing waits in `_seq`, in nobody's hands either.
    async fn until_finished(&self, conversation: ConversationId) {
        until("_seq is empty", async || {
            let topic = topic_stats(&self.nsqds[0], conversation).await.expect("the topic");
            let seq = topic.channels.iter().find(|channel| channel.channel_name.as_str() == SEQ_CHANNEL);
            let seq = seq.expect("its _seq");
            topic.depth == 0 && (seq.depth, seq.in_flight_count, seq.deferred_count) == (0, 0, 0)
        })
        .await;
    }
}

fn patient(settings: &mut NsqSettings) {
    settings.publish_timeout = PATIENCE;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_before_the_first_device_comes_out_and_reaches_no_device() {
    let mut house = house(1, false, patient).await;
    house.until_connected().await;
    let [topic] = conversations();
    for number in 0..200 {
        publish_raw(&house.nsqds[0], topic, format!("body {number}").as_bytes()).await;
    }
    let mut device = Listener::fed(&house.broker, &[topic]).await;
    let mut keys = HashSet::new();
    let mut bodies = BTreeSet::new();
    for _ in 0..200 {
        let raw = house.next_raw().await;
        assert_eq!(raw.conversation, topic);
        assert!(keys.insert(raw.key.clone()), "two messages with one key");
        bodies.insert(raw.body.clone());
        raw.finish();
    }
    assert_eq!(bodies, (0..200).map(|number| format!("body {number}").into_bytes()).collect());
    house.until_finished(topic).await;
    publish(&house.broker, topic, 1..=1).await;
    device.until_entry(topic, 1).await;
    assert_eq!(device.notices.len(), 1, "{:?}", device.notices);
    house.broker.stop().await;
}

/// The race that `_seq` has to win: devices come while a service publishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_is_lost_to_a_device_channel_while_devices_come() {
    let mut house = house(1, false, patient).await;
    let topics = conversations::<20>();
    let (stop, mut services) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for topic in topics {
        let (stop, http) = (Arc::clone(&stop), http(&house.nsqds[0]));
        services.spawn(async move {
            let mut published = 0;
            while !stop.load(Ordering::Relaxed) {
                http.publish(&topic_name(topic), format!("{published}").into_bytes().into(), None).await.unwrap();
                published += 1;
            }
            (topic, published)
        });
    }
    // The devices come in the middle of that, each a little later.
    let mut devices = Vec::new();
    for topic in topics {
        until("the service has begun", async || topic_stats(&house.nsqds[0], topic).await.is_some()).await;
        devices.push(Listener::open(&house.broker, &[topic]).await);
    }
    for (device, topic) in devices.iter_mut().zip(topics) {
        device.until_fed(&[topic]).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut missing = HashMap::new();
    while let Some(published) = services.join_next().await {
        let (topic, published) = published.unwrap();
        missing.insert(topic, (0..published).collect::<HashSet<u32>>());
    }
    while missing.values().any(|missing| !missing.is_empty()) {
        let raw = house.next_raw().await;
        let number: u32 = std::str::from_utf8(&raw.body).unwrap().parse().unwrap();
        missing.get_mut(&raw.conversation).unwrap().remove(&number);
        raw.finish();
    }
    for device in &mut devices {
        device.take();
        assert!(device.notices.is_empty(), "{:?}", device.notices);
    }
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_answered_comes_again_with_the_same_key() {
    let (_, nsqds) = start(1, false, |options| options.msg_timeout = Some(Duration::from_secs(1))).await;
    let mut house = furnish(None, nsqds, patient);
    let [topic] = conversations();
    let _device = Listener::fed(&house.broker, &[topic]).await;
    publish_raw(&house.nsqds[0], topic, b"forgotten").await;
    let first = house.next_raw().await;
    let (key, body) = (first.key.clone(), first.body.clone());
    drop(first);
    let second = house.next_raw().await;
    assert_eq!((&second.key, &second.body), (&key, &body));
    second.requeue();
    let third = house.next_raw().await;
    assert_eq!((&third.key, &third.body), (&key, &body));
    third.finish();
    house.until_finished(topic).await;
    let seq = channel_stats(&house.nsqds[0], topic, SEQ_CHANNEL).await.expect("its _seq");
    assert_eq!((seq.timeout_count, seq.requeue_count), (1, 1));
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_never_come_out_and_imitations_reach_nobody() {
    let mut house = house(1, false, patient).await;
    house.until_connected().await;
    let [topic, other] = conversations();
    let mut device = Listener::fed(&house.broker, &[topic, other]).await;
    let mut stranger = Listener::fed(&house.broker, &[other]).await;
    let mut spy = Spy::watch(&house.nsqds[0], topic).await;
    publish(&house.broker, topic, 1..=50).await;
    device.until_entry(topic, 50).await;
    let (_, envelope) = spy.message().await;
    // With one byte changed, wherever it is, it is anybody's body.
    let changes = [4, 19, 20, 35, 36, envelope.len() / 2, envelope.len() - 1];
    let mut imitations = HashSet::new();
    for index in changes {
        let mut imitation = envelope.clone();
        imitation[index] ^= 1;
        publish_raw(&house.nsqds[0], topic, &imitation).await;
        imitations.insert(imitation);
    }
    // It claims to be a later entry.
    let forged = String::from_utf8_lossy(&envelope[36..]).replace("\"seq\":1,", "\"seq\":900,");
    let forged = [&envelope[..36], forged.as_bytes()].concat();
    assert_ne!(forged, envelope);
    publish_raw(&house.nsqds[0], topic, &forged).await;
    imitations.insert(forged);
    // A genuine one in another conversation's topic, and once more in its own.
    publish_raw(&house.nsqds[0], other, &envelope).await;
    publish_raw(&house.nsqds[0], topic, &envelope).await;
    publish_raw(&house.nsqds[0], other, b"the last").await;
    imitations.insert(b"the last".to_vec());
    while !imitations.is_empty() {
        let raw = house.next_raw().await;
        assert!(imitations.remove(&raw.body), "an envelope came out as a raw body");
        assert_eq!(raw.conversation, if raw.body == b"the last" { other } else { topic });
        raw.finish();
    }
    house.until_finished(topic).await;
    house.until_finished(other).await;
    assert!(house.raw.is_empty());
    // What is published now has come behind all of that.
    publish(&house.broker, other, 7..=7).await;
    publish(&house.broker, topic, 51..=51).await;
    device.until_entry(other, 7).await;
    device.until_entry(topic, 51).await;
    assert_eq!(device.seqs(other), [7], "an entry of another conversation");
    stranger.until_entry(other, 7).await;
    assert_eq!(stranger.notices.len(), 1, "who does not follow that conversation: {:?}", stranger.notices);
    // The copy in its own topic is a repetition, as a broker may make.
    device.notices.dedup();
    let mut seqs = device.seqs(topic);
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs, (1..=51).collect::<Vec<_>>());
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_queue_is_full_bodies_wait_in_nsqd_and_none_is_lost() {
    // More than the broker lets wait: RDY for each of the topics, and 1,024 in all.
    const BODIES: usize = 300;
    let mut house = house(1, false, patient).await;
    let topics = conversations::<8>();
    let _device = Listener::fed(&house.broker, &topics).await;
    for topic in topics {
        let bodies: Vec<Vec<u8>> = (0..BODIES).map(|number| format!("{topic} {number}").into_bytes()).collect();
        http(&house.nsqds[0]).publish_many(&topic_name(topic), &bodies).await.expect("nsqd takes them");
    }
    until("some are put back", async || {
        let mut requeued = 0;
        for topic in topics {
            requeued += channel_stats(&house.nsqds[0], topic, SEQ_CHANNEL).await.expect("its _seq").requeue_count;
        }
        requeued > 0
    })
    .await;
    let (mut keys, mut bodies) = (HashSet::new(), HashSet::new());
    while bodies.len() < topics.len() * BODIES {
        let raw = house.next_raw().await;
        keys.insert(raw.key.clone());
        bodies.insert(raw.body.clone());
        raw.finish();
    }
    assert_eq!(keys.len(), bodies.len());
    for topic in topics {
        house.until_finished(topic).await;
    }
    house.broker.stop().await;
}

/// Bodies as large as nsqd takes them: 24 MB, of which 16 MiB are held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_wait_in_nsqd_too() {
    const BODIES: usize = 24;
    const BYTES: usize = 1_000_000;
    let mut house = house(1, false, patient).await;
    let [topic] = conversations();
    let _device = Listener::fed(&house.broker, &[topic]).await;
    for number in 0..BODIES {
        publish_raw(&house.nsqds[0], topic, &vec![number as u8; BYTES]).await;
    }
    until("some are put back", async || {
        channel_stats(&house.nsqds[0], topic, SEQ_CHANNEL).await.is_some_and(|seq| seq.requeue_count > 0)
    })
    .await;
    assert!(house.raw.len() * BYTES <= 16 * 1024 * 1024, "{} are held", house.raw.len());
    let mut bodies = HashSet::new();
    while bodies.len() < BODIES {
        let raw = house.next_raw().await;
        assert!(bodies.insert(raw.body.clone()), "twice");
        raw.finish();
    }
    house.until_finished(topic).await;
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_nobody_is_there_waits_for_the_next_device() {
    let mut house = house(1, false, patient).await;
    let [topic] = conversations();
    let mut device = Listener::fed(&house.broker, &[topic]).await;
    house.broker.close(&[topic], &device.mailbox).await;
    until("_seq has no consumer", async || {
        channel_stats(&house.nsqds[0], topic, SEQ_CHANNEL).await.is_some_and(|seq| seq.client_count == 0)
    })
    .await;
    publish_raw(&house.nsqds[0], topic, b"meanwhile").await;
    let seq = channel_name(SEQ_CHANNEL);
    until("it waits", async || {
        channel_stats(&house.nsqds[0], topic, seq.as_str()).await.is_some_and(|seq| seq.depth == 1)
    })
    .await;
    assert!(house.raw.is_empty());
    device.take();
    house.broker.open(&[topic], &device.mailbox).await;
    let raw = house.next_raw().await;
    assert_eq!(raw.body, b"meanwhile");
    raw.finish();
    house.until_finished(topic).await;
    house.broker.stop().await;
}
