//! A recall of what nsqd still holds for a device.

use crate::house::{House, topic};
use anyhow::{Context, Result, bail, ensure};
use lockstep_testkit::{ChannelStats, Heard, Wire, ask, ask_raw};
use serde_json::{Value, json};

/// Posts to the direct conversation as ana by REST, and returns the seq once it is on disk.
async fn post(house: &House, kind: &str, body: Value) -> Result<u64> {
    let path = format!("/v1/conversations/{}/messages", house.direct);
    let headers = [&*format!("Authorization: Bearer {}", house.ana), &*format!("Idempotency-Key: \"{kind}\"")];
    let answer =
        ask(house.server.address(), "POST", &path, &headers, Some(&json!({"kind": kind, "body": body}))).await?;
    ensure!(answer.status == 201, "{answer:?}");
    answer.json()["seq"].as_u64().context("a seq")
}

/// Pauses the one device's channel of the direct conversation, or lets it go on.
async fn command(house: &House, command: &str, channel: &ChannelStats) -> Result<()> {
    let nsqd = house.nsqds.nsqd(house.nsqds.home(house.direct).await?).http_address();
    let channel = channel.channel.replace('#', "%23");
    let target = format!("/channel/{command}?topic={}&channel={channel}", topic(house.direct));
    let answer = ask_raw(nsqd, "POST", &target, &[], b"").await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

fn of_direct<'a>(house: &House, all: &'a [ChannelStats]) -> Option<&'a ChannelStats> {
    let topic = topic(house.direct);
    all.iter().find(|one| one.topic == topic && one.channel != "_seq")
}

/// All frames that come until one says this.
async fn heard_until(wire: &mut Wire, text: &str) -> Result<String> {
    let mut heard = String::new();
    while !heard.contains(text) {
        match wire.next().await? {
            Heard::Frame(frame) => heard.push_str(&frame.to_string()),
            end => bail!("{end:?} after {heard}"),
        }
    }
    Ok(heard)
}

async fn nobody_gets_what_is_recalled(channels: &str) -> Result<()> {
    let house = House::start(vec![("nsq.channels", channels.to_owned())]).await?;
    let mut ben = house.ben_live().await?;
    let tablet = house.server.token("ben", "tablet", "main").await?;
    let home = house.nsqds.home(house.direct).await?;
    let channel = of_direct(&house, &house.nsqds.channels(home)?).context("ben's channel")?.clone();
    command(&house, "pause", &channel).await?;
    let message = post(&house, "message", json!({"type": "text", "text": "secret"})).await?;
    let edit = json!({"type": "edit", "target": message, "body": {"type": "text", "text": "more secret"}});
    post(&house, "edit", edit).await?;
    let holds = |all: &[Vec<ChannelStats>]| of_direct(&house, &all[home]).is_some_and(|one| one.unfinished == 2);
    house.nsqds.until("nsqd holds both for ben", holds).await?;
    post(&house, "recall", json!({"type": "recall", "target": message})).await?;

    // Who comes later reads the log.
    let mut late = Wire::hello(&house.server.door(), &tablet).await?;
    late.send(&json!({"type": "resume"})).await?;
    let heard = heard_until(&mut late, "\"recall\"").await?;
    ensure!(!heard.contains("secret") && heard.matches("\"recalled\"").count() == 2, "{heard}");
    // Who was there gets what nsqd has, which is the recall.
    command(&house, "unpause", &channel).await?;
    let heard = heard_until(&mut ben, "\"recall\"").await?;
    ensure!(!heard.contains("secret") && heard.matches("\"recalled\"").count() == 2, "{heard}");
    // All goes on.
    house.send("after").await?;
    for wire in [&mut ben, &mut late] {
        ensure!(!heard_until(wire, "\"after\"").await?.contains("secret"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_what_nsqd_holds_of_it() -> Result<()> {
    nobody_gets_what_is_recalled("ephemeral").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_what_a_durable_channel_holds_of_it() -> Result<()> {
    nobody_gets_what_is_recalled("durable").await
}

/// The device is away while its channel fills.
#[tokio::test(flavor = "multi_thread")]
async fn who_returns_to_a_durable_channel_does_not_get_it() -> Result<()> {
    let house = House::start(vec![("nsq.channels", "durable".to_owned())]).await?;
    // The tablet keeps the interest in the conversation alive.
    let tablet = house.server.token("ben", "tablet", "main").await?;
    let _tablet = Wire::live(&house.server.door(), &tablet).await?;
    house.until_fed(1).await?;
    let ben = Wire::live(&house.server.door(), &house.ben).await?;
    house.until_fed(2).await?;
    drop(ben);
    house.until_fed(1).await?;
    let message = post(&house, "message", json!({"type": "text", "text": "secret"})).await?;
    let (home, topic) = (house.nsqds.home(house.direct).await?, topic(house.direct));
    let holds = |all: &[Vec<ChannelStats>]| {
        all[home].iter().any(|one| one.topic == topic && one.channel != "_seq" && one.unfinished == 1)
    };
    house.nsqds.until("nsqd holds it for ben's phone", holds).await?;
    post(&house, "recall", json!({"type": "recall", "target": message})).await?;
    let mut ben = Wire::hello(&house.server.door(), &house.ben).await?;
    ben.send(&json!({"type": "resume"})).await?;
    house.until_fed(2).await?;
    house.send("after").await?;
    let heard = heard_until(&mut ben, "\"after\"").await?;
    ensure!(!heard.contains("secret") && heard.contains("\"recalled\""), "{heard}");
    Ok(())
}
