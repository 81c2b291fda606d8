//! Channels of devices whose users have left a conversation.

mod common;
mod fleet;

use common::house;
use common::listener::{Listener, conversations, publish};
use common::look::{channel_stats, until};
use fleet::{World, consume, soon, topic, topic_of};
use lockstep_broker_nsq::{Channels, NsqSettings};
use lockstep_ports::Broker;
use std::time::Instant;

fn durable(settings: &mut NsqSettings) {
    settings.channels = Channels::Durable;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_when_its_device_follows_no_more() {
    let house = house(1, false, durable).await;
    house.until_connected().await;
    let [left, kept] = conversations();
    let device = Listener::fed(&house.broker, &[left, kept]).await;
    let name = device.device().to_string();
    let is_there = async |topic| channel_stats(&house.nsqds[0], topic, &name).await.is_some();
    house.broker.leave(left, &device.mailbox).await;
    house.broker.close(&[kept], &device.mailbox).await;
    until("no topic is used", async || !house.broker.uses(left) && !house.broker.uses(kept)).await;
    assert_eq!((is_there(left).await, is_there(kept).await), (false, true));
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_with_the_last_connection_of_its_device() {
    let house = house(1, false, durable).await;
    house.until_connected().await;
    let [topic] = conversations();
    let first = Listener::fed(&house.broker, &[topic]).await;
    let mut second = Listener::of(first.device());
    house.broker.open(&[topic], &second.mailbox).await;
    house.broker.leave(topic, &first.mailbox).await;
    publish(&house.broker, topic, 1..=1).await;
    assert!(second.until_told(topic, 1).await, "it is fed for the other one");
    // That one is gone before it has noticed anything.
    house.broker.close(&[topic], &second.mailbox).await;
    until("the topic is not used", async || !house.broker.uses(topic)).await;
    assert!(channel_stats(&house.nsqds[0], topic, &first.device().to_string()).await.is_none());
    house.broker.stop().await;
}

/// Who is a member again while the channel goes has one, and hears everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_meanwhile_is_fed() {
    let house = house(1, false, durable).await;
    house.until_connected().await;
    let [topic] = conversations();
    let mut device = Listener::fed(&house.broker, &[topic]).await;
    for round in 1..=20 {
        house.broker.leave(topic, &device.mailbox).await;
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        house.broker.open(&[topic], &device.mailbox).await;
        house.heads.set(topic, round);
        publish(&house.broker, topic, round..=round).await;
        device.until_told(topic, round).await;
        if round % 5 == 0 {
            house.until_consumed(topic, &device.device().to_string()).await;
        }
    }
    // A member's channel stays when the member disconnects.
    house.until_consumed(topic, &device.device().to_string()).await;
    house.broker.close(&[topic], &device.mailbox).await;
    until("the topic is not used", async || !house.broker.uses(topic)).await;
    assert!(channel_stats(&house.nsqds[0], topic, &device.device().to_string()).await.is_some());
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_janitor_finds_those_of_devices_that_are_away() {
    let world = World::new().await;
    let (device, other) = (world.device().await, world.device().await);
    let member = topic_of(world.conversation().await);
    let (left, listed, consumed) = (topic(), topic(), topic());
    for topic in [&member, &left, &consumed] {
        for nsqd in 0..2 {
            world.make(nsqd, topic, &device.to_string());
            world.make(nsqd, topic, "_seq");
        }
    }
    world.make(0, &member, &other.to_string());
    world.make(0, &left, &other.to_string());
    world.list(&listed, &device.to_string());
    // It has not had the end of its stay yet.
    let consumer = consume(&world, 0, &consumed, &device.to_string());
    let mut janitor = world.janitor();
    let swept = soon(janitor.sweep(Instant::now())).await;
    assert_eq!((swept.channels_deleted, swept.pending.len(), swept.topics_deleted), (3, 0, 0), "{swept:?}");
    let mut both = [device.to_string(), other.to_string(), "_seq".to_owned()];
    both.sort_unstable();
    assert_eq!(world.channels(0, &member).await, both);
    let one = [both.clone().into_iter().find(|name| *name == device.to_string()).unwrap(), "_seq".to_owned()];
    for (nsqd, topic, expected) in
        [(1, &member, &one[..]), (0, &left, &one[1..]), (1, &left, &one[1..]), (0, &consumed, &one[..])]
    {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(world.channels(nsqd, topic).await, expected, "nsqd {nsqd}");
    }
    assert!(world.listed(&listed).is_none_or(|channels| channels.is_empty()));
    drop(consumer);
    let gone = async || {
        soon(janitor.sweep(Instant::now())).await;
        world.count(device).await == 2
    };
    until("its channels are those of the conversation it is in", gone).await;
}
