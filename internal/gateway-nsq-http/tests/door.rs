//! The door on the embedded adapters: what a service posts, what it is answered, and what stands in the log then.

use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_engine::{Engine, EngineConfig, Ports, Slice};
use lockstep_gateway_nsq_http::{Hosts, NsqHttp, router};
use lockstep_model::{ConversationId, TopicPrefix, UserId, limits};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct House {
    engine: Engine,
    address: SocketAddr,
    conversation: ConversationId,
    _folder: tempfile::TempDir,
}

fn ana() -> UserId {
    UserId::new("ana").unwrap()
}

impl House {
    async fn new() -> Self {
        Self::with(EngineConfig::default(), Duration::from_secs(10), true).await
    }

    async fn with(config: EngineConfig, body_timeout: Duration, writable: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path(), SqliteOptions::default()).await.unwrap());
        let (log, directory, offsets) = (store.clone(), store.clone(), store);
        let broker = Arc::new(EmbeddedBroker::new());
        let engine = Engine::start(Ports { log, directory, offsets, broker, events: None }, config);
        engine.ensure_user(ana()).await.unwrap();
        let conversation = engine.create_group(&ana(), None, vec![]).await.unwrap().id;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hosts = Hosts::new(address.ip(), &[]);
        let door = NsqHttp::new(engine.clone(), TopicPrefix::default(), hosts, body_timeout, move || writable);
        tokio::spawn(async move { axum::serve(listener, router(door)).await });
        Self { engine, address, conversation, _folder: folder }
    }

    fn topic(&self) -> String {
        TopicPrefix::default().topic(self.conversation)
    }

    /// The status and the body of the answer to a POST.
    async fn post(&self, target: &str, body: &[u8]) -> (u16, String) {
        self.request("POST", target, &format!("Content-Length: {}\r\n", body.len()), body).await
    }

    async fn request(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let (head, body) = self.exchange(method, target, headers, body).await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    async fn exchange(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.address);
        stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer, as when the rest of a request is not read, is an end too.
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    /// The bodies in the log, oldest first.
    async fn stored(&self) -> Vec<String> {
        let page = self.engine.history(&ana(), self.conversation, Slice::After(lockstep_model::Seq::ZERO), 2_000).await;
        // The first tells that the group was made.
        let entries = page.unwrap().entries.split_off(1);
        assert!(entries.iter().all(|entry| entry.sender.as_str() == "service:nsq" && entry.sender_device.is_none()));
        entries.iter().map(|entry| entry.body.as_json().to_owned()).collect()
    }
}

fn text(words: &str) -> String {
    lockstep_model::Body::text(words).as_json().to_owned()
}

fn message(words: &str) -> String {
    format!("{{\"message\":\"{words}\"}}")
}

#[tokio::test]
async fn what_is_published_stands_in_the_log() {
    let house = House::new().await;
    let (one, many) = (format!("/pub?topic={}", house.topic()), format!("/mpub?topic={}", house.topic()));
    let binary = [&[0, 0, 0, 2, 0, 0, 0, 3][..], b"a\nb", &[0, 0, 0, 1, 0xff]].concat();
    let cases: [(&str, &[u8]); 5] = [
        (&one, b"server room: 41 C"),
        (&one, br#"{"type":"alarm","celsius":41}"#),
        (&many, b"first\n\nsecond\n"),
        (&format!("{many}&binary=true"), &binary),
        (&format!("{many}&binary=0"), b"third"),
    ];
    for (target, body) in cases {
        let (head, answer) = house.exchange("POST", target, &format!("Content-Length: {}\r\n", body.len()), body).await;
        assert!(head.starts_with("http/1.1 200") && answer == "OK", "{target}: {head} {answer}");
        assert!(head.contains("\r\nx-nsq-content-type: nsq; version=1.0"), "{head}");
    }
    let expected = [
        text("server room: 41 C"),
        r#"{"type":"alarm","celsius":41}"#.to_owned(),
        text("first"),
        text("second"),
        text("a\nb"),
        r#"{"type":"bytes","base64":"/w=="}"#.to_owned(),
        text("third"),
    ];
    assert_eq!(house.stored().await, expected);
    assert_eq!(house.request("GET", "/ping", "", b"").await, (200, "OK".to_owned()));
    // Chunks, as `curl -T -` sends them.
    let chunked = b"6\r\nin two\r\n7\r\n chunks\r\n0\r\n\r\n";
    assert_eq!(house.request("POST", &one, "Transfer-Encoding: chunked\r\n", chunked).await.0, 200);
    assert_eq!(house.stored().await.last(), Some(&text("in two chunks")));
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_nsqds_words() {
    let house = House::new().await;
    let (one, many) = (format!("/pub?topic={}", house.topic()), format!("/mpub?topic={}", house.topic()));
    let elsewhere = TopicPrefix::default().topic(ConversationId::generate());
    let upper = house.topic().replace("lockstep.", "LOCKSTEP.");
    let large = vec![b'x'; limits::BODY_BYTES_MAX + 1];
    let deep = format!("{{\"type\":\"x\",\"v\":{}{}}}", "[".repeat(40), "]".repeat(40));
    let deferred =
        "DEFER_NOT_SUPPORTED: messages are stored at once here; leave \\\"defer\\\" out, or publish to an nsqd";
    let cases: [(&str, &[u8], u16, &str); 24] = [
        ("/pub", b"x", 400, "MISSING_ARG_TOPIC"),
        ("/pub", b"", 400, "MSG_EMPTY"),
        ("/pub?topic=", b"x", 400, "INVALID_TOPIC"),
        ("/pub?topic=a%20b", b"x", 400, "INVALID_TOPIC"),
        ("/pub?topic=%zz", b"x", 400, "INVALID_REQUEST"),
        ("/pub?topic=a%2", b"x", 400, "INVALID_REQUEST"),
        ("/pub?topic=a;b", b"x", 400, "INVALID_REQUEST"),
        ("/pub?topic=billing", b"x", 404, "TOPIC_NOT_FOUND"),
        ("/pub?topic=lockstep.events", b"x", 404, "TOPIC_NOT_FOUND"),
        (&format!("/pub?topic={elsewhere}"), b"x", 404, "TOPIC_NOT_FOUND"),
        (&format!("/pub?topic={upper}"), b"x", 404, "TOPIC_NOT_FOUND"),
        (&one, b"", 400, "MSG_EMPTY"),
        (&one, &large, 413, "MSG_TOO_BIG"),
        // It fits as it is, and does not as a text in JSON.
        (&one, &large[1..], 413, "MSG_TOO_BIG"),
        (&one, deep.as_bytes(), 400, "BAD_MESSAGE"),
        (&format!("{one}&defer=1000"), b"x", 400, deferred),
        ("/mpub", b"x", 400, "MISSING_ARG_TOPIC"),
        (&format!("/mpub?topic={elsewhere}"), b"x", 404, "TOPIC_NOT_FOUND"),
        (&many, &[b"fine\n", &large[..]].concat(), 413, "MSG_TOO_BIG"),
        (&many, &[b"fine\n", deep.as_bytes()].concat(), 400, "BAD_MESSAGE"),
        (&format!("{many}&binary=true"), b"\0\0\0\x02\0\0\0\x04fine", 413, "BAD_MESSAGE"),
        (&format!("{many}&binary=yes"), b"fine", 413, "BAD_BODY"),
        ("/topic/create?topic=x", b"", 404, "NOT_FOUND"),
        ("/ping", b"", 405, "METHOD_NOT_ALLOWED"),
    ];
    for (target, body, status, words) in cases {
        assert_eq!(house.post(target, body).await, (status, message(words)), "{target}, {} bytes", body.len());
    }
    let (head, _) = house.exchange("POST", "/pub", "Content-Length: 1\r\n", b"x").await;
    assert!(head.contains("\r\ncontent-type: application/json; charset=utf-8"), "{head}");
    assert!(head.contains("\r\nx-nsq-content-type: nsq; version=1.0"), "{head}");
    assert_eq!(house.stored().await, Vec::<String>::new(), "nothing of what was refused is stored");
}

#[tokio::test]
async fn bodies_are_bounded_however_they_come() {
    let house = House::with(EngineConfig::default(), Duration::from_millis(50), true).await;
    let (one, many) = (format!("/pub?topic={}", house.topic()), format!("/mpub?topic={}", house.topic()));
    // Nothing of the declared body is sent: the refusal does not wait for it.
    let declared = |bytes: usize| format!("Content-Length: {bytes}\r\n");
    let too_big = house.request("POST", &one, &declared(limits::BODY_BYTES_MAX + 1), b"").await;
    assert_eq!(too_big, (413, message("MSG_TOO_BIG")));
    let too_big = house.request("POST", &many, &declared(5 * 1024 * 1024 + 1), b"").await;
    assert_eq!(too_big, (413, message("BODY_TOO_BIG")));
    let chunk = [b"11000\r\n", &[b'x'; 0x11000][..], b"\r\n0\r\n\r\n"].concat();
    let too_big = house.request("POST", &one, "Transfer-Encoding: chunked\r\n", &chunk).await;
    assert_eq!(too_big, (413, message("MSG_TOO_BIG")));
    for target in [&one, &many] {
        let slow = house.request("POST", target, &declared(10), b"x").await;
        assert_eq!(slow, (408, message("REQUEST_TIMEOUT")), "{target}");
    }
    assert_eq!(house.stored().await, Vec::<String>::new());
}

#[tokio::test]
async fn pages_are_turned_away() {
    let house = House::new().await;
    let one = format!("/pub?topic={}", house.topic());
    let origin = format!("Origin: http://{}\r\nContent-Length: 1\r\n", house.address);
    let (status, words) = house.request("POST", &one, &origin, b"x").await;
    assert!(status == 403 && words.contains("FORBIDDEN: a request with an Origin"), "{status} {words}");
    // Two hosts, one of them right.
    let (status, words) = house.request("GET", "/ping", "Host: evil.example\r\n", b"").await;
    assert!(status == 403 && words.contains("FORBIDDEN: this Host is none"), "{status} {words}");
    assert_eq!(house.stored().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_stored_now_is_not_called_ok() {
    let house =
        House::with(EngineConfig { appends_waiting_max: 2, ..EngineConfig::default() }, Duration::from_secs(10), false)
            .await;
    let (one, many) = (format!("/pub?topic={}", house.topic()), format!("/mpub?topic={}", house.topic()));
    assert_eq!(house.post(&many, b"1\n2\n3").await, (503, message("TRY_AGAIN")), "more than may wait");
    let nok = (500, "NOK - the server cannot store anything now".to_owned());
    assert_eq!(house.request("GET", "/ping", "", b"").await, nok);
    assert_eq!(house.stored().await, Vec::<String>::new(), "all or none");
    house.engine.stop().await;
    assert_eq!(house.post(&one, b"x").await, (503, message("TRY_AGAIN")));
}
