//! Filling a new device over real sockets: the whole way once, and what wrong input gets.

use crate::house::{House, Wire};
use lockstep_engine::{BootstrapConfig, EngineConfig};
use lockstep_gateway::GatewayConfig;
use lockstep_model::{Chunk, Code, ConversationId, Device, DeviceKind, limits};
use serde_json::{Value, json};

/// A user with a phone that keeps 40 messages, and a laptop that has nothing.
struct Filling {
    house: House,
    group: ConversationId,
    laptop: Device,
    main: Wire,
    ben: Wire,
}

impl Filling {
    async fn new() -> Self {
        let bootstrap = BootstrapConfig { fillings_max: 1, ..BootstrapConfig::default() };
        let engine = EngineConfig { bootstrap, ..EngineConfig::default() };
        let house = House::with(engine, GatewayConfig::default()).await;
        let (phone, bens) = (house.device("ana").await, house.device("ben").await);
        let group = house.group(&[&phone, &bens]).await;
        let mut ben = house.live(&bens).await;
        for number in 0..40 {
            send(&mut ben, group, &number.to_string()).await;
        }
        let laptop = house.unfilled("ana", DeviceKind::Sub).await;
        let mut main = house.live(&phone).await;
        main.send(json!({"type": "coverage", "conversations": [{"conversation": group, "from_seq": 1}]})).await;
        Self { house, group, laptop, main, ben }
    }

    /// The laptop, whose filling has begun, and what the phone is asked for.
    async fn begin(&mut self) -> (Wire, Value) {
        let mut sub = self.house.hello(&self.house.token(&self.laptop)).await;
        assert_eq!(sub.until("welcome").await["unfilled"], true);
        sub.send(json!({"type": "resume"})).await;
        sub.until("caught_up").await;
        sub.send(json!({"type": "bootstrap", "ref": 7, "entries": 20})).await;
        let started = sub.until("bootstrap_started").await;
        assert_eq!((&started["ref"], &started["total"], &started["done"]), (&json!(7), &json!(1), &json!(0)));
        assert_eq!(sub.until("bootstrap_conversation").await["unread"]["head"], 40);
        let fill = self.main.until("fill").await;
        assert_eq!(
            (&fill["bootstrap"], &fill["entries"], &fill["head"]),
            (&started["bootstrap"], &json!(20), &json!(40))
        );
        (sub, fill)
    }

    fn chunk(&self, fill: &Value, number: u64, seqs: (u64, u64), body: &str) -> Value {
        json!({"type": "chunk", "ref": number, "bootstrap": fill["bootstrap"], "number": number,
            "conversation": self.group, "from_seq": seqs.0, "to_seq": seqs.1, "digest": Chunk::digest_of(body),
            "last": seqs.1 == 40, "body": body})
    }

    async fn refusal(&mut self, chunk: Value) -> String {
        self.main.send(chunk).await;
        self.main.until("error").await["code"].as_str().unwrap().to_owned()
    }
}

async fn send(wire: &mut Wire, group: ConversationId, text: &str) {
    let body = json!({"type": "text", "text": text});
    wire.send(json!({"type": "send", "conversation": group, "client_msg_id": text, "body": body})).await;
    wire.until("sent").await;
}

#[tokio::test]
async fn a_laptop_is_filled_by_a_phone() {
    let mut it = Filling::new().await;
    let (mut sub, fill) = it.begin().await;
    let skip = json!({"type": "skip", "conversation": it.group, "from": 1, "to": 20, "reason": "bootstrap"});
    for (number, seqs) in [(1, (21, 30)), (2, (31, 40))] {
        let mut chunk = it.chunk(&fill, number, seqs, "[\"the body is not looked into\"]");
        it.main.send(chunk.clone()).await;
        if number == 1 {
            assert_eq!(sub.until("skip").await, skip);
        }
        chunk.as_object_mut().unwrap().remove("ref");
        assert_eq!(sub.until("chunk").await, chunk);
        let ack = json!({"type": "chunk_ack", "bootstrap": fill["bootstrap"], "conversation": it.group, "seq": seqs.1});
        sub.send(ack).await;
        assert_eq!(it.main.until("chunk_acked").await["seq"], seqs.1);
    }
    let filled = json!({"conversation": it.group, "seq": 40, "source": "main"});
    for wire in [&mut sub, &mut it.main] {
        assert_eq!(wire.until("bootstrap_progress").await["filled"], filled);
        assert_eq!(wire.until("bootstrap_progress").await["state"], "done");
    }
    let mut ben = it.ben;
    send(&mut ben, it.group, "live").await;
    assert_eq!(sub.until("entry").await["seq"], 41);
    sub.send(json!({"type": "bootstrap", "ref": 9})).await;
    assert_eq!(sub.until("error").await["code"], "not_unfilled");
}

#[tokio::test]
async fn wrong_chunks_are_refused() {
    let mut it = Filling::new().await;
    let (mut sub, fill) = it.begin().await;
    let another = it.house.unfilled("ana", DeviceKind::Sub).await;
    let mut waits = it.house.live(&another).await;
    waits.send(json!({"type": "bootstrap"})).await;
    assert_eq!(waits.until("error").await["code"], Code::TooManyBootstraps.name());
    for entries in [0, limits::BOOTSTRAP_ENTRIES_MAX + 1, 1_000_000] {
        waits.send(json!({"type": "bootstrap", "entries": entries})).await;
        assert_eq!(waits.until("error").await["code"], Code::BadFrame.name());
    }
    let good = it.chunk(&fill, 1, (21, 22), "x");
    let with = |name: &str, value: Value| {
        let mut chunk = good.clone();
        chunk[name] = value;
        chunk
    };
    let large = "x".repeat(limits::CHUNK_BYTES_MAX + 1);
    let cases = [
        (with("body", json!(large)), Code::ChunkTooLarge),
        (with("digest", json!("00")), Code::ChunkDigest),
        (with("number", json!(0)), Code::BadFrame),
        (with("from_seq", json!(23)), Code::BadFrame),
        (with("number", json!(2)), Code::ChunkOrder),
        (with("to_seq", json!(41)), Code::ChunkBeyond),
        (with("bootstrap", json!("019a2b1f-0a0a-7b1b-9c9c-00000000000a")), Code::NoSuchBootstrap),
        (with("conversation", json!("019a2b1d-1111-7abc-8def-1234567890ab")), Code::NoSuchBootstrap),
    ];
    for (chunk, code) in cases {
        assert_eq!(it.refusal(chunk).await, code.name());
    }
    sub.send(it.chunk(&fill, 1, (21, 22), "x")).await;
    assert_eq!(sub.until("error").await["code"], Code::Forbidden.name());
    it.ben.send(it.chunk(&fill, 1, (21, 22), "x")).await;
    assert_eq!(it.ben.until("error").await["code"], Code::NoSuchBootstrap.name());
    // None of them was passed on: the first that comes is the good one.
    for number in 1..=u64::from(limits::CHUNKS_WINDOW) {
        let chunk = it.chunk(&fill, number, (19 + 2 * number, 20 + 2 * number), "x");
        it.main.send(chunk).await;
    }
    let overlap = it.chunk(&fill, 9, (36, 37), "x");
    assert_eq!(it.refusal(overlap).await, Code::ChunkWindow.name());
    for number in 1..=u64::from(limits::CHUNKS_WINDOW) {
        assert_eq!(sub.until("chunk").await["number"], number);
    }
    let group = it.group;
    let ack =
        |seq: u64| json!({"type": "chunk_ack", "bootstrap": fill["bootstrap"], "conversation": group, "seq": seq});
    sub.send(ack(23)).await;
    assert_eq!(sub.until("error").await["code"], Code::AckBeyond.name(), "no chunk ends there");
    sub.send(ack(36)).await;
    it.main.until("chunk_acked").await;
    let gap = it.chunk(&fill, 9, (38, 40), "x");
    assert_eq!(it.refusal(gap).await, Code::ChunkOrder.name());
    let last = it.chunk(&fill, 9, (37, 40), "x");
    it.main.send(last.clone()).await;
    sub.until("chunk").await;
    assert_eq!(it.refusal(last).await, Code::NoSuchBootstrap.name(), "after the end");
    sub.send(ack(40)).await;
    while sub.until("bootstrap_progress").await["state"] != "done" {}
}

#[tokio::test]
async fn without_a_phone_it_is_told_to_come_later() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    let laptop = house.unfilled("ana", DeviceKind::Sub).await;
    assert_eq!(house.hello(&house.token(&laptop)).await.closed().await, Code::MainOffline);
    let _main = house.live(&phone).await;
    house.live(&laptop).await;
}
