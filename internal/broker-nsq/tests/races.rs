//! Devices that come and go faster than their consumers, and the end of it all.

mod common;

use common::listener::{Listener, conversations, entries, publish};
use common::look::{all_topics, device_channels, until};
use common::{House, house};
use lockstep_broker_nsq::{Channels, NsqSettings};
use lockstep_model::{Code, ConversationId, DeviceId};
use lockstep_ports::{Broker, Mailbox};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Opens and closes the same consumers again and again, on one of several connections of each device.
async fn come_and_go(broker: impl Broker + Clone, topics: [ConversationId; 3], rounds: usize) -> Vec<Arc<Mailbox>> {
    let devices: [DeviceId; 3] = std::array::from_fn(|_| DeviceId::generate());
    let mut tasks = JoinSet::new();
    for number in 0..6 {
        let (broker, device) = (broker.clone(), devices[number % devices.len()]);
        tasks.spawn(async move {
            let mut connection = Listener::of(device);
            for round in 0..rounds {
                broker.open(&topics, &connection.mailbox).await;
                for _ in 0..(round * 7 + number) % 5 {
                    tokio::task::yield_now().await;
                }
                broker.close(&topics, &connection.mailbox).await;
                connection.take();
                connection.notices.clear();
                tokio::task::yield_now().await;
                connection.take();
                assert!(connection.notices.is_empty(), "something came after close: {:?}", connection.notices);
            }
            connection.mailbox
        });
    }
    let mut mailboxes = Vec::new();
    while let Some(mailbox) = tasks.join_next().await {
        mailboxes.push(mailbox.unwrap());
    }
    mailboxes
}

async fn races(channels: Channels) {
    // As many places as can be needed at once: one that is not given back is missed by whoever comes last.
    let bounds = |settings: &mut NsqSettings| {
        settings.channels = channels;
        settings.consumers_max = 10;
    };
    let house = house(1, false, bounds).await;
    house.until_connected().await;
    let topics = conversations::<3>();
    let stop = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn({
        let (broker, stop) = (house.broker.clone(), Arc::clone(&stop));
        async move {
            let mut seq = 0;
            while !stop.load(Ordering::Relaxed) {
                seq += 1;
                for topic in topics {
                    broker.publish(&entries(topic, seq..=seq)).await;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let mailboxes = come_and_go(house.broker.clone(), topics, 200).await;
    stop.store(true, Ordering::Relaxed);
    publishing.await.unwrap();
    assert!(topics.iter().all(|topic| !house.broker.has_consumers(*topic)));
    assert!(house.broker.topics().is_empty() && house.broker.consumers() == 0);
    until("the mailboxes are let go", async || mailboxes.iter().all(|mailbox| Arc::strong_count(mailbox) == 1)).await;
    until("no consumer is left", async || consumers(&house).await == 0).await;
    if channels == Channels::Ephemeral {
        until("no device's channel is left", async || device_channels(&house.nsqds[0]).await == 0).await;
    }
    // All places are free again.
    let mut devices = Vec::new();
    for _ in 0..10 {
        devices.push(Listener::fed(&house.broker, &topics[..1]).await);
    }
    publish(&house.broker, topics[0], 100_000..=100_000).await;
    for device in &mut devices {
        assert!(device.until_told(topics[0], 100_000).await, "a place for a consumer is lost");
    }
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_and_goes_leaves_nothing_ephemeral() {
    races(Channels::Ephemeral).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_and_goes_leaves_no_consumer_of_durable_channels() {
    races(Channels::Durable).await;
}

/// All consumers of all channels, `_seq` included.
async fn consumers(house: &House) -> u64 {
    let topics = all_topics(&house.nsqds[0]).await;
    topics.iter().flat_map(|topic| &topic.channels).map(|channel| channel.client_count).sum()
}

async fn many(devices: usize, topics: usize, channels: Channels) -> (House, Vec<Listener>, Vec<ConversationId>) {
    let house = house(1, false, |settings| settings.channels = channels).await;
    let topics: Vec<ConversationId> = (0..topics).map(|_| ConversationId::generate()).collect();
    let mut listeners = Vec::new();
    for _ in 0..devices {
        listeners.push(Listener::open(&house.broker, &topics).await);
    }
    (house, listeners, topics)
}

/// Stops in bounded time. Who opens meanwhile or later gets no consumer, and holds nothing up.
async fn stops(house: &House, within: Duration) {
    let (began, broker) = (Instant::now(), house.broker.clone());
    let late = tokio::spawn(async move {
        let topics = conversations::<20>();
        for _ in 0..50 {
            let late = Listener::open(&broker, &topics).await;
            tokio::task::yield_now().await;
            broker.close(&topics, &late.mailbox).await;
        }
    });
    house.broker.stop().await;
    assert!(began.elapsed() < within, "it took {:?}", began.elapsed());
    late.await.unwrap();
    house.broker.stop().await;
    assert!(began.elapsed() < 2 * within, "it took {:?} with the second time", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_consumers_stop_soon() {
    let (house, mut devices, topics) = many(50, 40, Channels::Ephemeral).await;
    for device in &mut devices {
        device.until_fed(&topics).await;
    }
    stops(&house, Duration::from_secs(20)).await;
    until("no consumer is left", async || consumers(&house).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_consumers_stop_soon_while_nsqd_halts() {
    let (house, mut devices, topics) = many(50, 40, Channels::Ephemeral).await;
    for device in &mut devices {
        device.until_fed(&topics).await;
    }
    house.nsqds[0].pause().expect("nsqd halts");
    // Some more wait for it, and publishes too.
    let more = conversations::<50>();
    let late = Listener::open(&house.broker, &more).await;
    publish(&house.broker, topics[0], 1..=100).await;
    stops(&house, Duration::from_secs(25)).await;
    drop(late);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_durable_consumers_stop_soon_on_their_way_to_an_nsqd_that_halts() {
    let (house, mut devices, topics) = many(2, 10, Channels::Durable).await;
    for device in &mut devices {
        device.until_fed(&topics).await;
    }
    house.nsqds[0].pause().expect("nsqd halts");
    let mut more = Vec::new();
    for _ in 0..50 {
        more.push(Listener::open(&house.broker, &topics).await);
    }
    stops(&house, Duration::from_secs(25)).await;
    more.iter().for_each(|device| device.mailbox.close(Code::ShuttingDown));
}
