//! Durable channels of a group that a user leaves or is removed from.

use crate::house::{House, topic};
use anyhow::{Context, Result, ensure};
use lockstep_protocol::ConversationId;
use lockstep_testkit::{Nsqds, Wire, ask, post};
use serde_json::json;

/// Ana's group with ben.
async fn group(house: &House) -> Result<ConversationId> {
    let request = json!({"kind": "group", "title": "team", "members": ["ben"]});
    let made = post(house.server.address(), "/v1/conversations", &house.ana, &request).await?;
    Ok(made["id"].as_str().context("a group has an id")?.parse()?)
}

async fn durable(janitor_period_s: u32) -> Result<House> {
    let settings = vec![("nsq.channels", "durable".to_owned()), ("nsq.janitor_period_s", janitor_period_s.to_string())];
    House::start_on(Nsqds::start_registered(2)?, 2, settings).await
}

/// Waits until so many channels of devices stand in the group's topic.
async fn until_channels(house: &House, group: ConversationId, count: usize) -> Result<()> {
    let what = format!("{count} channels in the group's topic");
    let of_devices = |one: &&lockstep_testkit::ChannelStats| one.topic == topic(group) && one.channel != "_seq";
    house.nsqds.until(&what, |all| all.iter().flatten().filter(of_devices).count() == count).await
}

/// Ana removes ben from the group.
async fn remove_ben(house: &House, group: ConversationId) -> Result<()> {
    let path = format!("/v1/conversations/{group}/members/ben");
    let headers = [&*format!("Authorization: Bearer {}", house.ana)];
    let answer = ask(house.server.address(), "DELETE", &path, &headers, None).await?;
    ensure!(answer.status == 204, "{answer:?}");
    Ok(())
}

/// What reaches a device in the group, up to this text or kind.
async fn until_said(wire: &mut Wire, group: ConversationId, text: &str) -> Result<()> {
    loop {
        let frame = wire.until("entry").await?;
        if frame["conversation"] == group.to_string() && frame["body"].to_string().contains(text) {
            return Ok(());
        }
    }
}

/// The server sees to it as soon as the device has the end of the stay: no janitor comes within the test.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_with_the_stay() -> Result<()> {
    let house = durable(3_600).await?;
    let group = group(&house).await?;
    let (_ana, mut ben) =
        (Wire::live(&house.server.door(), &house.ana).await?, Wire::live(&house.server.door(), &house.ben).await?);
    until_channels(&house, group, 2).await?;
    remove_ben(&house, group).await?;
    until_said(&mut ben, group, "member_removed").await?;
    until_channels(&house, group, 1).await?;
    // A member again, the device has a channel again.
    let invite = format!("/v1/conversations/{group}/members");
    post(house.server.address(), &invite, &house.ana, &json!({"users": ["ben"]})).await?;
    house.send_as(&house.ana, group, "welcome back").await?;
    until_said(&mut ben, group, "welcome back").await?;
    until_channels(&house, group, 2).await
}

/// The device was away, and its channel fills up meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_janitor_finds_that_of_a_device_that_is_away() -> Result<()> {
    let house = durable(1).await?;
    let group = group(&house).await?;
    let (_ana, ben) =
        (Wire::live(&house.server.door(), &house.ana).await?, Wire::live(&house.server.door(), &house.ben).await?);
    until_channels(&house, group, 2).await?;
    drop(ben);
    remove_ben(&house, group).await?;
    until_channels(&house, group, 1).await?;
    // It gets what came before from the log, and no channel.
    let _ben = Wire::live(&house.server.door(), &house.ben).await?;
    until_channels(&house, group, 1).await
}
