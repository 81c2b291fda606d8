//! One nsqd under several names is one nsqd.

mod common;

use common::listener::{Listener, conversations, publish};
use common::look::{PATIENCE, channel_stats, http, publish_raw, until};
use common::{House, furnish, start};
use lockstep_broker_nsq::{NsqSettings, RawMessage, SEQ_CHANNEL};
use lockstep_model::{ClientMsgId, ConversationId};
use lockstep_nsq_client::Address;
use lockstep_nsq_servers::Nsqd;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

async fn next_raw(house: &mut House) -> RawMessage {
    let next = tokio::time::timeout(PATIENCE, house.raw.recv()).await;
    next.expect("no raw message comes").expect("the broker runs")
}

/// What nsqd's `127.0.0.1`, which it broadcasts, is called otherwise.
fn renamed(address: SocketAddr) -> Address {
    format!("localhost:{}", address.port()).parse().expect("an address")
}

async fn consumers(nsqd: &Nsqd, topic: ConversationId) -> u64 {
    channel_stats(nsqd, topic, SEQ_CHANNEL).await.map_or(0, |seq| seq.client_count)
}

/// Waits until the nsqlookupd lists an nsqd for a topic.
async fn until_listed(house: &House, topic: ConversationId, nsqd: usize) {
    let target = format!("/lookup?topic=lockstep.{topic}");
    let port = format!("\"tcp_port\":{}", house.nsqds[nsqd].tcp_address().port());
    let lookupd = house.lookupd.as_ref().expect("there is one");
    until("it is listed", async || {
        lookupd.http("GET", &target, b"").is_ok_and(|answer| String::from_utf8_lossy(&answer).contains(&port))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_nsqd_that_is_listed_under_another_name_is_consumed_once() {
    let (lookupd, nsqds) = start(3, true, |_| {}).await;
    let told = [renamed(nsqds[0].tcp_address()), renamed(nsqds[1].tcp_address())];
    let https = [nsqds[0].http_address().into(), nsqds[1].http_address().into()];
    let mut house = furnish(lookupd, nsqds, |settings: &mut NsqSettings| {
        let addresses = |(tcp, http)| lockstep_broker_nsq::NsqdAddresses { tcp, http };
        settings.nsqds = told.into_iter().zip(https).map(addresses).collect();
    });
    let [topic] = conversations();
    let _device = Listener::fed(&house.broker, &[topic]).await;
    for nsqd in 0..3 {
        publish_raw(&house.nsqds[nsqd], topic, b"before").await;
        until_listed(&house, topic, nsqd).await;
    }
    for _ in 0..3 {
        next_raw(&mut house).await.finish();
    }
    // The third is known by its listing alone, so the listings of the others have been heard by then.
    for nsqd in [0, 1, 2] {
        publish_raw(&house.nsqds[nsqd], topic, b"after").await;
        next_raw(&mut house).await.finish();
    }
    for nsqd in &house.nsqds {
        assert_eq!(consumers(nsqd, topic).await, 1);
    }
    house.broker.stop().await;
}

/// A door to an nsqd, which turns everybody away until it is opened.
async fn door(nsqd: SocketAddr) -> (Address, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, is_open) = (listener.local_addr().expect("an address"), Arc::new(AtomicBool::new(false)));
    tokio::spawn(pass(listener, nsqd, Arc::clone(&is_open)));
    (address.into(), is_open)
}

async fn pass(listener: TcpListener, nsqd: SocketAddr, is_open: Arc<AtomicBool>) {
    loop {
        let (mut client, _) = listener.accept().await.expect("it listens");
        if !is_open.load(Ordering::SeqCst) {
            continue;
        }
        let mut server = TcpStream::connect(nsqd).await.expect("nsqd is there");
        tokio::spawn(async move {
            // Either side may go at any time.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_wait_until_an_nsqd_has_said_who_it_is() {
    let (lookupd, nsqds) = start(2, true, |_| {}).await;
    let (door, is_open) = door(nsqds[0].http_address()).await;
    let mut house = furnish(lookupd, nsqds, |settings: &mut NsqSettings| {
        settings.nsqds[0].tcp = renamed(settings.nsqds[0].tcp.as_str().parse().expect("an address"));
        settings.nsqds[0].http = door;
    });
    house.until_connected().await;
    let [topic] = conversations();
    let mut device = Listener::fed(&house.broker, &[topic]).await;
    publish_raw(&house.nsqds[0], topic, b"whose?").await;
    until_listed(&house, topic, 0).await;
    // It is not known to be the one that is configured: it is consumed under both names, and what comes by the one that
    // it broadcasts has its name already.
    until("it is consumed twice", async || consumers(&house.nsqds[0], topic).await == 2).await;
    next_raw(&mut house).await.finish();
    publish(&house.broker, topic, 1..=1).await;
    device.until_entry(topic, 1).await;
    is_open.store(true, Ordering::SeqCst);
    until("it is consumed once", async || consumers(&house.nsqds[0], topic).await == 1).await;
    publish_raw(&house.nsqds[0], topic, b"mine").await;
    let raw = next_raw(&mut house).await;
    assert_eq!(raw.body, b"mine");
    raw.finish();
    house.broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_listings_bodies_wait_in_nsqd() {
    let (lookupd, nsqds) = start(1, false, |_| {}).await;
    let (door, is_open) = door(nsqds[0].http_address()).await;
    let mut house = furnish(lookupd, nsqds, |settings: &mut NsqSettings| settings.nsqds[0].http = door);
    house.until_connected().await;
    let [topic] = conversations();
    let mut device = Listener::fed(&house.broker, &[topic]).await;
    publish_raw(&house.nsqds[0], topic, b"whose?").await;
    let requeued = async || {
        let seq = channel_stats(&house.nsqds[0], topic, SEQ_CHANNEL).await.expect("its _seq");
        seq.requeue_count > 0
    };
    until("it is put back", requeued).await;
    assert!(house.raw.try_recv().is_err());
    publish(&house.broker, topic, 1..=1).await;
    device.until_entry(topic, 1).await;
    is_open.store(true, Ordering::SeqCst);
    let raw = next_raw(&mut house).await;
    assert_eq!(raw.body, b"whose?");
    raw.finish();
    house.broker.stop().await;
}

/// Takes the next message and goes away without an answer, under a configuration. Returns the message's key.
async fn take(nsqds: &mut Vec<Nsqd>, change: impl FnOnce(&mut NsqSettings), topic: ConversationId) -> ClientMsgId {
    let mut house = furnish(None, std::mem::take(nsqds), change);
    let _device = Listener::fed(&house.broker, &[topic]).await;
    let key = next_raw(&mut house).await.key.clone();
    house.broker.stop().await;
    *nsqds = house.nsqds;
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_the_same_name_whatever_its_nsqd_is_called() {
    // What a consumer had when it went comes again after this.
    let soon = |options: &mut lockstep_nsq_servers::NsqdOptions| options.msg_timeout = Some(Duration::from_secs(1));
    let (_, mut nsqds) = start(1, false, soon).await;
    let [topic] = conversations();
    http(&nsqds[0]).create_topic(&common::look::topic_name(topic)).await.expect("it is made");
    publish_raw(&nsqds[0], topic, b"again and again").await;
    let key = take(&mut nsqds, |_| {}, topic).await;
    let rename = |settings: &mut NsqSettings| {
        settings.nsqds[0].tcp = renamed(settings.nsqds[0].tcp.as_str().parse().expect("an address"));
    };
    assert_eq!(take(&mut nsqds, rename, topic).await, key);
}
