//! An nsqd whose disk is full: it refuses what it is given, the log does not.

use crate::house::{House, PATIENCE, topic};
use anyhow::{Context, Result, ensure};
use lockstep_nsq_servers::NsqdOptions;
use lockstep_protocol::ConversationId;
use lockstep_testkit::{Device, History, Nsqds, Record, Sender, Tmpfs, post};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

const REFUSED: &str = "lockstep_nsq_publishes_total{outcome=\"refused\"}";
const PUBLISHED: &str = "lockstep_nsq_publishes_total{outcome=\"published\"}";
/// What the log says of it.
const TOLD: &str = "nsqd refuses envelopes";
/// More than fits into what the file system has given to a file already.
const SENDS_MAX: usize = 1_000;
/// Conversations that are made until one of them is placed on another nsqd than the first.
const PLACED_MAX: usize = 64;

/// Two devices, and a conversation on each of two nsqds that have small disks.
struct Scene {
    house: House,
    devices: [Device; 2],
    record: Record,
    disks: Vec<Tmpfs>,
    /// The nsqd of the direct conversation: its disk gets full.
    full: usize,
    /// A conversation on the other one.
    elsewhere: ConversationId,
}

impl Scene {
    /// None if file systems may not be mounted here.
    async fn set() -> Result<Option<Self>> {
        let Some(disks) = (0..2).map(|_| Tmpfs::mount(4)).collect::<Result<Option<Vec<_>>>>()? else {
            return Ok(None);
        };
        let nsqds = Nsqds::start_each(disks.iter().map(|disk| NsqdOptions {
            data: Some(disk.path().join("nsqd")),
            // All goes over the disk.
            mem_queue_size: 0,
            ..NsqdOptions::default()
        }))?;
        // Without memory a channel loses what comes while its consumer is not at it: a heartbeat finds that.
        let house = House::start_on(nsqds, 2, vec![("limits.heartbeat_ms", "1000".to_owned())]).await?;
        let record = Record::new();
        let names = [("ana/phone", house.ana.clone()), ("ben/phone", house.ben.clone())];
        let mut devices = names.map(|(name, token)| Device::new(name, token, record.clone()));
        devices.iter_mut().for_each(|device| device.start(&house.server.door()));
        let full = house.nsqds.home(house.direct).await?;
        let elsewhere = placed_elsewhere(&house, full).await?;
        for device in &devices {
            record.write(|history| history.member(device.name(), house.direct));
            record.write(|history| history.member(device.name(), elsewhere));
        }
        house.until_fed(devices.len()).await?;
        Ok(Some(Self { house, devices, record, disks, full, elsewhere }))
    }

    /// Sends, which is answered once it is stored, and waits until both devices have it.
    async fn talk(&self, sender: &mut Sender, conversation: ConversationId, text: &str) -> Result<()> {
        sender.send(conversation, text).await?;
        self.record.until("both devices have it", PATIENCE, History::caught_up).await
    }

    /// How many messages the topic of a conversation has had on its nsqd.
    fn published(&self, nsqd: usize, conversation: ConversationId) -> Result<u64> {
        let topics = self.house.nsqds.topics(nsqd)?;
        let found = topics.iter().find(|found| found.topic == topic(conversation));
        found.map(|found| found.messages).context("the topic is there")
    }
}

/// A conversation of both users that is not placed on this nsqd.
async fn placed_elsewhere(house: &House, nsqd: usize) -> Result<ConversationId> {
    for number in 0..PLACED_MAX {
        let request = json!({"kind": "group", "title": format!("group {number}"), "members": ["ben"]});
        let made = post(house.server.address(), "/v1/conversations", &house.ana, &request).await?;
        let id = made["id"].as_str().context("a conversation has an id")?.parse()?;
        if house.nsqds.home(id).await? != nsqd {
            return Ok(id);
        }
    }
    anyhow::bail!("all are placed on one nsqd")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nsqd_with_a_full_disk_holds_nothing_up() -> Result<()> {
    let Some(mut scene) = Scene::set().await? else {
        println!("file systems may not be mounted here: a full one is left out");
        return Ok(());
    };
    let (direct, elsewhere, full) = (scene.house.direct, scene.elsewhere, scene.full);
    let mut ana = scene.devices[0].sender();
    for conversation in [direct, elsewhere] {
        scene.talk(&mut ana, conversation, "before").await?;
    }
    ensure!(scene.house.server.metric(REFUSED).await? == 0.0);

    let began = Instant::now();
    scene.disks[full].fill()?;
    let mut sends = 0;
    while scene.house.server.metric(REFUSED).await? == 0.0 {
        ensure!(sends < SENDS_MAX, "nsqd takes everything");
        sends += 1;
        scene.talk(&mut ana, direct, &format!("while it is full {sends}")).await?;
    }
    let (refusing, serving) = (scene.published(full, direct)?, scene.published(1 - full, elsewhere)?);
    for number in 0..20 {
        scene.talk(&mut ana, direct, &format!("it refuses {number}")).await?;
        scene.talk(&mut ana, elsewhere, &format!("it takes {number}")).await?;
    }
    ensure!(scene.published(full, direct)? == refusing, "that disk is full");
    ensure!(scene.published(1 - full, elsewhere)? == serving + 20, "another nsqd's conversation is harmed");
    // More than twenty refusals, one line: the next one comes after a minute.
    scene.house.until_logged(&["WARN", TOLD]).await?;
    let told = scene.house.server.log()?.lines().filter(|line| line.contains(TOLD)).count();
    let minutes = began.elapsed().as_secs() as usize / 60;
    ensure!(told <= 1 + minutes, "told {told} times in {minutes} minutes");
    ensure!(scene.house.server.is_running()? && scene.house.nsqds.nsqd(full).is_running());

    scene.disks[full].make_room()?;
    let deadline = Instant::now() + PATIENCE;
    while scene.published(full, direct)? == refusing {
        let talked = timeout_at(deadline, scene.talk(&mut ana, direct, "there is room again")).await;
        talked.context("nothing goes through this nsqd any more")??;
    }
    let before = scene.house.server.metric(PUBLISHED).await?;
    scene.talk(&mut ana, direct, "after").await?;
    scene.house.server.until_metric(PUBLISHED, PATIENCE, |published| published > before).await?;
    for device in &mut scene.devices {
        device.stop().await?;
    }
    let verdict = scene.record.read(History::check);
    ensure!(verdict.is_clean(), "{verdict}");
    Ok(())
}
