//! Requests against servers that answer what they should not.

mod common;

use common::{Fake, topic};
use lockstep_nsq_client::http::{HttpError, HttpSettings, LookupdHttp, NsqdHttp, StatsQuery};
use std::time::Duration;
use tokio::io::AsyncReadExt;

fn settings() -> HttpSettings {
    HttpSettings { timeout: Duration::from_millis(500), answer_bytes_max: 1_000, ..HttpSettings::default() }
}

/// What a request of `/stats` comes to when the server answers so, and closes.
async fn ask(answer: &[u8]) -> Result<(), HttpError> {
    let fake = Fake::new().await;
    let nsqd = NsqdHttp::new(fake.address(), settings());
    let server = async {
        let mut peer = fake.accept().await;
        let mut request = [0; 1_000];
        let length = peer.stream.read(&mut request).await.expect("a request");
        assert!(
            request[..length]
                .starts_with(b"GET /stats?format=json&include_mem=false&include_clients=false HTTP/1.1\r\n")
        );
        peer.write(answer).await;
    };
    let (outcome, ()) = tokio::join!(async { nsqd.stats(&StatsQuery::default()).await.map(drop) }, server);
    outcome
}

fn whole(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn answers_are_what_they_should_be_or_errors() {
    let good = r#"{"version":"1.3.0","health":"OK","start_time":1,"topics":null,"producers":null,"more":1}"#;
    assert!(ask(&whole("200 OK", good)).await.is_ok());
    assert!(matches!(ask(&whole("200 OK", "{")).await, Err(HttpError::Answer(_))));
    assert!(matches!(ask(&whole("200 OK", &"x".repeat(1_001))).await, Err(HttpError::TooLarge(1_000))));
    let endless = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", "1\r\nx\r\n".repeat(2_000));
    assert!(matches!(ask(endless.as_bytes()).await, Err(HttpError::TooLarge(1_000))));
    assert!(matches!(ask(b"").await, Err(HttpError::Broken(_))));
    assert!(matches!(ask(b"E_BAD_PROTOCOL").await, Err(HttpError::Broken(_))));
    assert!(matches!(ask(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await, Err(HttpError::Broken(_))));
    let refusal = ask(&whole("404 Not Found", r#"{"message":"TOPIC_NOT_FOUND"}"#)).await.expect_err("refused");
    assert!(refusal.is_not_found() && refusal.to_string().ends_with("TOPIC_NOT_FOUND"), "{refusal}");
    let refusal = ask(&whole("500 Oh no", "<html>\n</html>")).await;
    assert!(matches!(refusal, Err(HttpError::Status { status: 500, message }) if message == "<html></html>"));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let fake = Fake::new().await;
    let lookupd = LookupdHttp::new(fake.address(), HttpSettings { timeout: Duration::from_millis(50), ..settings() });
    assert!(matches!(lookupd.nodes().await, Err(HttpError::Timeout)));
}

#[tokio::test]
async fn kept_connections_are_used_again_and_replaced_when_closed() {
    let fake = Fake::new().await;
    let nsqd = NsqdHttp::new(fake.address(), settings());
    let server = async {
        let mut request = [0; 1_000];
        let mut peer = fake.accept().await;
        for _ in 0..3 {
            assert!(peer.stream.read(&mut request).await.expect("a request") > 0);
            peer.write(&whole("200 OK", "OK")).await;
        }
        drop(peer);
        let mut peer = fake.accept().await;
        assert!(peer.stream.read(&mut request).await.expect("a request") > 0);
        peer.write(&whole("200 OK", "OK")).await;
    };
    let client = async {
        for _ in 0..4 {
            nsqd.create_topic(&topic("t")).await.expect("an answer");
        }
    };
    tokio::join!(server, client);
    assert!(!fake.is_called().await);
}

#[tokio::test]
async fn publishing_is_never_repeated() {
    let fake = Fake::new().await;
    let nsqd = NsqdHttp::new(fake.address(), settings());
    for _ in 0..2 {
        let server = async {
            let mut peer = fake.accept().await;
            let mut request = [0; 1_000];
            let length = peer.stream.read(&mut request).await.expect("a request");
            assert!(request[..length].starts_with(b"POST /pub?topic=t%23ephemeral&defer=5 HTTP/1.1\r\n"));
        };
        let delay = Some(Duration::from_millis(5));
        let topic = topic("t#ephemeral");
        let publishing = nsqd.publish(&topic, "body".into(), delay);
        let (outcome, ()) = tokio::join!(publishing, server);
        assert!(matches!(outcome, Err(HttpError::Broken(_))), "{outcome:?}");
        assert!(!fake.is_called().await);
    }
}
