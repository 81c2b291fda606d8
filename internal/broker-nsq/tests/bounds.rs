//! What is bounded, and what happens at the bound.

mod common;

use common::house;
use common::listener::{Listener, conversations, publish};
use common::look::{all_topics, device_channels, until};
use lockstep_broker_nsq::{Ingest, NsqSettings};
use lockstep_model::ConversationId;
use lockstep_ports::Broker;
use std::sync::Arc;

/// Conversations of a device that has far too many.
const MANY: usize = 10_000;

/// Which of the conversations come as entries; the others have to come as head signals.
async fn fed_of(device: &mut Listener, topics: &[ConversationId], seq: u64) -> usize {
    let mut fed = 0;
    for topic in topics {
        if device.until_told(*topic, seq).await {
            assert!(device.heads(*topic).iter().all(|head| *head < seq), "both an entry and its head");
            fed += 1;
        }
    }
    fed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_has_so_many_consumers_and_lives_by_heads_beyond_that() {
    let bounds = |settings: &mut NsqSettings| settings.consumers_per_device_max = 5;
    let house = house(1, false, bounds).await;
    house.until_connected().await;
    let topics = conversations::<20>();
    let mut devices = [Listener::open(&house.broker, &topics).await, Listener::open(&house.broker, &topics).await];
    until("both have theirs", async || device_channels(&house.nsqds[0]).await == 10).await;
    for device in &mut devices {
        device.until_fed(&topics[..5]).await;
    }
    for topic in topics {
        publish(&house.broker, topic, 1..=1).await;
    }
    for device in &mut devices {
        assert_eq!(fed_of(device, &topics, 1).await, 5);
    }
    // The first who came are served first.
    assert!(topics[..5].iter().all(|topic| devices[0].seqs(*topic) == [1]));
    assert_eq!(house.broker.consumers(), 40);
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_has_so_many_consumers_and_its_devices_live_by_heads_beyond_that() {
    let bounds = |settings: &mut NsqSettings| settings.consumers_max = 7;
    let house = house(1, false, bounds).await;
    house.until_connected().await;
    let topics = conversations::<2>();
    let mut devices = Vec::new();
    for _ in 0..10 {
        devices.push(Listener::open(&house.broker, &topics).await);
    }
    until("all are open", async || device_channels(&house.nsqds[0]).await == 7).await;
    for device in &mut devices[..3] {
        device.until_fed(&topics).await;
    }
    devices[3].until_fed(&topics[..1]).await;
    for topic in topics {
        publish(&house.broker, topic, 1..=1).await;
    }
    let mut fed = 0;
    for device in &mut devices {
        fed += fed_of(device, &topics, 1).await;
    }
    assert_eq!(fed, 7);
    house.broker.stop().await;
}

async fn far_too_many(ingest: Ingest) {
    let house = house(1, false, |settings: &mut NsqSettings| settings.ingest = ingest).await;
    house.until_connected().await;
    let [topic] = conversations();
    let _other = Listener::fed(&house.broker, &[topic]).await;
    let (topics_before, consumers_before) = (house.broker.topics(), house.broker.consumers());
    let many: Vec<ConversationId> = (0..MANY).map(|_| ConversationId::generate()).collect();
    let mut device = Listener::open(&house.broker, &many).await;
    assert_eq!(house.broker.consumers(), consumers_before + MANY);
    device.until_fed(&many[..64]).await;
    assert_eq!(device_channels(&house.nsqds[0]).await, 1 + 64);
    for topic in [many[0], many[63], many[64], many[MANY - 1]] {
        publish(&house.broker, topic, 1..=1).await;
    }
    assert!(device.until_told(many[0], 1).await && device.until_told(many[63], 1).await);
    assert!(!device.until_told(many[64], 1).await && !device.until_told(many[MANY - 1], 1).await);
    house.broker.close(&many, &device.mailbox).await;
    assert_eq!((house.broker.topics(), house.broker.consumers()), (topics_before, consumers_before));
    until("no channel of it is left", async || device_channels(&house.nsqds[0]).await == 1).await;
    until("its mailbox is let go", async || Arc::strong_count(&device.mailbox) == 1).await;
    let consumed = async || {
        let topics = all_topics(&house.nsqds[0]).await;
        topics.iter().flat_map(|topic| &topic.channels).map(|channel| channel.client_count).sum::<u64>()
    };
    let kept = if ingest == Ingest::Live { 2 } else { 1 };
    until("no consumer of it is left", async || consumed().await == kept).await;
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_conversations_open_the_bound_and_leave_nothing() {
    far_too_many(Ingest::Live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_conversations_leave_nothing_without_ingest() {
    far_too_many(Ingest::Off).await;
}
