//! Services that listen: to events, and to a pinned conversation.

use crate::clients::{Client, Program, shell};
use crate::house::{House, Nsq, direct, topic, until};
use crate::page;
use crate::publishing::{IMITATION, IMITATION_BASE64};
use anyhow::{Context, Result, ensure};
use lockstep_protocol::Seq;
use lockstep_testkit::ask_raw;
use serde_json::{Value, json};
use std::mem::discriminant;

const EVENTS: &str = "lockstep.events";
const KINDS: &str = r#"["connect", "disconnect", "message", "read", "device"]"#;
const PUBLISHED: &str = "lockstep_events_total{outcome=\"published\"}";

#[tokio::test(flavor = "multi_thread")]
async fn both_hear_of_all_events_on_channels_of_their_own() -> Result<()> {
    let nsq = Nsq::start()?;
    for nsqd in [0, 1] {
        let http = nsq.nsqds.nsqd(nsqd).http_address().to_string();
        for command in page::NSQ.curls("### Events")? {
            shell(&page::with(&command, &[("127.0.0.1:4151", &http)])?, &[]).await?;
        }
    }
    nsq.until_found(EVENTS, 2).await?;
    let lookupd = nsq.lookupd.http_address().to_string();
    let python = page::with(page::NSQ.block("### Hearing of events", "python")?, &[("10.0.0.3:4161", &lookupd)])?;
    let [first, second] = nsq.tcp();
    let addresses = [("10.0.0.1:4150", &*first), ("10.0.0.2:4150", &*second)];
    let javascript = page::with(page::NSQ.block("### Hearing of events", "js")?, &addresses)?;
    let mut listeners = [Client::Pynsq.start(&python, &[])?, Client::Nsqjs.start(&javascript, &[])?];
    for channel in ["billing", "alarm"] {
        nsq.until_consumed(EVENTS, channel, 2).await?;
    }

    let house = House::on(nsq, &[("nsq.events", KINDS)]).await?;
    let (device, expected) = make_events(&house).await?;
    for listener in &mut listeners {
        let mut heard: Vec<Value> = Vec::new();
        while heard.len() < expected.len() {
            let event: Value = serde_json::from_str(&listener.line().await?)?;
            let is_ours = event["device"] == device || event["seq"] == expected[2]["seq"];
            // One may come twice, and those of two nsqds in any order.
            if is_ours && !heard.contains(&event) {
                heard.push(event);
            }
        }
        for wanted in &expected {
            let found = heard.iter().find(|event| event["type"] == wanted["type"]);
            let found = found.with_context(|| format!("no {} in {heard:?}", wanted["type"]))?;
            ensure!(is_like_on_the_page(found)?, "{found}");
            let fields = wanted.as_object().context("an object")?;
            ensure!(fields.iter().all(|(name, value)| found[name] == *value), "{found} is not {wanted}");
        }
    }
    Ok(())
}

/// A device of ben's comes, gets a message, has read it, and goes. Returns the device and what is to be heard of that.
async fn make_events(house: &House) -> Result<(String, Vec<Value>)> {
    // Until the server has seen the channels, events are dropped.
    let mut last = 0;
    until("events are published", async || {
        last = house.send(&format!("is anybody there? {last}")).await?;
        Ok(house.server.metric(PUBLISHED).await? > 0.0)
    })
    .await?;
    let (mut laptop, mut phone) = (house.bens("laptop").await?, house.bens("phone").await?);
    let sent = house.send("hello").await?;
    let hello = loop {
        let heard = laptop.heard().await?;
        if heard.seq.get() == sent {
            break heard;
        }
    };
    laptop.client.read(direct()?, Seq::new(sent)).await?;
    phone.until_read(Seq::new(sent)).await?;
    laptop.client.stop().await;
    let (device, direct) = (laptop.device.to_string(), direct()?.to_string());
    let expected = vec![
        json!({"type": "device", "user": "ben", "device": device, "kind": "main", "change": "added"}),
        json!({"type": "connect", "user": "ben", "device": device, "kind": "main"}),
        json!({"type": "message", "conversation": direct, "seq": sent, "id": hello.id, "kind": "message", "sender": "ana",
               "sent_at": hello.sent_at}),
        json!({"type": "read", "user": "ben", "conversation": direct, "seq": sent}),
        json!({"type": "disconnect", "user": "ben", "device": device}),
    ];
    Ok((device, expected))
}

/// Whether an event has the fields of the page's event of its type, which are of the same JSON types.
fn is_like_on_the_page(event: &Value) -> Result<bool> {
    let shape = |event: &Value| -> Option<Vec<_>> {
        Some(event.as_object()?.iter().map(|(name, value)| (name.clone(), discriminant(value))).collect())
    };
    let shown = page::NSQ.block("### Events", "json")?.lines().map(serde_json::from_str);
    let shown = shown.collect::<Result<Vec<Value>, _>>()?;
    Ok(shown.iter().any(|one| one["type"] == event["type"] && shape(one) == shape(event)))
}

#[tokio::test(flavor = "multi_thread")]
async fn pynsq_listens_to_a_pinned_conversation() -> Result<()> {
    let program = [page::NSQ.block("In Python:", "python")?, include_str!("clients/listen.py")].join("\n");
    listens(Client::Pynsq, &program).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nsqjs_listens_to_a_pinned_conversation() -> Result<()> {
    listens(Client::Nsqjs, include_str!("clients/listen.js")).await
}

/// What a service hears of a pinned conversation that it, a user and somebody who imitates the server write into.
async fn listens(client: Client, program: &str) -> Result<()> {
    let (direct, topic) = (direct()?, topic()?);
    let house = House::on(Nsq::start()?, &[("nsq.pinned", &format!("[\"{direct}\"]"))]).await?;
    let (nsq, nsqd) = (house.nsq()?, house.publish_address().await?);
    nsq.until_found(&topic, 1).await?;
    let environment = [
        ("TOPIC", &*topic),
        ("CHANNEL", "archive"),
        ("NSQDS", &nsq.tcp().join(",")),
        ("LOOKUPD", &nsq.lookupd.http_address().to_string()),
        ("SIGNING_KEY", &house.server.data().join("token-key.pem").display().to_string()),
    ];
    let mut listener = client.start(program, &environment)?;
    // The one is told of both nsqds, the other finds the one that has the topic.
    let nsqds = if client == Client::Pynsq { 2 } else { 1 };
    nsq.until_consumed(&topic, "archive", nsqds).await?;

    ensure!(house.send("hello").await? == 1);
    let line = message(&mut listener).await?;
    let (hello, epoch) = (&line["entry"], &line["epoch"]);
    ensure!((&hello["seq"], &hello["sender"]) == (&json!(1), &json!("ana")), "{line}");
    ensure!(hello["body"] == json!({"type": "text", "text": "hello"}), "{line}");
    let documented: Value = serde_json::from_str(page::NSQ.block("### A conversation's topic", "json")?)?;
    let names = |entry: &Value| entry.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    ensure!(names(hello) == names(&documented), "{line}");

    let raws: [(&[u8], Value); 2] = [
        (b"server room: 41 C", json!({"type": "text", "text": "server room: 41 C"})),
        (IMITATION, json!({"type": "bytes", "base64": IMITATION_BASE64})),
    ];
    for (seq, (raw, body)) in (2..).zip(raws) {
        let answer = ask_raw(nsqd, "POST", &format!("/pub?topic={topic}"), &[], raw).await?;
        ensure!(answer.status == 200, "{answer:?}");
        // As it was published, and once more as the entry that it became; in which order is open.
        let mut lines = [message(&mut listener).await?, message(&mut listener).await?];
        lines.sort_by_key(|line| line.get("entry").is_some());
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(lines[0] == json!({"raw": hex}), "{lines:?}");
        let became = &lines[1]["entry"];
        ensure!(became["seq"] == seq && became["sender"] == "service:nsq" && became["body"] == body, "{lines:?}");
        ensure!(lines[1]["epoch"] == *epoch, "{lines:?}");
    }
    // All of that came while no device was there. One that comes knows the same store.
    ensure!(*epoch == house.bens("phone").await?.epoch.to_string(), "{epoch}");
    Ok(())
}

/// The next message, as the program has printed it.
async fn message(listener: &mut Program) -> Result<Value> {
    let line = listener.line().await?;
    serde_json::from_str(&line).with_context(|| format!("{line:?} is no JSON"))
}
