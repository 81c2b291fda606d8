//! Codes that refuse a request and keep the connection.

use anyhow::{Context, Result, ensure};
use lockstep_protocol::{Code, ConversationId, limits};
use lockstep_testkit::{ServerOptions, ServerProcess, Wire, ask, post};
use serde_json::{Value, json};

/// A server, two devices, and the conversation of their users.
pub(crate) struct House {
    pub(crate) server: ServerProcess,
    pub(crate) ana: String,
    pub(crate) ben: String,
    pub(crate) direct: String,
}

impl House {
    pub(crate) async fn start(limits: &[(&'static str, u64)]) -> Result<Self> {
        let options = ServerOptions::limits(limits);
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let ana = server.token("ana", "phone", "main").await?;
        let ben = server.token("ben", "phone", "main").await?;
        let request = json!({"kind": "direct", "user": "ben"});
        let made = post(server.address(), "/v1/conversations", &ana, &request).await?;
        let direct = made["id"].as_str().context("a conversation has an id")?.to_owned();
        Ok(Self { server, ana, ben, direct })
    }

    pub(crate) async fn live(&self) -> Result<Wire> {
        Wire::live(&self.server.door(), &self.ana).await
    }

    pub(crate) fn send(&self, name: &str, text: &str) -> Value {
        let body = json!({"type": "text", "text": text});
        json!({"type": "send", "ref": 1, "conversation": self.direct, "client_msg_id": name, "body": body})
    }

    /// How many messages are stored.
    async fn head(&self) -> Result<u64> {
        let authorization = format!("Authorization: Bearer {}", self.ana);
        let path = format!("/v1/conversations/{}/messages", self.direct);
        let page = ask(self.server.address(), "GET", &path, &[&authorization], None).await?;
        page.json()["head"].as_u64().with_context(|| format!("{page:?}"))
    }
}

#[tokio::test]
async fn requests_that_are_refused_keep_the_connection() -> Result<()> {
    let house = House::start(&[]).await?;
    let mut wire = house.live().await?;
    wire.send(&house.send("first", "x")).await?;
    wire.until("sent").await?;
    let (unknown, direct) = (ConversationId::generate(), &house.direct);
    let with_body = |body: Value| {
        json!({"type": "send", "ref": 1, "conversation": direct, "client_msg_id": "bad", "body": body}).to_string()
    };
    let to_nobody = json!({"type": "send", "user": "nobody", "client_msg_id": "m", "body": {"type": "x"}});
    let cases = [
        ("{".to_owned(), Code::BadJson),
        (r#"{"type":"ack"}"#.to_owned(), Code::BadFrame),
        (r#"{"type":"dance"}"#.to_owned(), Code::UnknownType),
        (r#"{"type":"hello","token":"x"}"#.to_owned(), Code::HelloTwice),
        (r#"{"type":"resume"}"#.to_owned(), Code::ResumeTwice),
        (json!({"type": "read", "conversation": unknown, "seq": 1}).to_string(), Code::NoSuchConversation),
        (to_nobody.to_string(), Code::NoSuchUser),
        (house.send("first", "another").to_string(), Code::DuplicateId),
        (with_body(json!("text")), Code::BadBody),
        (with_body(json!({"type": "x", "v": "x".repeat(limits::BODY_BYTES_MAX)})), Code::BodyTooLarge),
        (json!({"type": "ack", "cursors": [{"conversation": direct, "seq": 9}]}).to_string(), Code::AckBeyond),
        (json!({"type": "read", "conversation": direct, "seq": 9}).to_string(), Code::ReadBeyond),
    ];
    for (text, code) in cases {
        wire.send_text(&text).await?;
        let error = wire.until("error").await?;
        let spec = code.spec();
        ensure!((&error["code"], &error["close"]) == (&json!(spec.name), &json!(false)), "{code}: {error}");
        ensure!(error["message"].as_str().is_some_and(|words| words.len() > 10), "{code}: {error}");
    }
    ensure!(house.head().await? == 1, "something that was refused is stored");
    wire.send(&house.send("last", "x")).await?;
    ensure!(wire.until("sent").await?["seq"] == 2);
    Ok(())
}

/// By the socket and by REST, with the same codes.
#[tokio::test]
async fn what_is_about_a_message_is_checked() -> Result<()> {
    let house = House::start(&[]).await?;
    let mut wire = house.live().await?;
    wire.send(&house.send("first", "secret")).await?;
    wire.until("sent").await?;
    let path = format!("/v1/conversations/{}/messages", house.direct);
    let post = async |token: &str, name: &str, kind: &str, body: Value| {
        let (authorization, key) = (format!("Authorization: Bearer {token}"), format!("Idempotency-Key: {name}"));
        let request = json!({"kind": kind, "body": body});
        ask(house.server.address(), "POST", &path, &[&authorization, &key], Some(&request)).await
    };
    let edit = |target: u64| json!({"type": "edit", "target": target, "body": {"type": "text", "text": "secret too"}});
    let recall = || json!({"type": "recall", "target": 1});
    let reaction = || json!({"type": "reaction", "target": 1, "key": "+1", "on": true});
    let cases = [
        (&house.ben, "edit", edit(1), Some(Code::NotYours)),
        (&house.ana, "edit", edit(2), Some(Code::NoSuchTarget)),
        (&house.ana, "edit", edit(1), None),
        (&house.ana, "edit", recall(), Some(Code::BadBody)),
        (&house.ana, "system", json!({"type": "renamed"}), Some(Code::BadRequest)),
        (&house.ben, "reaction", reaction(), None),
        (&house.ana, "recall", recall(), None),
        (&house.ana, "recall", recall(), Some(Code::Recalled)),
    ];
    for (number, (token, kind, body, code)) in cases.into_iter().enumerate() {
        let answer = post(token, &format!("case-{number}"), kind, body).await?;
        let expected = code.map_or((201, ""), |code| (code.spec().http, code.name()));
        ensure!((answer.status, &*answer.code()) == expected, "case {number}: {answer:?}");
    }
    let mut refused = house.send("again", "x");
    refused["kind"] = json!("recall");
    refused["body"] = recall();
    wire.send(&refused).await?;
    ensure!(wire.until("error").await?["code"] == Code::Recalled.name());

    let authorization = format!("Authorization: Bearer {}", house.ben);
    let page = ask(house.server.address(), "GET", &path, &[&authorization], None).await?.json();
    let entries = page["entries"].as_array().context("a list")?;
    let found: Vec<_> = entries.iter().map(|entry| (entry["kind"].as_str(), entry["body"].clone())).collect();
    let stub = json!({"type": "recalled"});
    let expected = [("message", stub.clone()), ("edit", stub), ("reaction", reaction()), ("recall", recall())];
    ensure!(found == expected.map(|(kind, body)| (Some(kind), body)), "{page}");
    Ok(())
}

#[tokio::test]
async fn more_than_the_server_takes_is_refused() -> Result<()> {
    let house = House::start(&[("sends_per_second", 1), ("sends_burst", 2)]).await?;
    let mut wire = house.live().await?;
    for number in 0..50 {
        wire.send(&house.send(&format!("m-{number}"), "x")).await?;
    }
    let error = wire.until("error").await?;
    ensure!(
        error["code"] == Code::RateLimited.name() && error["message"] == Code::RateLimited.spec().sentence,
        "{error}"
    );
    ensure!(error["retry_after_ms"].as_u64().is_some_and(|wait| (1..=1_001).contains(&wait)), "{error}");

    // Making a conversation counts as a send: another server, on which only its number is bounded.
    let house = House::start(&[("conversations_per_user_max", 1)]).await?;
    let authorization = format!("Authorization: Bearer {}", house.ana);
    let group = json!({"kind": "group", "members": []});
    let answer = ask(house.server.address(), "POST", "/v1/conversations", &[&authorization], Some(&group)).await?;
    let spec = Code::TooManyConversations.spec();
    ensure!((answer.status, &*answer.code()) == (spec.http, spec.name), "{answer:?}");
    Ok(())
}
