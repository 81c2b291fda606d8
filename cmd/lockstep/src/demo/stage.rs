//! The demo's stage: the server, Ana's and Ben's devices, and what has been said so far.

use super::device::Device;
use super::nsqds::Nsqds;
use super::server::Server;
use crate::admin;
use anyhow::{Context, Result, ensure};
use lockstep_client::Sent;
use lockstep_protocol::{ConversationId, Seq, Target, UserId};
use std::process::ExitStatus;
use tempfile::TempDir;

/// Everything that the steps share.
pub(super) struct Stage {
    pub(super) server: Server,
    /// What carries live entries, if it is not the server itself.
    nsqds: Option<Nsqds>,
    pub(super) ana_phone: Device,
    pub(super) ana_laptop: Device,
    pub(super) ben_phone: Device,
    /// The direct conversation of the two, which both compute alike.
    pub(super) conversation: ConversationId,
    /// Everything that the server said is on its disk.
    pub(super) acknowledged: Vec<Sent>,
    // Gone last.
    _folder: TempDir,
}

impl Stage {
    /// Starts a server, on nsqds of its own if that is wanted, makes two users with three devices, and connects them.
    pub(super) async fn set(on_nsq: bool) -> Result<Self> {
        let nsqds = if on_nsq { Some(Nsqds::start().await?) } else { None };
        let folder = tempfile::tempdir().context("no folder for the server")?;
        let data = folder.path().join("data");
        let server = Server::start(&data, nsqds.as_ref().map(Nsqds::addresses).unwrap_or_default()).await?;
        println!("A server listens on {}; its data folder is new.", server.address());
        let url = format!("ws://{}/v1/ws", server.address());
        let mut devices = Vec::new();
        for (name, kind) in [("ana/phone", "main"), ("ana/laptop", "sub"), ("ben/phone", "main")] {
            let (user, device_name) = name.split_once('/').context("a device's name is user/device")?;
            let token = admin::user_token(&data, user, device_name, kind).await?;
            let mut device = Device::new(name, &url, token);
            device.come().await?;
            println!("  {name:<10} is connected.");
            devices.push(device);
        }
        let [ana_phone, ana_laptop, ben_phone] = devices.try_into().ok().context("there are three devices")?;
        let conversation = ConversationId::direct(&UserId::new("ana")?, &UserId::new("ben")?);
        let acknowledged = Vec::new();
        Ok(Self { server, nsqds, ana_phone, ana_laptop, ben_phone, conversation, acknowledged, _folder: folder })
    }

    /// The nsqds of a demo that has them.
    pub(super) fn nsqds(&mut self) -> Result<&mut Nsqds> {
        self.nsqds.as_mut().context("the demo has no nsqds")
    }

    /// All devices.
    pub(super) fn devices(&self) -> [&Device; 3] {
        [&self.ana_phone, &self.ana_laptop, &self.ben_phone]
    }

    /// Where both write to.
    pub(super) fn target(&self) -> Target {
        Target::Conversation(self.conversation)
    }

    /// The last place that the server has told anybody.
    pub(super) fn head(&self) -> Seq {
        self.acknowledged.iter().map(|sent| sent.seq).max().unwrap_or_default()
    }

    /// Writes down an answer and shows it.
    pub(super) fn note(&mut self, who: &str, text: &str, sent: Sent) {
        println!("  {who:<10} sent {text:?}: on disk as seq {}", sent.seq);
        self.acknowledged.push(sent);
    }

    /// Waits until these devices have everything, and checks that each got every entry once and in order, that all have
    /// the same, and that every acknowledged message stands where its answer said.
    pub(super) async fn check(&self, devices: &[&Device]) -> Result<()> {
        let head = self.head();
        for device in devices {
            device.wait_for(self.conversation, head).await?;
        }
        let reference = devices[0].entries(self.conversation);
        for device in devices {
            let entries = device.entries(self.conversation);
            let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.get()).collect();
            let whole: Vec<u64> = (1..=seqs.len() as u64).collect();
            ensure!(seqs == whole, "{} got {seqs:?}: not each once and in order", device.name);
            ensure!(entries == reference, "{} and {} have different entries", device.name, devices[0].name);
            for sent in &self.acknowledged {
                let found = entries.get(sent.seq.previous().get() as usize);
                let there = found.is_some_and(|entry| {
                    entry.id == sent.id && entry.client_msg_id.as_ref() == Some(&sent.client_msg_id)
                });
                ensure!(there, "{}: seq {} is not what was acknowledged as {}", device.name, sent.seq, sent.id);
            }
            println!("  {:<10} has {}", device.name, stretch(&seqs));
        }
        Ok(())
    }

    /// Sends everybody home and stops the server.
    pub(super) async fn clear(mut self) -> Result<ExitStatus> {
        for device in [&mut self.ana_phone, &mut self.ana_laptop, &mut self.ben_phone] {
            device.leave().await?;
        }
        self.server.stop().await
    }
}

/// Seqs for people: all of a few, the ends of many.
fn stretch(seqs: &[u64]) -> String {
    match seqs {
        [first, .., last] if seqs.len() > 12 => format!("seq {first} to {last}, each once, in order"),
        _ => format!("seq {}, each once, in order", seqs.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")),
    }
}
