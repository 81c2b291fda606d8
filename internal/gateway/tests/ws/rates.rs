//! One rate of sends per device, whatever door and connection they come through.

use crate::house::House;
use lockstep_gateway::{GatewayConfig, Rate};
use lockstep_model::Code;
use serde_json::json;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends by REST, and returns the status.
async fn send_by_rest(house: &House, token: &str, path: &str, key: &str) -> u16 {
    let body = json!({"body": {"type": "text", "text": "x"}}).to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn neither_another_connection_nor_another_door_gives_another_burst() {
    let mut config = GatewayConfig::default();
    (config.session.sends_per_second, config.session.sends_burst) = (1, 2);
    let house = House::with(Default::default(), config).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let (token, path) = (house.token(&ana), format!("/v1/conversations/{group}/messages"));
    let (mut taken, mut refused, began) = (0, 0, Instant::now());
    for round in 0..5 {
        let mut wire = house.live(&ana).await;
        for n in 0..3 {
            let body = json!({"type": "text", "text": "x"});
            let name = format!("m{round}-{n}");
            wire.send(json!({"type": "send", "ref": n, "conversation": group, "client_msg_id": name, "body": body}))
                .await;
            loop {
                let frame = wire.next().await.unwrap();
                match frame["type"].as_str().unwrap() {
                    "sent" => taken += 1,
                    "error" => {
                        assert_eq!(frame["code"], "rate_limited");
                        refused += 1;
                    }
                    _ => continue,
                }
                break;
            }
        }
        match send_by_rest(&house, &token, &path, &format!("r{round}")).await {
            201 => taken += 1,
            status => {
                assert_eq!(status, 429);
                refused += 1;
            }
        }
    }
    let most = 2 + began.elapsed().as_secs() + 1;
    assert!(taken >= 2 && taken <= most, "{taken} of at most {most}");
    assert_eq!(taken + refused, 20);
    // Another device has its own.
    let other = house.token(&ben);
    assert_eq!(send_by_rest(&house, &other, &path, "b").await, 201);
}

#[tokio::test]
async fn a_device_that_comes_again_and_again_is_told_to_come_later() {
    let mut config = GatewayConfig::default();
    config.requests.device = Rate { per_second: 1, burst: 3 };
    let house = House::with(Default::default(), config).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let token = house.token(&ana);
    let (mut taken, began) = (0, Instant::now());
    for _ in 0..10 {
        let mut wire = house.hello(&token).await;
        match wire.next().await.unwrap() {
            frame if frame["type"] == "welcome" => taken += 1,
            frame => {
                assert_eq!((&frame["code"], &frame["close"]), (&json!("overloaded"), &json!(true)));
                assert_eq!(wire.next().await.unwrap_err().0, Code::Overloaded.spec().close);
            }
        }
    }
    let most = 3 + began.elapsed().as_secs() + 1;
    assert!(taken >= 3 && taken <= most, "{taken} of at most {most}");
    house.hello(&house.token(&ben)).await.until("welcome").await;
}
