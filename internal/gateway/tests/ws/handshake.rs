//! The beginning of a connection: hello, welcome, resume, and all that can be wrong with them.

use crate::house::{House, Wire};
use lockstep_engine::EngineConfig;
use lockstep_gateway::GatewayConfig;
use lockstep_model::Code;
use lockstep_session::SessionConfig;
use serde_json::json;
use std::time::Duration;

fn impatient() -> GatewayConfig {
    let session = SessionConfig { hello_timeout: Duration::from_millis(50), ..SessionConfig::default() };
    GatewayConfig { session, ..GatewayConfig::default() }
}

#[tokio::test]
async fn a_welcome_says_where_one_is() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    let mut wire = house.hello(&house.token(&phone)).await;
    let welcome = wire.next().await.unwrap();
    assert_eq!(welcome["ref"], 1);
    assert_eq!(welcome["user"], "ana");
    assert_eq!(welcome["device"], phone.id.to_string());
    assert_eq!(welcome["epoch"], house.engine.epoch().to_string());
    assert_eq!(welcome["limits"]["heartbeat_ms"], 25_000);
    // The feed tells that the device was linked: it comes before `caught_up`.
    wire.send(json!({"type": "resume"})).await;
    let linked = wire.next().await.unwrap();
    assert_eq!((&linked["conversation"], &linked["body"]["type"]), (&welcome["feed"], &json!("device_linked")));
    assert_eq!(wire.next().await.unwrap(), json!({"type": "caught_up"}));
}

#[tokio::test]
async fn the_subprotocol_is_asked_for() {
    let house = House::new().await;
    let refused = tokio_tungstenite::connect_async(format!("ws://{}/v1/ws", house.address)).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(answer) = refused else { panic!("{refused:?}") };
    let problem: serde_json::Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
    assert_eq!((answer.status().as_u16(), &problem["code"]), (400, &json!("bad_request")));
    assert!(problem["detail"].as_str().unwrap().contains("lockstep.v1"), "{problem}");
}

#[tokio::test]
async fn nothing_goes_before_hello() {
    let house = House::new().await;
    let firsts = [
        json!({"type": "resume"}),
        json!({"type": "heartbeat"}),
        json!({"type": "ack", "cursors": []}),
        json!({"type": "send", "user": "ben", "client_msg_id": "m", "body": {"type": "text"}}),
    ];
    for first in firsts {
        let mut wire = house.open().await;
        wire.send(first).await;
        assert_eq!(wire.closed().await, Code::HelloExpected);
    }
    // What cannot be read is answered; the hello may still come.
    let phone = house.device("ana").await;
    let mut wire = house.open().await;
    wire.send_text("{").await;
    assert_eq!(wire.until("error").await["code"], "bad_json");
    wire.send(json!({"type": "hello", "token": house.token(&phone)})).await;
    wire.until("welcome").await;
}

#[tokio::test]
async fn hello_and_resume_come_in_time_or_not_at_all() {
    let house = House::with(EngineConfig::default(), impatient()).await;
    let phone = house.device("ana").await;
    let mut silent = house.open().await;
    assert_eq!(silent.closed().await, Code::HelloTimeout);
    let mut wire = house.hello(&house.token(&phone)).await;
    wire.until("welcome").await;
    wire.send(json!({"type": "resume", "more": true})).await;
    assert_eq!(wire.closed().await, Code::HelloTimeout);
    assert_eq!(house.engine.connections(), 0, "a silent connection keeps nothing");
}

async fn refused(wire: &mut Wire, frame: serde_json::Value, code: &str) {
    wire.send(frame).await;
    let error = wire.until("error").await;
    assert_eq!((&error["code"], &error["close"]), (&json!(code), &json!(false)));
}

#[tokio::test]
async fn hello_and_the_last_resume_come_once() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    let mut wire = house.live(&phone).await;
    refused(&mut wire, json!({"type": "hello", "token": "x"}), "hello_twice").await;
    refused(&mut wire, json!({"type": "resume"}), "resume_twice").await;
}

#[tokio::test]
async fn a_resume_shows_only_so_much() {
    let session = SessionConfig { shown_max: 2, ..SessionConfig::default() };
    let gateway = GatewayConfig { session, ..GatewayConfig::default() };
    let house = House::with(EngineConfig::default(), gateway).await;
    let phone = house.device("ana").await;
    let shown = |count: usize| {
        let row = json!({"conversation": "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11", "seq": 1});
        json!({"type": "resume", "conversations": vec![row; count], "more": true})
    };
    let mut wire = house.hello(&house.token(&phone)).await;
    wire.until("welcome").await;
    for count in [1_001, 3] {
        refused(&mut wire, shown(count), "bad_frame").await;
    }
    wire.send(json!({"type": "resume"})).await;
    wire.until("caught_up").await;
}

#[tokio::test]
async fn another_epoch_resets_what_is_not_the_same() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let mut sender = house.live(&ana).await;
    for n in 1..=3 {
        let body = json!({"type": "text", "text": "x"});
        let id = format!("m{n}");
        sender.send(json!({"type": "send", "conversation": group, "client_msg_id": id, "body": body})).await;
        sender.until("sent").await;
    }
    let foreign = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
    let mut wire = house.open().await;
    wire.send(json!({"type": "hello", "token": house.token(&ben), "epoch": foreign})).await;
    let shown = json!([{"conversation": group, "seq": 2, "entry": foreign}]);
    wire.send(json!({"type": "resume", "conversations": shown})).await;
    let reset = wire.until("reset").await;
    let epoch = house.engine.epoch().to_string();
    let expected = json!({"type": "reset", "conversation": group, "epoch": epoch, "floor": 1, "head": 3});
    assert_eq!(reset, expected);
    let mut seqs = Vec::new();
    loop {
        let frame = wire.next().await.unwrap();
        match frame["type"].as_str().unwrap() {
            "entries" if frame["entries"][0]["conversation"] == group.to_string() => {
                seqs.extend(frame["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].clone()));
            }
            "caught_up" => break,
            _ => {}
        }
    }
    assert_eq!(seqs, [1, 2, 3], "it is taken anew from the floor");
}

#[tokio::test]
async fn sockets_that_say_nothing_are_bounded() {
    let house =
        House::with(EngineConfig::default(), GatewayConfig { sockets_max: 1, ..GatewayConfig::default() }).await;
    let phone = house.device("ana").await;
    let mut silent = house.open().await;
    let refused = tokio_tungstenite::connect_async(house.request()).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(answer) = refused else { panic!("{refused:?}") };
    let problem: serde_json::Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
    assert_eq!((answer.status().as_u16(), &problem["code"]), (503, &json!("overloaded")));
    // The one that is open goes on.
    silent.send(json!({"type": "hello", "token": house.token(&phone)})).await;
    silent.until("welcome").await;
}
