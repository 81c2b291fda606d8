//! A service may publish on any nsqd, not only on the one that the conversation is placed on.

mod common;

use common::listener::{Listener, conversations};
use common::look::{PATIENCE, channel_stats, http, publish_raw, topic_name, until};
use common::spy::Spy;
use common::{House, furnish, house, start};
use lockstep_broker_nsq::{RawMessage, SEQ_CHANNEL};
use lockstep_model::ConversationId;
use lockstep_ports::Broker;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

async fn next_raw(house: &mut House) -> RawMessage {
    let next = tokio::time::timeout(PATIENCE, house.raw.recv()).await;
    next.expect("no raw message comes").expect("the broker runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_on_an_nsqd_that_only_nsqlookupd_knows_arrive() {
    let mut house = house(2, true, |_| {}).await;
    let [topic] = conversations();
    publish_raw(&house.nsqds[1], topic, b"before").await;
    let device = Listener::fed(&house.broker, &[topic]).await;
    publish_raw(&house.nsqds[1], topic, b"after").await;
    publish_raw(&house.nsqds[0], topic, b"at home").await;
    let (mut bodies, mut keys) = (BTreeSet::new(), HashSet::new());
    for _ in 0..3 {
        let raw = next_raw(&mut house).await;
        assert_eq!(raw.conversation, topic);
        keys.insert(raw.key.clone());
        bodies.insert(raw.body.clone());
        raw.finish();
    }
    assert_eq!(bodies, [&b"after"[..], b"at home", b"before"].map(<[u8]>::to_vec).into());
    assert_eq!(keys.len(), 3);
    // Who leaves and returns within a period of polling finds the other nsqd again.
    for round in 0..3_u8 {
        house.broker.close(&[topic], &device.mailbox).await;
        let seq = async || channel_stats(&house.nsqds[0], topic, SEQ_CHANNEL).await.expect("its _seq");
        until("nobody is there", async || seq().await.client_count == 0).await;
        house.broker.open(&[topic], &device.mailbox).await;
        publish_raw(&house.nsqds[1], topic, &[round]).await;
        let raw = next_raw(&mut house).await;
        assert_eq!(raw.body, [round]);
        raw.finish();
    }
    house.broker.stop().await;
}

/// Counts warnings about node ids. For the whole process, so one test only looks at it.
struct Warnings;

static WARNINGS: AtomicUsize = AtomicUsize::new(0);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Reader);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Reader;

impl Visit for Reader {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" && format!("{value:?}").contains("the same node id") {
            WARNINGS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Two services publish at once, on two nsqds with one node id.
async fn publish_on_both(house: &House, topic: ConversationId, bodies: &[Vec<u8>; 2]) {
    let publish = |nsqd: usize| {
        let (http, body) = (http(&house.nsqds[nsqd]), bodies[nsqd].clone());
        async move {
            let numbered = |number: usize| [&body[..], number.to_string().as_bytes()].concat();
            let bodies: Vec<Vec<u8>> = (0..500).map(numbered).collect();
            http.publish_many(&topic_name(topic), &bodies).await.expect("nsqd takes them");
        }
    };
    tokio::join!(publish(0), publish(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colliding_message_ids_lose_nothing_and_are_warned_of_once() {
    tracing::subscriber::set_global_default(Warnings).expect("there is none yet");
    let (lookupd, nsqds) = start(2, true, |options| options.node_id = Some(77)).await;
    let mut house = furnish(lookupd, nsqds, |_| {});
    let [topic] = conversations();
    let _device = Listener::fed(&house.broker, &[topic]).await;
    let mut spies = [Spy::watch(&house.nsqds[0], topic).await, Spy::watch(&house.nsqds[1], topic).await];
    let (mut keys, mut bodies, mut ids) = (HashSet::new(), HashSet::new(), [HashSet::new(), HashSet::new()]);
    // Until ids have collided, which takes that both publish within the same millisecond or so.
    for round in 1..=200_usize {
        publish_on_both(&house, topic, &[format!("a{round}-").into(), format!("b{round}-").into()]).await;
        while bodies.len() < round * 1_000 {
            let raw = next_raw(&mut house).await;
            keys.insert(raw.key.clone());
            bodies.insert(raw.body.clone());
            raw.finish();
        }
        // The spies' channels are ephemeral too: they may lose some, but see most.
        for (spy, ids) in spies.iter_mut().zip(&mut ids) {
            ids.extend(spy.seen_so_far());
        }
        if ids[0].intersection(&ids[1]).count() > 0 {
            break;
        }
    }
    assert!(ids[0].intersection(&ids[1]).count() > 0, "no ids have collided");
    assert_eq!(keys.len(), bodies.len(), "each has its own key");
    assert_eq!(WARNINGS.load(Ordering::Relaxed), 1);
    house.broker.stop().await;
}
