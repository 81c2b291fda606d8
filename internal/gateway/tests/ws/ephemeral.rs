//! Signals and presence: at most once, to those who may know.

use crate::house::{House, Wire};
use lockstep_model::{ConversationId, Device};
use serde_json::{Value, json};

async fn signal(wire: &mut Wire, conversation: ConversationId, kind: &str) {
    wire.send(json!({"type": "signal", "ref": 1, "conversation": conversation, "body": {"type": kind}})).await;
}

/// Asks something whose answer comes after all that was told before, and gives what came until then.
async fn told(wire: &mut Wire) -> Vec<Value> {
    wire.send_text("?").await;
    let mut frames = Vec::new();
    loop {
        let frame = wire.next().await.expect("the connection was closed");
        if frame["type"] == "error" && frame["code"] == "bad_json" {
            return frames;
        }
        frames.push(frame);
    }
}

async fn direct(house: &House, one: &Device, other: &Device) -> ConversationId {
    house.engine.open_direct(&one.user, &other.user).await.unwrap().id
}

#[tokio::test]
async fn a_signal_reaches_the_others_once_and_is_not_kept() {
    let house = House::new().await;
    let (ana, ben, eve) = (house.device("ana").await, house.device("ben").await, house.device("eve").await);
    let laptop = house.device("ana").await;
    let room = house.group(&[&ana, &ben]).await;
    let head = async || {
        let page = house.engine.history(&ana.user, room, lockstep_engine::Slice::Latest, 1).await.unwrap();
        page.head.get()
    };
    let before = head().await;
    let mut wires = Vec::new();
    for device in [&ana, &laptop, &ben, &eve] {
        wires.push(house.live(device).await);
    }
    let [ana_wire, laptop_wire, ben_wire, eve_wire] = &mut wires[..] else { panic!() };
    signal(ana_wire, room, "typing").await;
    let expected =
        json!({"type": "signal", "conversation": room, "user": "ana", "device": ana.id, "body": {"type": "typing"}});
    for wire in [ben_wire, laptop_wire] {
        assert_eq!(wire.until("signal").await, expected);
    }
    let is_signal = |frame: &Value| frame["type"] == "signal";
    assert!(!told(ana_wire).await.iter().any(is_signal), "not to the device that sent it");
    assert!(!told(eve_wire).await.iter().any(is_signal), "not to strangers");
    // Who comes later hears nothing of it, and the log has nothing of it.
    let mut late = house.live(&ben).await;
    assert!(!told(&mut late).await.iter().any(is_signal));
    assert_eq!(head().await, before);
}

#[tokio::test]
async fn signals_that_are_refused() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.group(&[&ana]).await;
    let mut wire = house.live(&ben).await;
    let long = "x".repeat(4_096);
    let cases = [
        (json!({"type": "signal", "conversation": room, "body": {"type": "typing"}}), "no_such_conversation"),
        (json!({"type": "signal", "conversation": room, "body": {}}), "bad_body"),
        (json!({"type": "signal", "conversation": room, "body": {"type": "x", "v": long}}), "body_too_large"),
        (json!({"type": "signal", "body": {"type": "typing"}}), "bad_frame"),
        (json!({"type": "watch", "users": vec!["ana"; 101]}), "bad_frame"),
        (json!({"type": "watch"}), "bad_frame"),
    ];
    for (frame, code) in cases {
        wire.send(frame.clone()).await;
        let error = wire.until("error").await;
        assert_eq!((&error["code"], &error["close"]), (&json!(code), &json!(false)), "{frame}");
    }
}

#[tokio::test]
async fn who_watches_hears_of_those_with_whom_they_talk() {
    let house = House::new().await;
    let (ana, ben, eve) = (house.device("ana").await, house.device("ben").await, house.device("eve").await);
    let dan = house.device("dan").await;
    direct(&house, &ana, &ben).await;
    direct(&house, &ana, &dan).await;
    house.group(&[&ana, &eve]).await;
    let mut ana_wire = house.live(&ana).await;
    let mut ben_wire = house.live(&ben).await;
    let _eve_wire = house.live(&eve).await;
    ana_wire.send(json!({"type": "watch", "ref": 7, "users": ["ben", "eve", "dan", "nobody", "ben"]})).await;
    let online = |user: &str, online: bool| json!({"user": user, "online": online});
    let expected = json!({"type": "presence", "ref": 7, "users": [online("ben", true), online("dan", false)]});
    assert_eq!(ana_wire.until("presence").await, expected);

    // A second connection of the same device replaces the first: nobody goes or comes.
    let second = house.live(&ben).await;
    ben_wire.closed().await;
    drop(second);
    let change = |users: Value| json!({"type": "presence", "users": users});
    assert_eq!(ana_wire.until("presence").await, change(json!([online("ben", false)])));
    let _ben_wire = house.live(&ben).await;
    assert_eq!(ana_wire.until("presence").await, change(json!([online("ben", true)])));
    let dan_wire = house.live(&dan).await;
    assert_eq!(ana_wire.until("presence").await, change(json!([online("dan", true)])));

    // Another list takes the place of the first.
    ana_wire.send(json!({"type": "watch", "ref": 8, "users": ["ben"]})).await;
    assert_eq!(ana_wire.until("presence").await["users"], json!([online("ben", true)]));
    drop(dan_wire);
    while house.engine.connections() > 3 {
        tokio::task::yield_now().await;
    }
    assert!(!told(&mut ana_wire).await.iter().any(|frame| frame["type"] == "presence"));
}
