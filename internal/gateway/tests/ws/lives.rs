//! How a connection ends: replaced, removed, silent, without acknowledgements, too loud, too old.

use crate::house::{House, Wire, soon};
use lockstep_engine::EngineConfig;
use lockstep_gateway::GatewayConfig;
use lockstep_model::{Code, ConversationId};
use lockstep_session::SessionConfig;
use serde_json::json;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(60);

async fn house(change: impl FnOnce(&mut SessionConfig)) -> House {
    let mut session = SessionConfig::default();
    change(&mut session);
    House::with(EngineConfig::default(), GatewayConfig { session, ..GatewayConfig::default() }).await
}

async fn send(wire: &mut Wire, group: ConversationId, id: &str, text: &str) {
    let body = json!({"type": "text", "text": text});
    wire.send(json!({"type": "send", "conversation": group, "client_msg_id": id, "body": body})).await;
}

#[tokio::test]
async fn a_second_connection_of_the_device_replaces_the_first() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let mut other = house.live(&ben).await;
    let mut first = house.live(&ana).await;
    let mut second = house.live(&ana).await;
    assert_eq!(first.closed().await, Code::Replaced);
    for wire in [&mut second, &mut other] {
        wire.send_text("?").await;
        assert_eq!(wire.until("error").await["code"], "bad_json", "others are unharmed");
    }
}

#[tokio::test]
async fn a_removed_device_hears_it_and_gets_nothing_more() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let (mut ana_wire, mut ben_wire) = (house.live(&ana).await, house.live(&ben).await);
    house.device("ben").await;
    house.engine.remove_device(ben.id).await.unwrap();
    send(&mut ana_wire, group, "m1", "after").await;
    ana_wire.until("sent").await;
    loop {
        match ben_wire.next().await {
            Ok(frame) => assert_ne!(frame["client_msg_id"], "m1", "a removed device got a message"),
            Err((close, _)) => break assert_eq!(close, Code::DeviceRemoved.spec().close),
        }
    }
}

#[tokio::test]
async fn devices_of_a_user_are_told_of_each_other() {
    let house = House::new().await;
    let (phone, tablet) = (house.device("ana").await, house.device("ana").await);
    let devices = |device: &lockstep_model::Device, online| json!({"type": "devices", "devices": [{"device": device.id, "online": online}]});
    let mut phone_wire = house.live(&phone).await;
    let mut tablet_wire = house.hello(&house.token(&tablet)).await;
    tablet_wire.until("welcome").await;
    assert_eq!(tablet_wire.next().await.unwrap(), devices(&phone, true));
    assert_eq!(phone_wire.until("devices").await, devices(&tablet, true));
    drop(tablet_wire);
    assert_eq!(phone_wire.until("devices").await, devices(&tablet, false));
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let house = House::new().await;
    let ana = house.device("ana").await;
    let mut wire = house.live(&ana).await;
    let engine = house.engine.clone();
    let stopping = tokio::spawn(async move { engine.stop().await });
    assert_eq!(wire.closed().await, Code::ShuttingDown);
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn a_silent_device_is_closed_after_two_heartbeats() {
    let house = house(|session| session.heartbeat = SHORT).await;
    let ana = house.device("ana").await;
    let mut wire = house.live(&ana).await;
    // Any frame is a sign of life.
    for _ in 0..4 {
        wire.until("heartbeat").await;
        wire.send(json!({"type": "heartbeat"})).await;
    }
    assert_eq!(wire.closed().await, Code::HeartbeatTimeout);
}

#[tokio::test]
async fn what_is_not_acknowledged_closes() {
    let house = house(|session| session.ack_timeout = SHORT).await;
    let ana = house.device("ana").await;
    // The feed's first entry is delivered and never acknowledged.
    let mut wire = house.live(&ana).await;
    assert_eq!(wire.closed().await, Code::AckTimeout);
}

#[tokio::test]
async fn an_old_connection_is_closed() {
    let house = house(|session| session.age_max = SHORT).await;
    let ana = house.device("ana").await;
    assert_eq!(house.live(&ana).await.closed().await, Code::SessionAge);
}

#[tokio::test]
async fn a_flood_is_closed_and_a_rate_is_kept() {
    let house = house(|session| {
        (session.frames_per_second, session.frames_burst) = (1, 40);
        (session.sends_per_second, session.sends_burst) = (1, 2);
    })
    .await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let mut wire = house.live(&ana).await;
    for n in 0..3 {
        send(&mut wire, group, &format!("m{n}"), "x").await;
    }
    let refused = wire.until("error").await;
    assert_eq!(refused["code"], "rate_limited");
    assert!((1..=1_001).contains(&refused["retry_after_ms"].as_u64().unwrap()), "{refused}");
    for _ in 0..60 {
        wire.send(json!({"type": "heartbeat"})).await;
    }
    assert_eq!(wire.closed().await, Code::Flood);
    let page = house.engine.history(&ana.user, group, lockstep_engine::Slice::Latest, 10).await.unwrap();
    assert_eq!(page.head.get(), 2, "what was refused was not stored");
}

#[tokio::test]
async fn a_device_that_reads_nothing_is_closed_and_harms_nobody() {
    let gateway = GatewayConfig { write_timeout: Duration::from_millis(300), ..GatewayConfig::default() };
    let mut session = gateway.session.clone();
    // A window so wide that the socket fills before the window does.
    (session.window_entries, session.window_bytes) = (100_000, 1 << 30);
    (session.sends_per_second, session.sends_burst) = (1_000_000, 1_000_000);
    let house = House::with(EngineConfig::default(), GatewayConfig { session, ..gateway }).await;
    let (ana, ben, dan) = (house.device("ana").await, house.device("ben").await, house.device("dan").await);
    let group = house.group(&[&ana, &ben, &dan]).await;
    let (mut sender, mut slow, mut other) = (house.live(&ana).await, house.live(&ben).await, house.live(&dan).await);
    let text = "x".repeat(60_000);
    let mut seen = 0;
    let mut sent = 0;
    // The slow one reads nothing meanwhile. Others get everything, whatever it costs the slow one.
    while house.engine.connections() == 3 {
        sent += 1;
        send(&mut sender, group, &format!("m{sent}"), &text).await;
        sender.until("sent").await;
        while seen < sent {
            if other.until("entry").await["conversation"] == group.to_string() {
                seen += 1;
            }
        }
        assert!(sent < 2_000, "the slow device was never closed");
    }
    assert_eq!(house.engine.connections(), 2);
    // It comes back and finds all in the log.
    drop(slow.socket.close(None).await);
    let mut back = house.hello(&house.token(&ben)).await;
    back.send(json!({"type": "resume"})).await;
    let mut next = 1;
    while next <= sent {
        let frame = back.next().await.unwrap();
        let entries = match frame["type"].as_str().unwrap() {
            "entries" => frame["entries"].as_array().unwrap().clone(),
            "entry" => vec![frame],
            _ => continue,
        };
        for entry in entries.iter().filter(|entry| entry["conversation"] == group.to_string()) {
            assert_eq!(entry["seq"], next);
            next += 1;
        }
    }
}

#[tokio::test]
async fn a_device_that_closes_gets_its_reply() {
    let house = House::new().await;
    let ana = house.device("ana").await;
    let mut wire = house.live(&ana).await;
    wire.socket.close(None).await.unwrap();
    // The reply to a close frame without a code has none either; a socket that is only dropped gives an error.
    let rest = soon(futures_util::StreamExt::collect::<Vec<_>>(&mut wire.socket)).await;
    assert!(rest.iter().all(Result::is_ok), "{rest:?}");
}
