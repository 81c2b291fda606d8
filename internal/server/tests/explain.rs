//! What the admin socket answers about a message and a device, in each way of naming the message.

mod support;

use serde_json::Value;
use support::{Answer, House, parse, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

async fn explain(house: &House, query: &str) -> Answer {
    let mut socket = UnixStream::connect(house.running.data().join("admin.sock")).await.unwrap();
    socket.write_all(request("GET", &format!("/v1/admin/explain?{query}"), &[], "").as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    parse(&text)
}

#[tokio::test]
async fn a_message_is_named_by_its_place_or_by_its_id() {
    let house = House::start().await;
    let (ana, ben) = (house.grant("ana", "phone", "main").await, house.grant("ben", "phone", "main").await);
    let made = house.ask(&ana.token, "POST", "/v1/conversations", Some(r#"{"kind":"direct","user":"ben"}"#)).await;
    let direct = made.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/conversations/{direct}/messages");
    let body = r#"{"body":{"type":"text","text":"secret"}}"#;
    let sent = house.ask_with(&ana.token, "POST", &path, &["Idempotency-Key: \"one\""], Some(body)).await.json();
    let id = sent["id"].as_str().unwrap();
    let ways = [
        format!("device={}&message={direct}:1", ben.device),
        format!("device={}&message={direct}%3A1", ben.device),
        format!("device={}&message={id}", ben.device),
    ];
    for query in ways {
        let answer = explain(&house, &query).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let found: Value = answer.json();
        assert_eq!((&found["verdict"], &found["user"]), (&"away".into(), &"ben".into()), "{query}: {found}");
        assert_eq!((&found["id"], &found["seq"], &found["kind"]), (&id.into(), &1.into(), &"message".into()));
        assert_eq!(found["stages"], serde_json::json!([{"stage": "committed", "at": sent["sent_at"]}]));
        assert!(!answer.body.contains("secret"), "{answer:?}");
    }

    let nobody = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
    let device = &ben.device;
    let refused = [
        (format!("device={nobody}&message={id}"), 404, "no_such_device"),
        (format!("device=phone&message={id}"), 400, "bad_request"),
        (format!("message={id}"), 400, "bad_request"),
        (format!("device={device}"), 400, "bad_request"),
        (format!("device={device}&message={direct}"), 200, ""),
        (format!("device={device}&message={direct}:0"), 400, "bad_request"),
        (format!("device={device}&conversation={direct}"), 400, "bad_request"),
    ];
    for (query, status, code) in refused {
        let answer = explain(&house, &query).await;
        match status {
            200 => assert_eq!(answer.json()["verdict"], "not_found", "a conversation's id is no entry's: {answer:?}"),
            status => drop(answer.problem(status, code)),
        }
    }
    house.running.stop().await.unwrap();
}
