//! Somebody else deletes, pauses and empties what the broker uses.

mod common;

use common::listener::{Listener, conversations, publish};
use common::look::{
    PATIENCE, channel_name, channel_stats, ephemeral, http, publish_raw, topic_name, topic_stats, until,
};
use common::{House, furnish, house, start};
use lockstep_broker_nsq::{NsqSettings, SEQ_CHANNEL};
use lockstep_model::ConversationId;
use lockstep_nsq_client::Address;
use lockstep_nsq_client::http::NsqdHttp;
use lockstep_ports::Broker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A device that nsqd feeds, and one whose conversation nobody touches.
struct Scene {
    house: House,
    topic: ConversationId,
    untouched: ConversationId,
    device: Listener,
    http: NsqdHttp,
    head: u64,
}

impl Scene {
    async fn set() -> Self {
        let house = house(1, false, |settings: &mut NsqSettings| settings.publish_timeout = PATIENCE).await;
        house.until_connected().await;
        let [topic, untouched] = conversations();
        let device = Listener::fed(&house.broker, &[topic, untouched]).await;
        let http = http(&house.nsqds[0]);
        Self { house, topic, untouched, device, http, head: 0 }
    }

    /// What was published while the consumer was away is told as a head, and then entries flow.
    async fn it_comes_back(mut self) {
        self.head += 10;
        self.house.heads.set(self.topic, self.head);
        self.device.until_head(self.topic, self.head).await;
        until("entries flow again", async || {
            self.head += 1;
            self.house.heads.set(self.topic, self.head);
            publish(&self.house.broker, self.topic, self.head..=self.head).await;
            self.device.until_told(self.topic, self.head).await
        })
        .await;
        self.house.until_consumed(self.topic, SEQ_CHANNEL).await;
        publish_raw(&self.house.nsqds[0], self.topic, b"raw").await;
        let raw = tokio::time::timeout(PATIENCE, self.house.raw.recv()).await.expect("it comes").expect("it runs");
        assert_eq!(raw.body, b"raw");
        raw.finish();
        publish(&self.house.broker, self.untouched, 1..=1).await;
        self.device.until_entry(self.untouched, 1).await;
        assert!(self.device.heads(self.untouched).is_empty());
        self.house.broker.close(&[self.topic, self.untouched], &self.device.mailbox).await;
        assert!(self.house.broker.topics().is_empty());
        self.house.broker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_deleted() {
    let scene = Scene::set().await;
    scene.http.delete_topic(&topic_name(scene.topic)).await.expect("nsqd deletes it");
    scene.it_comes_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_deleted() {
    let scene = Scene::set().await;
    let channel = channel_name(&ephemeral(scene.device.device()));
    scene.http.delete_channel(&topic_name(scene.topic), &channel).await.expect("nsqd deletes it");
    scene.it_comes_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seq_is_deleted() {
    let mut scene = Scene::set().await;
    scene.http.delete_channel(&topic_name(scene.topic), &channel_name(SEQ_CHANNEL)).await.expect("nsqd deletes it");
    scene.house.until_consumed(scene.topic, SEQ_CHANNEL).await;
    // The device's own consumer is not concerned.
    publish(&scene.house.broker, scene.topic, 1..=1).await;
    scene.device.until_entry(scene.topic, 1).await;
    publish_raw(&scene.house.nsqds[0], scene.topic, b"raw").await;
    let raw = tokio::time::timeout(PATIENCE, scene.house.raw.recv()).await.expect("it comes").expect("it runs");
    assert_eq!(raw.body, b"raw");
    raw.finish();
    scene.house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_paused_and_let_go_on() {
    let mut scene = Scene::set().await;
    let (topic, name) = (topic_name(scene.topic), ephemeral(scene.device.device()));
    let channel = channel_name(&name);
    scene.http.pause_channel(&topic, &channel).await.expect("nsqd pauses it");
    publish(&scene.house.broker, scene.topic, 1..=20).await;
    let stats = async || channel_stats(&scene.house.nsqds[0], scene.topic, &name).await.expect("the channel");
    until("they wait", async || stats().await.message_count == 20).await;
    // The comparison of heads, in which the broker has no part but this, is what tells the device meanwhile.
    let head = lockstep_model::Offset { conversation: scene.topic, seq: lockstep_model::Seq::new(20) };
    scene.house.broker.signal_heads(&[head]);
    scene.device.until_head(scene.topic, 20).await;
    publish(&scene.house.broker, scene.untouched, 1..=1).await;
    scene.device.until_entry(scene.untouched, 1).await;
    scene.http.unpause_channel(&topic, &channel).await.expect("nsqd lets it go on");
    scene.device.until("all of them", |notices| notices.len() >= 22).await;
    assert_eq!(scene.device.seqs(scene.topic), (1..=20).collect::<Vec<_>>());
    scene.house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_leaves_a_paused_topic() {
    let mut scene = Scene::set().await;
    let name = ephemeral(scene.device.device());
    scene.http.pause_topic(&topic_name(scene.topic)).await.expect("nsqd pauses it");
    publish(&scene.house.broker, scene.topic, 1..=20).await;
    scene.house.broker.close(&[scene.topic], &scene.device.mailbox).await;
    let channel = async || channel_stats(&scene.house.nsqds[0], scene.topic, &name).await;
    until("its channel is gone", async || channel().await.is_none()).await;
    scene.http.unpause_topic(&topic_name(scene.topic)).await.expect("nsqd lets it go on");
    publish(&scene.house.broker, scene.untouched, 1..=1).await;
    scene.device.until_entry(scene.untouched, 1).await;
    assert!(scene.device.seqs(scene.topic).is_empty());
    scene.house.broker.stop().await;
}

/// Holds the subscriptions of `_seq` back, as long as that is wanted.
async fn hold_seq(nsqd: std::net::SocketAddr, is_held: watch::Receiver<bool>) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.expect("it listens");
            let server = TcpStream::connect(nsqd).await.expect("nsqd is there");
            let ((mut from, mut back), (mut answers, mut to)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
            let mut held = is_held.clone();
            tokio::spawn(async move {
                let mut read = vec![0; 4096];
                while let Ok(bytes @ 1..) = from.read(&mut read).await {
                    if read[..bytes].windows(6).any(|part| part == b" _seq\n") {
                        held.wait_for(|is_held| !is_held).await.expect("the test runs");
                    }
                    if to.write_all(&read[..bytes]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address.into()
}

/// The device's channel is the topic's first then, and gets what services publish alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_seq_is_back_is_taken_in_too() {
    let (_, nsqds) = start(1, false, |_| {}).await;
    let (hold, is_held) = watch::channel(false);
    let proxy = hold_seq(nsqds[0].tcp_address(), is_held).await;
    let mut house = furnish(None, nsqds, |settings: &mut NsqSettings| settings.nsqds[0].tcp = proxy);
    house.until_connected().await;
    let [topic] = conversations();
    let device = Listener::fed(&house.broker, &[topic]).await;
    let name = ephemeral(device.device());
    let nsqd = http(&house.nsqds[0]);
    hold.send_replace(true);
    nsqd.delete_topic(&topic_name(topic)).await.expect("nsqd deletes it");
    publish_raw(&house.nsqds[0], topic, b"before any channel").await;
    house.until_consumed(topic, &name).await;
    publish_raw(&house.nsqds[0], topic, b"before _seq").await;
    let stats = async |channel: &str| channel_stats(&house.nsqds[0], topic, channel).await;
    assert!(stats(SEQ_CHANNEL).await.is_none());
    let mut taken = std::collections::BTreeSet::new();
    while taken.len() < 2 {
        let raw = tokio::time::timeout(PATIENCE, house.raw.recv()).await.expect("it comes").expect("it runs");
        taken.insert(raw.body.clone());
        raw.finish();
    }
    assert_eq!(taken, [b"before _seq".to_vec(), b"before any channel".to_vec()].into());
    until("they are finished", async || stats(&name).await.is_some_and(|channel| channel.in_flight_count == 0)).await;
    hold.send_replace(false);
    house.until_consumed(topic, SEQ_CHANNEL).await;
    // Both have the next ones. Each comes out once, and is finished in both channels.
    for body in [b"after 1", b"after 2", b"after 3"] {
        publish_raw(&house.nsqds[0], topic, body).await;
        let raw = tokio::time::timeout(PATIENCE, house.raw.recv()).await.expect("it comes").expect("it runs");
        assert_eq!(raw.body, body);
        raw.finish();
    }
    until("all is finished", async || {
        let both = [stats(&name).await, stats(SEQ_CHANNEL).await];
        both.iter()
            .flatten()
            .all(|c| (c.message_count > 0, c.depth + c.in_flight_count + c.deferred_count) == (true, 0))
    })
    .await;
    assert!(house.raw.is_empty());
    house.broker.stop().await;
}

/// For some seconds after `_seq` was made anew, what services publish is taken in from each device's channel, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_in_many_channels_are_held_once() {
    const DEVICES: usize = 20;
    const BODIES: usize = 30;
    let (_, nsqds) = start(1, false, |_| {}).await;
    let (hold, is_held) = watch::channel(false);
    let proxy = hold_seq(nsqds[0].tcp_address(), is_held).await;
    let mut house = furnish(None, nsqds, |settings: &mut NsqSettings| settings.nsqds[0].tcp = proxy);
    house.until_connected().await;
    let [topic] = conversations();
    let mut devices = Vec::new();
    for _ in 0..DEVICES {
        devices.push(Listener::fed(&house.broker, &[topic]).await);
    }
    hold.send_replace(true);
    http(&house.nsqds[0]).delete_topic(&topic_name(topic)).await.expect("nsqd deletes it");
    for device in &devices {
        house.until_consumed(topic, &ephemeral(device.device())).await;
    }
    hold.send_replace(false);
    house.until_consumed(topic, SEQ_CHANNEL).await;
    for number in 0..BODIES {
        publish_raw(&house.nsqds[0], topic, format!("body {number}").as_bytes()).await;
    }
    let channels = async || topic_stats(&house.nsqds[0], topic).await.expect("the topic").channels;
    until("all channels but one have put copies back", async || {
        channels().await.iter().filter(|channel| channel.requeue_count > 0).count() >= DEVICES
    })
    .await;
    assert_eq!(house.raw.len(), BODIES, "of {} copies", BODIES * (DEVICES + 1));
    let mut bodies = std::collections::BTreeSet::new();
    for _ in 0..BODIES {
        let raw = tokio::time::timeout(PATIENCE, house.raw.recv()).await.expect("it comes").expect("it runs");
        assert!(bodies.insert(raw.body.clone()), "twice");
        raw.finish();
    }
    until("the copies are finished too", async || {
        channels().await.iter().all(|c| c.depth + c.in_flight_count + c.deferred_count == 0)
    })
    .await;
    assert!(house.raw.is_empty());
    house.broker.stop().await;
}
