//! Devices that wait to be linked: what they hear, and what becomes of those who wait in a wrong way.

use crate::house::{House, Wire, soon};
use lockstep_auth::hash_of_secret;
use lockstep_engine::{EngineConfig, LinkDraft, LinkSecret};
use lockstep_gateway::{Attempt, GatewayConfig};
use lockstep_model::{Code, Device, DeviceKind, LinkId, SecretHash};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message};

/// What the device has shown people, and what it shows the server.
const SHOWN: LinkSecret = LinkSecret::Scan(SecretHash([2; 32]));
const SECRET: &str = "what only the device knows";

async fn ask(house: &House) -> LinkId {
    let (id, secret) = (LinkId::generate(), SecretHash(hash_of_secret(SECRET)));
    let mut code = [0; 32];
    code[..16].copy_from_slice(id.as_bytes());
    let draft = LinkDraft {
        name: None,
        platform: Some("Firefox".into()),
        public_key: None,
        address: "192.0.2.7".into(),
        network: "192.0.2.7".into(),
        code: SecretHash(code),
        scan: SecretHash([2; 32]),
        secret,
    };
    house.engine.ask_link(draft).await.unwrap().unwrap().id
}

async fn answer(house: &House, by: &Device, link: LinkId, approve: bool) {
    house.engine.answer_link(by, link, SHOWN, approve).await.unwrap();
}

/// A WebSocket on which nothing has been said, or the status of the refusal.
async fn try_open(house: &House, link: LinkId) -> Result<Wire, (u16, Value)> {
    let mut request = house.request();
    *request.uri_mut() = format!("ws://{}/v1/links/{link}/wait", house.address).parse().unwrap();
    match connect_async(request).await {
        Ok((socket, answer)) => {
            assert_eq!(answer.headers()["sec-websocket-protocol"], "lockstep.v1");
            Ok(Wire { socket })
        }
        Err(Error::Http(answer)) => {
            let problem = serde_json::from_slice(answer.body().as_deref().unwrap_or_default());
            Err((answer.status().as_u16(), problem.unwrap()))
        }
        Err(error) => panic!("{error}"),
    }
}

/// One that has shown a secret.
async fn wait(house: &House, link: LinkId, secret: &str) -> Wire {
    let mut wire = try_open(house, link).await.unwrap();
    wire.send(json!({"type": "wait", "secret": secret})).await;
    wire
}

/// The last frame, after which the server closes as one does when all is said.
async fn last(wire: &mut Wire) -> Value {
    let frame = wire.next().await.unwrap();
    assert_eq!(wire.next().await, Err((1000, String::new())), "{frame}");
    frame
}

/// The sentence of the error that the server closes with.
async fn closed(wire: &mut Wire, code: Code) -> String {
    let frame = wire.until("error").await;
    assert_eq!((&frame["code"], &frame["close"]), (&json!(code.name()), &json!(true)), "{frame}");
    assert_eq!(wire.next().await, Err((code.spec().close, code.name().to_owned())));
    frame["message"].as_str().unwrap().to_owned()
}

/// A house where nobody is refused for guessing.
async fn house_with(change: impl FnOnce(&mut EngineConfig, &mut GatewayConfig)) -> House {
    let (mut engine, mut gateway) = (EngineConfig::default(), GatewayConfig::default());
    gateway.links.per_address = Attempt { burst: 1_000, per_minute: 1_000 };
    change(&mut engine, &mut gateway);
    House::with(engine, gateway).await
}

#[tokio::test]
async fn a_device_that_is_approved_gets_its_tokens_once() {
    let house = house_with(|_, _| {}).await;
    let phone = house.device("ana").await;
    // Who is linked is let in to be filled.
    let _main = house.live(&phone).await;
    for waits_before in [true, false] {
        let link = ask(&house).await;
        let mut wire = if waits_before {
            let wire = wait(&house, link, SECRET).await;
            answer(&house, &phone, link, true).await;
            wire
        } else {
            answer(&house, &phone, link, true).await;
            wait(&house, link, SECRET).await
        };
        let frame = last(&mut wire).await;
        assert_eq!(
            (&frame["type"], &frame["user"], &frame["kind"]),
            (&json!("approved"), &json!("ana"), &json!("sub"))
        );
        assert_eq!(frame["expires_in_ms"], 900_000);
        assert!(frame["refresh_token"].is_string() && frame["refresh_expires_at"].is_u64(), "{frame}");
        let mut live = house.hello(frame["access_token"].as_str().unwrap()).await;
        assert_eq!(live.until("welcome").await["device"], frame["device"]);
        assert_eq!(last(&mut wait(&house, link, SECRET).await).await, json!({"type": "expired"}));
    }
    let devices = house.engine.devices_of(&phone.user).await.unwrap();
    assert_eq!(devices.iter().map(|device| &*device.name).collect::<Vec<_>>(), ["phone", "Firefox", "Firefox"]);
}

#[tokio::test]
async fn a_device_hears_that_it_was_refused() {
    let house = house_with(|_, _| {}).await;
    let phone = house.device("ana").await;
    let link = ask(&house).await;
    let mut wire = wait(&house, link, SECRET).await;
    answer(&house, &phone, link, false).await;
    let sentence = Code::LinkRefused.spec().sentence;
    let refused = json!({"type": "refused", "code": "link_refused", "message": sentence});
    assert_eq!(last(&mut wire).await, refused);
    assert_eq!(last(&mut wait(&house, link, SECRET).await).await, refused);

    let link = ask(&house).await;
    answer(&house, &phone, link, true).await;
    for _ in 1..Device::PER_USER_MAX {
        house.engine.create_device(&phone.user, "another", DeviceKind::Sub).await.unwrap();
    }
    assert_eq!(last(&mut wait(&house, link, SECRET).await).await["code"], "too_many_devices");
}

#[tokio::test]
async fn what_is_not_there_has_expired() {
    let house = house_with(|engine, _| engine.link_ttl = Duration::from_millis(300)).await;
    let phone = house.device("ana").await;
    let (first, second) = (ask(&house).await, ask(&house).await);
    let mut waiting = wait(&house, first, SECRET).await;
    for (link, secret) in [(second, "guess"), (LinkId::generate(), SECRET)] {
        assert_eq!(last(&mut wait(&house, link, secret).await).await, json!({"type": "expired"}));
    }
    assert_eq!(last(&mut waiting).await, json!({"type": "expired"}), "nobody has answered in time");
    let late = house.engine.answer_link(&phone, first, SHOWN, true).await;
    assert_eq!(late, Err(Code::NoSuchLink));
}

#[tokio::test]
async fn a_device_has_to_show_its_secret_soon_and_first() {
    let hasty = house_with(|_, gateway| gateway.session.hello_timeout = Duration::from_millis(200)).await;
    let mut silent = try_open(&hasty, ask(&hasty).await).await.unwrap();
    assert_eq!(closed(&mut silent, Code::HelloTimeout).await, "The frame wait did not come in time.");
    let house = house_with(|_, _| {}).await;
    let phone = house.device("ana").await;
    let link = ask(&house).await;
    let mut babbling = try_open(&house, link).await.unwrap();
    for (text, code) in [
        ("{", "bad_json"),
        ("[]", "bad_frame"),
        (r#"{"type":"wait"}"#, "bad_frame"),
        (r#"{"type":"hello","token":"x"}"#, "unknown_type"),
    ] {
        babbling.send_text(text).await;
        let error = babbling.until("error").await;
        assert_eq!((&error["code"], &error["close"]), (&json!(code), &json!(false)), "{error}");
    }
    babbling.send(json!({"type": "wait", "secret": SECRET})).await;
    answer(&house, &phone, link, true).await;
    assert_eq!(last(&mut babbling).await["type"], "approved");
    let mut early = try_open(&house, link).await.unwrap();
    early.send(json!({"type": "heartbeat"})).await;
    assert_eq!(closed(&mut early, Code::HelloExpected).await, "The first frame must be wait.");
}

#[tokio::test]
async fn what_makes_no_sense_ends_the_waiting() {
    let house = house_with(|_, gateway| {
        gateway.session.frames_per_second = 1;
        gateway.session.frames_burst = 8;
    });
    let house = house.await;
    let link = ask(&house).await;
    let mut binary = wait(&house, link, SECRET).await;
    futures_util::SinkExt::send(&mut binary.socket, Message::binary([1].as_slice())).await.unwrap();
    closed(&mut binary, Code::BinaryFrame).await;
    let mut large = try_open(&house, link).await.unwrap();
    large.send(json!({"type": "wait", "secret": "x".repeat(1_024)})).await;
    closed(&mut large, Code::FrameTooLarge).await;
    let mut flooding = wait(&house, link, SECRET).await;
    flooding.send(json!({"type": "wait", "secret": SECRET})).await;
    assert_eq!(flooding.until("error").await["code"], "hello_twice");
    for _ in 0..8 {
        flooding.send(json!({"type": "heartbeat"})).await;
    }
    closed(&mut flooding, Code::Flood).await;
}

#[tokio::test]
async fn a_newer_socket_of_the_same_device_takes_over() {
    let house = house_with(|_, _| {}).await;
    let phone = house.device("ana").await;
    let link = ask(&house).await;
    let mut first = wait(&house, link, SECRET).await;
    // What answers this has been waiting for.
    first.send_text("{").await;
    first.until("error").await;
    assert_eq!(last(&mut wait(&house, link, "guess").await).await, json!({"type": "expired"}));
    let mut second = wait(&house, link, SECRET).await;
    assert_eq!(closed(&mut first, Code::Replaced).await, Code::Replaced.spec().sentence, "a guess has not replaced it");
    answer(&house, &phone, link, true).await;
    assert_eq!(last(&mut second).await["type"], "approved");
}

#[tokio::test]
async fn whoever_waits_shows_signs_of_life() {
    let house = house_with(|_, gateway| gateway.session.heartbeat = Duration::from_secs(1)).await;
    let phone = house.device("ana").await;
    let (link, other) = (ask(&house).await, ask(&house).await);
    let (mut answering, mut dead) = (wait(&house, link, SECRET).await, wait(&house, other, SECRET).await);
    for _ in 0..3 {
        assert_eq!(answering.next().await, Ok(json!({"type": "heartbeat"})));
        answering.send(json!({"type": "heartbeat"})).await;
    }
    answer(&house, &phone, link, true).await;
    answering.until("approved").await;
    closed(&mut dead, Code::HeartbeatTimeout).await;
}

#[tokio::test]
async fn so_many_wait_and_guess() {
    let house = house_with(|_, gateway| {
        gateway.links.sockets_max = 2;
        gateway.links.per_address = Attempt { burst: 3, per_minute: 1 };
    });
    let house = house.await;
    let link = ask(&house).await;
    let refused = async |status: u16, code: &str| {
        let (found, problem) = try_open(&house, link).await.map(drop).unwrap_err();
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
    };
    let (mut first, second) = (wait(&house, link, SECRET).await, try_open(&house, link).await.unwrap());
    first.send_text("{").await;
    first.until("error").await;
    for _ in 0..5 {
        refused(503, "overloaded").await;
    }
    drop((first, second));
    // One who went without having shown a secret counts as a guess, and has its place until the server has noticed.
    let mut guesses = 0;
    let guessing = async {
        loop {
            match try_open(&house, link).await {
                Ok(mut wire) => {
                    wire.send(json!({"type": "wait", "secret": "guess"})).await;
                    assert_eq!(last(&mut wire).await, json!({"type": "expired"}));
                    guesses += 1;
                }
                Err((503, _)) => {}
                Err((status, problem)) => {
                    assert_eq!((status, &problem["code"]), (429, &json!("rate_limited")), "{problem}");
                    return;
                }
            }
        }
    };
    soon(guessing).await;
    assert_eq!(guesses, 2);
}

#[tokio::test]
async fn foreign_pages_and_plain_requests_do_not_wait() {
    let house = house_with(|_, _| {}).await;
    let mut request = house.request();
    *request.uri_mut() = format!("ws://{}/v1/links/{}/wait", house.address, LinkId::generate()).parse().unwrap();
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let Err(Error::Http(answer)) = connect_async(request).await else { panic!("a foreign page is refused") };
    assert_eq!(answer.status(), 403);
}
