//! Events on real nsqds: they arrive where somebody listens, and pile up nowhere.

mod listeners;

use listeners::{Reader, soon};
use lockstep_broker_nsq::{EventsSettings, NsqEvents, NsqSettings, NsqdAddresses};
use lockstep_model::{ConversationId, Epoch, Event, EventKind, Seq, UnixMs, UserId};
use lockstep_nsq_servers::{Nsqd, NsqdOptions};
use lockstep_ports::Events;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Mutex;

const TOPIC: &str = "lockstep.events";

/// The metrics of this process, and a lock: one test at a time counts.
async fn metrics() -> (tokio::sync::MutexGuard<'static, ()>, &'static PrometheusHandle) {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::const_new(());
    let handle = METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().expect("the only recorder"));
    (ONE.lock().await, handle)
}

/// How many events had this outcome so far.
fn count(metrics: &PrometheusHandle, outcome: &str) -> u64 {
    let name = format!("lockstep_events_total{{outcome=\"{outcome}\"}} ");
    let rendered = metrics.render();
    rendered.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |value| value.parse().expect("a count"))
}

/// Waits until so many more had this outcome.
async fn counted(metrics: &PrometheusHandle, outcome: &str, until: u64) {
    soon(async {
        while count(metrics, outcome) < until {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(count(metrics, outcome), until, "{outcome}");
}

async fn nsqd(node_id: u16) -> Nsqd {
    // All in memory, which keeps the order.
    let options = NsqdOptions { node_id: Some(node_id), mem_queue_size: 10_000, ..NsqdOptions::default() };
    let start = move || Nsqd::start(&options);
    tokio::task::spawn_blocking(start).await.unwrap().expect("nsqd starts")
}

fn addresses(nsqd: &&Nsqd) -> NsqdAddresses {
    NsqdAddresses { tcp: nsqd.tcp_address().into(), http: nsqd.http_address().into() }
}

fn start(nsqds: &[&Nsqd], change: impl FnOnce(&mut EventsSettings)) -> NsqEvents {
    let broker = NsqSettings::new(Epoch::from_bytes([9; 16]), [7; 32]);
    let mut settings = EventsSettings::new(&broker, EventKind::ALL.to_vec());
    settings.nsqds = nsqds.iter().map(addresses).collect();
    settings.check_period = Duration::from_millis(20);
    change(&mut settings);
    NsqEvents::start(settings).expect("it starts")
}

fn read(seq: u64) -> Event {
    let (user, conversation) = (UserId::new("ana").unwrap(), ConversationId::from_bytes([1; 16]));
    Event::Read { user, conversation, seq: Seq::new(seq), at: UnixMs::new(1_795_255_968_000) }
}

fn body(seq: u64) -> String {
    format!(
        r#"{{"type":"read","user":"ana","conversation":"01010101-0101-0101-0101-010101010101","seq":{seq},"at":1795255968000}}"#
    )
}

/// Makes the topic, with or without a channel.
fn make(nsqd: &Nsqd, channel: Option<&str>) {
    nsqd.http("POST", &format!("/topic/create?topic={TOPIC}"), b"").unwrap();
    if let Some(channel) = channel {
        nsqd.http("POST", &format!("/channel/create?topic={TOPIC}&channel={channel}"), b"").unwrap();
    }
}

/// What nsqd says of the topic; absent if there is none.
fn stats(nsqd: &Nsqd) -> Option<serde_json::Value> {
    let answer = nsqd.http("GET", &format!("/stats?format=json&topic={TOPIC}"), b"").unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    stats["topics"].as_array().and_then(|topics| topics.first().cloned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listened_to_arrives_once_and_in_order() {
    let (_alone, metrics) = metrics().await;
    let nsqd = nsqd(1).await;
    make(&nsqd, Some("billing"));
    let events = start(&[&nsqd], |_| {});
    assert_eq!(events.topic().as_str(), TOPIC);
    let before = count(metrics, "published");
    soon(events.wait_for_listeners(1)).await;
    (1..=2_000).for_each(|seq| events.emit(read(seq)));
    // What waits is published at the stop.
    events.stop().await;
    assert_eq!(count(metrics, "published") - before, 2_000);
    let mut reader = Reader::open(&nsqd, TOPIC, "billing");
    for seq in 1..=2_000 {
        assert_eq!(String::from_utf8(reader.next().await).unwrap(), body(seq));
    }
    reader.close().await;
    let stats = stats(&nsqd).unwrap();
    assert_eq!((&stats["message_count"], &stats["depth"]), (&2_000.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_piles_up_without_a_channel() {
    let (_alone, metrics) = metrics().await;
    let nsqd = nsqd(1).await;
    let events = start(&[&nsqd], |_| {});
    let dropped = || count(metrics, "no_channel");
    // Before the first connection it would be another reason.
    connected(&events, 1).await;
    let before = dropped();
    (1..=100).for_each(|seq| events.emit(read(seq)));
    counted(metrics, "no_channel", before + 100).await;
    assert_eq!(stats(&nsqd), None, "nobody made the topic");
    // A topic alone is not enough.
    make(&nsqd, None);
    (1..=100).for_each(|seq| events.emit(read(seq)));
    counted(metrics, "no_channel", before + 200).await;
    assert_eq!(events.listened_to(), 0);

    make(&nsqd, Some("billing"));
    soon(events.wait_for_listeners(1)).await;
    let published = count(metrics, "published");
    events.emit(read(1));
    counted(metrics, "published", published + 1).await;
    // Its channel is gone: after the next look it is as before.
    nsqd.http("POST", &format!("/channel/delete?topic={TOPIC}&channel=billing"), b"").unwrap();
    soon(events.wait_for_listeners(0)).await;
    (1..=100).for_each(|seq| events.emit(read(seq)));
    counted(metrics, "no_channel", before + 300).await;
    events.stop().await;
    let stats = stats(&nsqd).unwrap();
    assert_eq!((&stats["message_count"], &stats["depth"]), (&1.into(), &0.into()));
}

/// Waits until so many nsqds are connected.
async fn connected(events: &NsqEvents, count: usize) {
    soon(async {
        while events.connected().0 != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nsqd_that_is_down_costs_events_and_no_memory() {
    let (_alone, metrics) = metrics().await;
    let mut nsqd = nsqd(1).await;
    make(&nsqd, Some("billing"));
    let events = start(&[&nsqd], |_| {});
    soon(events.wait_for_listeners(1)).await;
    nsqd.kill();
    soon(events.wait_for_listeners(0)).await;
    let before = count(metrics, "disconnected");
    (1..=1_000).for_each(|seq| events.emit(read(seq)));
    counted(metrics, "disconnected", before + 1_000).await;
    let nsqd = tokio::task::spawn_blocking(move || {
        nsqd.restart().expect("nsqd starts again");
        nsqd
    })
    .await
    .unwrap();
    // It remembers its channels.
    soon(events.wait_for_listeners(1)).await;
    events.emit(read(7));
    let mut reader = Reader::open(&nsqd, TOPIC, "billing");
    assert_eq!(String::from_utf8(reader.next().await).unwrap(), body(7), "those of the outage are lost");
    reader.close().await;
    events.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_drops_what_comes() {
    let (_alone, metrics) = metrics().await;
    let nsqd = nsqd(1).await;
    make(&nsqd, Some("billing"));
    let events = start(&[&nsqd], |settings| {
        settings.queue_max = 10;
        settings.publish_timeout = Duration::from_millis(200);
    });
    soon(events.wait_for_listeners(1)).await;
    nsqd.pause().unwrap();
    let outcomes =
        || ["full", "unknown", "no_channel", "disconnected", "published", "stopped"].map(|why| count(metrics, why));
    let before = outcomes();
    // Batches under way take up to as much as waits.
    (1..=1_000).for_each(|seq| events.emit(read(seq)));
    assert!(count(metrics, "full") - before[0] > 0, "the queue has a bound");
    soon(async {
        while count(metrics, "unknown") == before[1] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    nsqd.resume().unwrap();
    events.stop().await;
    let after = outcomes();
    let counted: u64 = after.iter().zip(before).map(|(after, before)| after - before).sum();
    assert_eq!(counted, 1_000, "each has one outcome: {before:?} {after:?}");
    events.emit(read(1));
    assert_eq!(count(metrics, "stopped"), after[5] + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_nsqd_takes_over_if_somebody_listens_there() {
    let (_alone, metrics) = metrics().await;
    let (mut one, mut other) = (nsqd(1).await, nsqd(2).await);
    for nsqd in [&one, &other] {
        make(nsqd, Some("billing"));
    }
    let events = start(&[&one, &other], |_| {});
    soon(events.wait_for_listeners(2)).await;
    let published = count(metrics, "published");
    events.emit(read(1));
    counted(metrics, "published", published + 1).await;
    let on_one = stats(&one).unwrap()["message_count"] == 1;
    let (placed, left) = if on_one { (&mut one, &other) } else { (&mut other, &one) };
    assert_eq!(stats(left).unwrap()["message_count"], 0, "one gets it");
    placed.kill();
    connected(&events, 1).await;
    events.emit(read(2));
    let mut reader = Reader::open(left, TOPIC, "billing");
    assert_eq!(String::from_utf8(reader.next().await).unwrap(), body(2));
    reader.close().await;
    events.stop().await;
}
