//! A device that is removed loses its channels on all nsqds.

use crate::house::{House, PATIENCE, topic};
use anyhow::{Context, Result, ensure};
use lockstep_protocol::ConversationId;
use lockstep_server::admin::{AdminClient, GroupRequest, RemovalInfo};
use lockstep_testkit::{ChannelStats, Nsqds, Wire, ask, ask_raw};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Enough that some are placed on each of two nsqds.
const GROUPS: usize = 12;

/// Ben's phone stays, his tablet goes.
struct Scene {
    house: House,
    admin: AdminClient,
    groups: Vec<ConversationId>,
    phone: Wire,
    tablet: Wire,
    tablet_token: String,
    tablet_id: String,
}

impl Scene {
    async fn set(nsqds: Nsqds, told: usize, mut settings: Vec<(&'static str, String)>) -> Result<Self> {
        settings.push(("nsq.janitor_period_s", "1".to_owned()));
        let house = House::start_on(nsqds, told, settings).await?;
        let admin = AdminClient::new(&house.server.data());
        let mut groups = Vec::new();
        for _ in 0..GROUPS {
            let request = GroupRequest { title: None, members: vec!["ana".into(), "ben".into()], creator: None };
            groups.push(admin.create_group(&request).await?.id.parse()?);
        }
        let phone = Wire::live(&house.server.door(), &house.ben).await?;
        let tablet_token = house.server.token("ben", "tablet", "sub").await?;
        let devices = admin.devices("ben").await?.devices;
        let tablet_id =
            devices.into_iter().find(|one| one.name == "tablet").context("ben has a tablet")?.id.to_string();
        let tablet = Wire::live(&house.server.door(), &tablet_token).await?;
        // Ben's feed and the direct conversation beside the groups.
        let whole = |all: &[Vec<ChannelStats>]| fed(all, &tablet_id) == GROUPS + 2 && fed(all, "") >= 2 * (GROUPS + 2);
        house.nsqds.until("both devices are fed", whole).await?;
        Ok(Self { house, admin, groups, phone, tablet, tablet_token, tablet_id })
    }

    /// How many channels of the tablet there are.
    fn left(&self) -> Result<usize> {
        let all =
            (0..self.house.nsqds.count()).map(|nsqd| self.house.nsqds.channels(nsqd)).collect::<Result<Vec<_>>>()?;
        Ok(of(&all, &self.tablet_id).count())
    }

    /// The tablet is out, and the phone does not notice anything.
    async fn only_the_tablet_is_out(&mut self) -> Result<()> {
        ensure!(self.tablet.closed().await? == lockstep_protocol::Code::DeviceRemoved);
        let seq = self.house.send("and without the tablet?").await?;
        ensure!(self.house.heard(&mut self.phone).await?["seq"] == seq);
        Ok(())
    }
}

/// The channels of a device.
fn of<'a>(all: &'a [Vec<ChannelStats>], device: &'a str) -> impl Iterator<Item = &'a ChannelStats> {
    all.iter().flatten().filter(move |one| one.channel != "_seq" && one.channel.starts_with(device))
}

/// How many of them are consumed.
fn fed(all: &[Vec<ChannelStats>], device: &str) -> usize {
    of(all, device).filter(|one| one.clients > 0).count()
}

async fn nothing_is_left(settings: Vec<(&'static str, String)>) -> Result<()> {
    let mut scene = Scene::set(Nsqds::start_registered(2)?, 2, settings).await?;
    ensure!(scene.admin.remove_device(&scene.tablet_id).await? == RemovalInfo::Done);
    ensure!(scene.left()? == 0, "the answer said that there are none");
    scene.only_the_tablet_is_out().await?;
    ensure!(scene.admin.remove_device(&scene.tablet_id).await? == RemovalInfo::Done, "again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ephemeral_channel_is_left() -> Result<()> {
    nothing_is_left(vec![]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_durable_channel_is_left() -> Result<()> {
    nothing_is_left(vec![("nsq.channels", "durable".to_owned())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nsqd_that_is_down_is_named_and_finished_when_it_is_back() -> Result<()> {
    let durable = ("nsq.channels", "durable".to_owned());
    let mut scene = Scene::set(Nsqds::start_registered(2)?, 2, vec![durable]).await?;
    let there: BTreeSet<String> = scene
        .house
        .nsqds
        .channels(1)?
        .into_iter()
        .filter(|one| one.channel == scene.tablet_id)
        .map(|one| one.topic)
        .collect();
    ensure!(!there.is_empty(), "nothing is placed on the second nsqd");
    let down = scene.house.nsqds.nsqd(1).http_address();
    scene.house.nsqds.nsqd_mut(1).kill();
    // By REST the user hears how many, from the admin socket the operator hears which.
    let headers = [&*format!("Authorization: Bearer {}", scene.house.ben)];
    let path = format!("/v1/devices/{}", scene.tablet_id);
    let answer = ask(scene.house.server.address(), "DELETE", &path, &headers, None).await?;
    ensure!(answer.status == 200 && answer.json() == json!({"state": "fenced", "pending": 1}), "{answer:?}");
    let fenced = RemovalInfo::Fenced { pending: vec![down.to_string()] };
    ensure!(scene.admin.remove_device(&scene.tablet_id).await? == fenced);
    // The job is there as long as the nsqd is not.
    let waiting = scene.admin.teardowns(false, None).await?.teardowns;
    ensure!(waiting.len() == 1 && waiting[0].device.to_string() == scene.tablet_id, "{waiting:?}");
    ensure!(waiting[0].pending == [down.to_string()] && waiting[0].attempts >= 2, "{waiting:?}");
    ensure!(waiting[0].last_error.as_ref().is_some_and(|error| error.contains(&down.to_string())), "{waiting:?}");
    scene.house.server.until_metric("lockstep_teardowns_waiting", PATIENCE, |waiting| waiting == 1.0).await?;
    ensure!(of(&[scene.house.nsqds.channels(0)?], &scene.tablet_id).count() == 0, "on the one that is reached");
    scene.only_the_tablet_is_out().await?;
    // It has them on its disk.
    scene.house.nsqds.nsqd_mut(1).restart()?;
    let is_back = |all: &[Vec<ChannelStats>]| there.iter().all(|topic| all[1].iter().any(|one| one.topic == *topic));
    scene.house.nsqds.until("its topics are back", is_back).await?;
    let tablet = scene.tablet_id.clone();
    scene.house.nsqds.until("the janitor has deleted them", |all| of(all, &tablet).count() == 0).await?;
    ensure!(scene.admin.remove_device(&scene.tablet_id).await? == RemovalInfo::Done);
    scene.house.server.until_metric("lockstep_teardowns_waiting", PATIENCE, |waiting| waiting == 0.0).await?;
    Ok(())
}

/// An nsqd that gets a topic makes all durable channels that the nsqlookupd knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_publishes_elsewhere_brings_none_back() -> Result<()> {
    let durable = ("nsq.channels", "durable".to_owned());
    let mut scene = Scene::set(Nsqds::start_registered(2)?, 1, vec![durable]).await?;
    let elsewhere = scene.house.nsqds.nsqd(1).http_address();
    for group in &scene.groups {
        scene.house.nsqds.until_listed(*group, &scene.tablet_id).await?;
    }
    publish(elsewhere, scene.groups[0]).await?;
    let tablet = scene.tablet_id.clone();
    let brought = |all: &[Vec<ChannelStats>]| all[1].iter().any(|one| one.channel == tablet);
    scene.house.nsqds.until("a channel is made without a consumer", brought).await?;
    let others = scene.groups[1..].to_vec();
    let publishing = tokio::spawn(async move {
        for group in others {
            publish(elsewhere, group).await?;
        }
        anyhow::Ok(())
    });
    // What comes back after the last look, nobody can know yet: the janitor finds it.
    let _done_or_fenced = scene.admin.remove_device(&scene.tablet_id).await?;
    publishing.await??;
    scene.house.nsqds.until("nothing of the tablet is left", |all| of(all, &tablet).count() == 0).await?;
    scene.only_the_tablet_is_out().await?;
    ensure!(Wire::live(&scene.house.server.door(), &scene.tablet_token).await.is_err(), "it comes in again");
    Ok(())
}

async fn publish(nsqd: SocketAddr, conversation: ConversationId) -> Result<()> {
    let answer = ask_raw(nsqd, "POST", &format!("/pub?topic={}", topic(conversation)), &[], b"41 C").await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}
