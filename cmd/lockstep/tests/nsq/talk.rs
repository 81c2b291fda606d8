//! Devices that exchange messages through an nsqd.

use crate::house::{House, PATIENCE};
use anyhow::{Result, ensure};
use lockstep_testkit::{Device, History, Record};

/// How many messages each of two devices sends.
const MESSAGES: usize = 50;
const ENVELOPES: &str = "lockstep_nsq_messages_total{what=\"envelope\"}";

#[tokio::test(flavor = "multi_thread")]
async fn devices_get_live_messages_through_nsqd_once_and_in_order() -> Result<()> {
    let house = House::start(vec![]).await?;
    let record = Record::new();
    let laptop = house.server.token("ana", "laptop", "sub").await?;
    let names = [("ana/phone", house.ana.clone()), ("ana/laptop", laptop), ("ben/phone", house.ben.clone())];
    let mut devices = names.map(|(name, token)| Device::new(name, token, record.clone()));
    for device in &mut devices {
        record.write(|history| history.member(device.name(), house.direct));
        device.start(&house.server.door());
    }
    house.until_fed(devices.len()).await?;
    let before = house.server.metric(ENVELOPES).await?;

    let (mut ana, mut ben) = (devices[0].sender(), devices[2].sender());
    for number in 0..MESSAGES {
        let text = format!("message {number}");
        tokio::try_join!(ana.send(house.direct, &text), ben.send(house.direct, &text))?;
    }
    record.until("all have everything", PATIENCE, History::caught_up).await?;
    let envelopes = (devices.len() * 2 * MESSAGES) as f64;
    house.server.until_metric(ENVELOPES, PATIENCE, |count| count - before >= envelopes).await?;
    for device in &mut devices {
        device.stop().await?;
    }
    let (verdict, delivered) = record.read(|history| (history.check(), history.delivered_count()));
    ensure!(verdict.is_clean() && delivered >= devices.len() * 2 * MESSAGES, "{delivered} delivered: {verdict}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_leaves_no_channel_of_a_device() -> Result<()> {
    let house = House::start(vec![]).await?;
    let mut ben = house.ben_live().await?;
    house.send("hello").await?;
    ensure!(house.heard(&mut ben).await?["seq"] == 1);
    let status = house.server.terminate().await?;
    ensure!(status.success(), "{status}\n{}", house.server.log_tail());
    house
        .nsqds
        .until("only _seq is left, without a consumer", |all| {
            let mut left = all.iter().flatten().peekable();
            left.peek().is_some() && left.all(|one| one.channel == "_seq" && one.clients == 0)
        })
        .await
}
