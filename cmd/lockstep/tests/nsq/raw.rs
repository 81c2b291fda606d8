//! What services publish with nothing but HTTP.

use crate::house::{House, PATIENCE, topic};
use anyhow::{Result, bail, ensure};
use lockstep_protocol::ConversationId;
use lockstep_testkit::{Heard, ask_raw};
use serde_json::{Value, json};

const AGAIN: &str = "lockstep_nsq_raw_total{outcome=\"again\"}";
const REFUSED: &str = "lockstep_nsq_raw_total{outcome=\"refused\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_body_reaches_devices_as_an_entry_of_a_service() -> Result<()> {
    let house = House::start(vec![]).await?;
    let mut ben = house.ben_live().await?;
    let cases: [(&[u8], Value); 5] = [
        (br#"{"type": "reading", "celsius": 41}"#, json!({"type": "reading", "celsius": 41})),
        (b"server room: 41 C", json!({"type": "text", "text": "server room: 41 C"})),
        (br#"{"celsius": 41}"#, json!({"type": "text", "text": r#"{"celsius": 41}"#})),
        (&[0xff, 0x00, 0x41], json!({"type": "bytes", "base64": "/wBB"})),
        // What it contains is content: nobody becomes ana, or moves a place in the log, by saying so.
        (br#"{"type": "text", "sender": "ana", "seq": 900}"#, json!({"type": "text", "sender": "ana", "seq": 900})),
    ];
    for (seq, (raw, body)) in (1..).zip(&cases) {
        house.publish(raw).await?;
        let heard = house.heard(&mut ben).await?;
        ensure!(heard["seq"] == seq && heard["sender"] == "service:nsq" && heard["body"] == *body, "{heard}");
        ensure!(heard.get("sender_device").is_none() && heard["kind"] == "message", "{heard}");
    }
    // What came from nsqd and what a device sends stand in one log.
    ensure!(house.send("thank you").await? == cases.len() as u64 + 1);
    let stored = house.server.metric("lockstep_nsq_raw_total{outcome=\"stored\"}").await?;
    ensure!(stored == cases.len() as f64, "{stored} are stored");
    house.until_taken_in().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_stored_is_dropped_and_harms_nobody() -> Result<()> {
    let unknown: ConversationId = "018f0000-0000-7000-8000-000000000001".parse()?;
    let house = House::start(vec![("nsq.pinned", format!("[\"{unknown}\"]"))]).await?;
    let mut ben = house.ben_live().await?;
    let nsqd = house.nsqds.nsqd(house.nsqds.home(house.direct).await?).http_address();
    let path = format!("/pub?topic={}", topic(house.direct));
    let empty = ask_raw(nsqd, "POST", &path, &["Content-Length: 0"], b"").await?;
    ensure!(empty.status == 400 && empty.text.contains("MSG_EMPTY"), "nsqd itself refuses an empty one: {empty:?}");

    let oversized = vec![b'x'; 65_537];
    let nested = format!("{{\"type\": \"secret\", \"nested\": {}{}}}", "[".repeat(40), "]".repeat(40));
    let nameless = format!("{{\"type\": \"secret{}\"}}", "x".repeat(64));
    let wrong: [(ConversationId, &[u8], &str); 4] = [
        (house.direct, &oversized, "body_too_large"),
        (house.direct, nested.as_bytes(), "bad_body"),
        (house.direct, nameless.as_bytes(), "bad_body"),
        (unknown, b"is secret there?", "no_such_conversation"),
    ];
    for (count, (conversation, body, code)) in (1..).zip(wrong) {
        house.publish_into(conversation, body).await?;
        house.server.until_metric(REFUSED, PATIENCE, |refused| refused == f64::from(count)).await?;
        let log = house.server.log()?;
        let line = log.lines().rfind(|line| line.contains("was dropped")).unwrap_or_default();
        ensure!(line.contains(code) && line.contains(&conversation.to_string()), "{code}: {line}");
        ensure!(line.contains(&body.len().to_string()) && !line.contains("secret"), "{code}: {line}");
    }
    // Nothing of them is left: nsqd has forgotten them, and the next one is the first.
    house.until_taken_in().await?;
    house.publish(b"all is well").await?;
    let heard = house.heard(&mut ben).await?;
    ensure!((&heard["seq"], &heard["body"]["text"]) == (&json!(1), &json!("all is well")), "{heard}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_now_comes_again_until_it_is() -> Result<()> {
    let house = House::start(vec![]).await?;
    let mut ben = house.ben_live().await?;
    // The disk is full: no file may grow.
    house.server.limit_file_bytes(Some(0))?;
    for text in ["first", "second"] {
        house.publish(text.as_bytes()).await?;
    }
    house.server.until_metric(AGAIN, PATIENCE, |again| again >= 4.0).await?;
    house.server.limit_file_bytes(None)?;
    let mut heard = [house.heard(&mut ben).await?, house.heard(&mut ben).await?];
    ensure!(heard[0]["seq"] == 1 && heard[1]["seq"] == 2, "{heard:?}");
    heard.sort_by_key(|entry| entry["body"]["text"].to_string());
    ensure!(heard[0]["body"]["text"] == "first" && heard[1]["body"]["text"] == "second", "{heard:?}");
    house.until_taken_in().await?;
    ensure!(house.send("nothing came twice").await? == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_while_nobody_was_there_waits_in_nsqd() -> Result<()> {
    let house = House::start(vec![]).await?;
    let ben = house.ben_live().await?;
    let home = house.nsqds.home(house.direct).await?;
    drop(ben);
    let topic = topic(house.direct);
    house
        .nsqds
        .until("nobody consumes it", |all| {
            let mut of_topic = all.iter().flatten().filter(|one| one.topic == topic);
            of_topic.all(|one| one.channel == "_seq" && one.clients == 0)
        })
        .await?;
    let nsqd = house.nsqds.nsqd(home).http_address();
    for text in ["first", "second"] {
        let answer = ask_raw(nsqd, "POST", &format!("/pub?topic={topic}"), &[], text.as_bytes()).await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let mut ben = house.ben_live().await?;
    // They come while the device catches up, so in which frames is open.
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let Heard::Frame(mut frame) = ben.next().await? else { bail!("the connection ended after {heard:?}") };
        match frame["type"].as_str() {
            Some("entry") => heard.push(frame),
            Some("entries") => heard.extend(frame["entries"].as_array_mut().map(std::mem::take).unwrap_or_default()),
            _ => {}
        }
    }
    ensure!(heard[0]["seq"] == 1 && heard[1]["seq"] == 2, "{heard:?}");
    // NSQ promises no order among them.
    heard.sort_by_key(|entry| entry["body"]["text"].to_string());
    ensure!(heard[0]["body"]["text"] == "first" && heard[1]["body"]["text"] == "second", "{heard:?}");
    Ok(())
}
