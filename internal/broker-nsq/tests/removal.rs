//! All that a removed device had in this broker is closed, and its channels are deleted.

mod common;

use common::listener::{Listener, conversations};
use common::look::{all_topics, device_channels, until};
use common::{House, house};
use lockstep_broker_nsq::{Channels, NsqSettings};
use lockstep_model::{Code, ConversationId, DeviceId};
use lockstep_ports::{Broker, ChannelDeletion, Mailbox};
use std::time::{Duration, Instant};

fn durable(settings: &mut NsqSettings) {
    settings.channels = Channels::Durable;
}

/// How many channels of a device an nsqd has.
async fn channels_of(house: &House, nsqd: usize, device: DeviceId) -> usize {
    let topics = all_topics(&house.nsqds[nsqd]).await;
    let channels = topics.iter().flat_map(|topic| &topic.channels);
    channels.filter(|channel| channel.channel_name.as_str().starts_with(&device.to_string())).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_in_at_the_same_time_leaves_no_channel() {
    const ROUNDS: usize = 40;
    let house = house(1, false, durable).await;
    house.until_connected().await;
    let topics = conversations::<8>();
    let stays = Listener::fed(&house.broker, &topics).await;
    for round in 0..ROUNDS {
        let mailbox = Mailbox::new(DeviceId::generate(), 1_000);
        let (broker, coming) = (house.broker.clone(), mailbox.clone());
        let opening = tokio::spawn(async move {
            for topic in topics {
                broker.open(&[topic], &coming).await;
                tokio::task::yield_now().await;
            }
        });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        mailbox.close(Code::DeviceRemoved);
        let deletion = house.broker.delete_channels(mailbox.device(), &topics).await;
        assert_eq!(deletion, ChannelDeletion::Done, "round {round}");
        opening.await.expect("it opens");
        house.broker.close(&topics, &mailbox).await;
        assert_eq!(channels_of(&house, 0, mailbox.device()).await, 0, "round {round}");
    }
    assert_eq!(house.broker.consumers(), topics.len());
    assert_eq!(device_channels(&house.nsqds[0]).await, topics.len(), "those of the device that stays");
    drop(stays);
    house.broker.stop().await;
}

/// Its consumers wait for their turn when it is removed, and its connection has not noticed yet.
#[tokio::test]
async fn no_consumer_is_opened_for_a_connection_that_is_over() {
    let house = house(1, false, durable).await;
    house.until_connected().await;
    let topics = conversations::<8>();
    let device = Listener::open(&house.broker, &topics).await;
    device.mailbox.close(Code::DeviceRemoved);
    assert_eq!(house.broker.delete_channels(device.device(), &[]).await, ChannelDeletion::Done);
    house.broker.close(&topics, &device.mailbox).await;
    assert!(topics.iter().all(|topic| !house.broker.uses(*topic)));
    assert_eq!(device_channels(&house.nsqds[0]).await, 0);
    house.broker.stop().await;
}

/// What it follows beyond what the caller knows is closed by the connection, and waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_in_other_topics_are_waited_for() {
    let house = house(1, false, |_| {}).await;
    house.until_connected().await;
    let topics = conversations::<2>();
    let device = Listener::fed(&house.broker, &topics).await;
    device.mailbox.close(Code::DeviceRemoved);
    let broker = house.broker.clone();
    let id = device.device();
    let deleting = tokio::spawn(async move { broker.delete_channels(id, &topics[..1]).await });
    until("one is closed", async || house.broker.consumers() == 1).await;
    assert!(!deleting.is_finished());
    house.broker.close(&topics, &device.mailbox).await;
    assert_eq!(deleting.await.expect("it ends"), ChannelDeletion::Done);
    assert_eq!(channels_of(&house, 0, id).await, 0);
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nsqd_that_hangs_is_named_in_time() {
    let house = house(2, false, durable).await;
    house.until_connected().await;
    let topics: [ConversationId; 16] = conversations();
    let device = Listener::fed(&house.broker, &topics).await;
    let there = channels_of(&house, 1, device.device()).await;
    assert!((1..topics.len()).contains(&there), "{there} on the second nsqd");
    device.mailbox.close(Code::DeviceRemoved);
    house.nsqds[1].pause().expect("it halts");
    let began = Instant::now();
    let deletion = house.broker.delete_channels(device.device(), &topics).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let servers = vec![house.nsqds[1].http_address().to_string()];
    assert_eq!(deletion, ChannelDeletion::Pending { servers });
    assert_eq!(channels_of(&house, 0, device.device()).await, 0);
    house.nsqds[1].resume().expect("it goes on");
    until("its consumers are gone", async || {
        let topics = all_topics(&house.nsqds[1]).await;
        let ours = device.device().to_string();
        topics.iter().flat_map(|topic| &topic.channels).all(|c| c.channel_name.as_str() != ours || c.client_count == 0)
    })
    .await;
    assert_eq!(house.broker.delete_channels(device.device(), &topics).await, ChannelDeletion::Done);
    assert_eq!(channels_of(&house, 1, device.device()).await, 0);
    house.broker.stop().await;
}
