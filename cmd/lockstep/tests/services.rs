//! Services that publish, through the real program: with a token by REST, and as they would to nsqd.

use anyhow::{Context, Result, ensure};
use lockstep_testkit::{Answer, ServerOptions, ServerProcess, Wire, ask, ask_raw, post};
use serde_json::{Value, json};

/// A server, two users, their conversation, and ben's live device.
struct House {
    server: ServerProcess,
    ana: String,
    direct: String,
    ben: Wire,
}

impl House {
    async fn start(options: ServerOptions) -> Result<Self> {
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let (ana, ben) = (server.token("ana", "phone", "main").await?, server.token("ben", "phone", "main").await?);
        let request = json!({"kind": "direct", "user": "ben"});
        let made = post(server.address(), "/v1/conversations", &ana, &request).await?;
        let direct = made["id"].as_str().context("a conversation has an id")?.to_owned();
        let ben = Wire::live(&server.door(), &ben).await?;
        Ok(Self { server, ana, direct, ben })
    }

    async fn token(&self, scope: &str) -> Result<String> {
        self.server.administer(&["token", "service", "--name", "billing", "--scope", scope]).await
    }

    /// Sends a text with a token and an idempotency key.
    async fn publish(&self, token: &str, key: &str, text: &str) -> Result<Answer> {
        let path = format!("/v1/conversations/{}/messages", self.direct);
        let headers = [&*format!("Authorization: Bearer {token}"), &*format!("Idempotency-Key: \"{key}\"")];
        let body = json!({"body": {"type": "text", "text": text}});
        ask(self.server.address(), "POST", &path, &headers, Some(&body)).await
    }

    /// The next entry of the conversation that reaches ben.
    async fn heard(&mut self) -> Result<Value> {
        loop {
            let frame = self.ben.until("entry").await?;
            if frame["conversation"] == *self.direct {
                return Ok(frame);
            }
        }
    }

    /// Posts to the NSQ-like listener.
    async fn nsq(&self, path: &str, headers: &[&str], body: &[u8]) -> Result<(u16, String)> {
        let path = format!("{path}?topic=lockstep.{}", self.direct);
        let answer = ask_raw(self.server.nsq_http()?, "POST", &path, headers, body).await?;
        Ok((answer.status, answer.text))
    }

    /// The texts in the conversation's log.
    async fn stored(&self) -> Result<Vec<String>> {
        let path = format!("/v1/conversations/{}/messages", self.direct);
        let headers = [&*format!("Authorization: Bearer {}", self.ana)];
        let page = ask(self.server.address(), "GET", &path, &headers, None).await?.json();
        let entries = page["entries"].as_array().context("a page has entries")?;
        Ok(entries.iter().map(|entry| entry["body"]["text"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

fn is(answer: &Answer, status: u16, code: &str) -> Result<()> {
    ensure!((answer.status, &*answer.code()) == (status, code), "{status} {code} was expected, not {answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_message_of_a_service_reaches_devices_once() -> Result<()> {
    let mut house = House::start(ServerOptions::default()).await?;
    let token = house.token(&format!("publish:{}", house.direct)).await?;
    let first = house.publish(&token, "invoice-1", "paid").await?;
    ensure!((first.status, &first.json()["seq"]) == (201, &json!(1)), "{first:?}");
    let again = house.publish(&token, "invoice-1", "paid").await?;
    let mut expected = first.json();
    expected["duplicate"] = json!(true);
    ensure!((again.status, again.json()) == (200, expected), "{again:?}");
    is(&house.publish(&token, "invoice-1", "unpaid").await?, 409, "duplicate_id")?;
    // The name is the service's alone.
    ensure!(house.publish(&house.ana, "invoice-1", "which one?").await?.status == 201);

    let heard = house.heard().await?;
    ensure!((&heard["sender"], &heard["seq"]) == (&json!("service:billing"), &json!(1)), "{heard}");
    ensure!((&heard["body"]["text"], heard.get("sender_device")) == (&json!("paid"), None), "{heard}");
    let next = house.heard().await?;
    ensure!(
        (&next["sender"], &next["seq"]) == (&json!("ana"), &json!(2)),
        "what came twice reaches nobody again: {next}"
    );

    // The name is known after a crash, too.
    house.server.kill9();
    house.server.restart().await?;
    ensure!(house.publish(&token, "invoice-1", "paid").await?.status == 200);
    ensure!(house.stored().await? == ["paid", "which one?"]);
    Ok(())
}

#[tokio::test]
async fn tokens_are_rotated_and_revoked() -> Result<()> {
    let house = House::start(ServerOptions::default()).await?;
    let first = house.token("publish:*").await?;
    ensure!(house.publish(&first, "1", "x").await?.status == 201);
    let second = house.server.administer(&["service", "rotate", "billing"]).await?;
    for (key, token) in [("2", &first), ("3", &second)] {
        ensure!(house.publish(token, key, "x").await?.status == 201, "both are good for the grace");
    }
    let third = house.server.administer(&["service", "rotate", "billing", "--grace", "0"]).await?;
    for token in [&first, &second] {
        is(&house.publish(token, "4", "x").await?, 401, "token_revoked")?;
    }
    ensure!(house.publish(&third, "4", "x").await?.status == 201);
    ensure!(house.server.administer(&["service", "list"]).await? == "billing\t2\tgood\tpublish:*");
    ensure!(house.server.administer(&["service", "revoke", "billing"]).await?.is_empty());
    is(&house.publish(&third, "5", "x").await?, 401, "token_revoked")?;
    ensure!(house.server.administer(&["service", "list"]).await? == "billing\t3\trevoked\tpublish:*");
    // It comes back with a token; those from before do not.
    let fourth = house.token("publish:*").await?;
    is(&house.publish(&third, "5", "x").await?, 401, "token_revoked")?;
    ensure!(house.publish(&fourth, "5", "x").await?.status == 201);
    ensure!(house.stored().await?.len() == 5);
    Ok(())
}

#[tokio::test]
async fn a_service_that_is_too_fast_waits() -> Result<()> {
    let limits = [("service_sends_per_second", 1), ("service_sends_burst", 1)];
    let house = House::start(ServerOptions::limits(&limits)).await?;
    let token = house.token("publish:*").await?;
    let mut last = house.publish(&token, "0", "x").await?;
    for key in 1..20 {
        last = house.publish(&token, &key.to_string(), "x").await?;
    }
    is(&last, 429, "rate_limited")?;
    ensure!(last.json()["retry_after_ms"].as_u64().is_some_and(|wait| (1..=1_000).contains(&wait)), "{last:?}");
    ensure!(house.publish(&house.ana, "ana", "x").await?.status == 201, "devices have a rate of their own");
    Ok(())
}

#[tokio::test]
async fn services_publish_as_to_nsqd() -> Result<()> {
    let mut house = House::start(ServerOptions { nsq_http: true, ..ServerOptions::default() }).await?;
    let ok = (200, "OK".to_owned());
    ensure!(house.nsq("/pub", &[], b"server room: 41 C").await? == ok);
    ensure!(house.nsq("/mpub", &[], b"one\ntwo\n").await? == ok);
    for (seq, text) in [(1, "server room: 41 C"), (2, "one"), (3, "two")] {
        let heard = house.heard().await?;
        let found = (&heard["sender"], &heard["seq"], &heard["body"]);
        let body = json!({"type": "text", "text": text});
        ensure!(found == (&json!("service:nsq"), &json!(seq), &body), "{heard}");
    }
    let (status, words) = house.nsq("/pub", &["Origin: http://evil.example"], b"x").await?;
    ensure!(status == 403 && words.contains("FORBIDDEN"), "{status} {words}");
    let unknown = ask_raw(house.server.nsq_http()?, "POST", "/pub?topic=orders", &[], b"x").await?;
    ensure!((unknown.status, &*unknown.text) == (404, r#"{"message":"TOPIC_NOT_FOUND"}"#), "{unknown:?}");
    let ping = ask_raw(house.server.nsq_http()?, "GET", "/ping", &[], b"").await?;
    ensure!((ping.status, &*ping.text) == (200, "OK"), "{ping:?}");
    // What was called OK is on disk.
    ensure!(house.nsq("/pub", &[], b"last words").await? == ok);
    house.server.kill9();
    house.server.restart().await?;
    ensure!(house.stored().await? == ["server room: 41 C", "one", "two", "last words"]);
    ensure!(house.server.terminate().await?.success());
    Ok(())
}
