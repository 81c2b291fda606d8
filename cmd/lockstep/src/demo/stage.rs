//! The demo's stage: the server, the devices of Ana, Ben and Cid, and what has been said so far.

use super::device::Device;
use super::linked::Linked;
use super::log::Log;
use super::nsqds::Nsqds;
use super::server::Server;
use crate::admin;
use anyhow::{Context, Result};
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
    pub(super) cid_phone: Device,
    /// The direct conversation of Ana and Ben, whose id both compute alike.
    pub(super) direct: Log,
    /// The group, once it is made.
    pub(super) group: Option<Log>,
    /// The messages of the group that were edited, reacted to and recalled.
    pub(super) marked: [Seq; 3],
    /// The group of the pictures, once it is made.
    pub(super) album: Option<Log>,
    /// The device that Ana links.
    pub(super) tablet: Option<Linked>,
    // Gone last.
    _folder: TempDir,
}

impl Stage {
    /// Starts a server, on nsqds of its own if that is wanted, makes three users with four devices, and connects them.
    pub(super) async fn set(on_nsq: bool) -> Result<Self> {
        let nsqds = if on_nsq { Some(Nsqds::start().await?) } else { None };
        let folder = tempfile::tempdir().context("no folder for the server")?;
        let data = folder.path().join("data");
        let server = Server::start(&data, nsqds.as_ref().map(Nsqds::addresses).unwrap_or_default()).await?;
        println!("A server listens on {}; its data folder is new.", server.address());
        let mut devices = Vec::new();
        for (name, kind) in [("ana/phone", "main"), ("ana/laptop", "sub"), ("ben/phone", "main"), ("cid/phone", "main")]
        {
            let (user, device_name) = name.split_once('/').context("a device's name is user/device")?;
            let token = admin::user_token(&data, user, device_name, kind).await?;
            let mut device = Device::new(name, server.address(), token, kind == "main");
            device.come().await?;
            println!("  {name:<10} is connected.");
            devices.push(device);
        }
        let [ana_phone, ana_laptop, ben_phone, cid_phone] =
            devices.try_into().ok().context("there are four devices")?;
        let direct = Log::new(ConversationId::direct(&UserId::new("ana")?, &UserId::new("ben")?), Seq::ZERO);
        let (group, album, tablet) = (None, None, None);
        Ok(Self {
            server,
            nsqds,
            ana_phone,
            ana_laptop,
            ben_phone,
            cid_phone,
            direct,
            group,
            marked: [Seq::ZERO; 3],
            album,
            tablet,
            _folder: folder,
        })
    }

    /// The nsqds of a demo that has them.
    pub(super) fn nsqds(&mut self) -> Result<&mut Nsqds> {
        self.nsqds.as_mut().context("the demo has no nsqds")
    }

    /// The device of this name.
    pub(super) fn device(&self, name: &str) -> Result<&Device> {
        let all = [&self.ana_phone, &self.ana_laptop, &self.ben_phone, &self.cid_phone];
        all.into_iter().find(|device| device.name == name).with_context(|| format!("there is no device {name}"))
    }

    /// Where the server takes REST requests.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The devices of Ana and Ben.
    pub(super) fn devices(&self) -> [&Device; 3] {
        [&self.ana_phone, &self.ana_laptop, &self.ben_phone]
    }

    /// Where Ana and Ben write to.
    pub(super) fn target(&self) -> Target {
        Target::Conversation(self.direct.id)
    }

    /// The last place of the direct conversation that the server has told anybody.
    pub(super) fn head(&self) -> Seq {
        self.direct.head()
    }

    /// Writes down an answer and shows it.
    pub(super) fn note(&mut self, who: &str, text: &str, sent: Sent) {
        self.direct.note(who, text, sent);
    }

    /// Checks the direct conversation: see [`Log::check`].
    pub(super) async fn check(&self, devices: &[&Device]) -> Result<()> {
        self.direct.check(devices).await
    }

    /// Sends everybody home and stops the server.
    pub(super) async fn clear(mut self) -> Result<ExitStatus> {
        for device in [&mut self.ana_phone, &mut self.ana_laptop, &mut self.ben_phone, &mut self.cid_phone] {
            device.leave().await?;
        }
        self.server.stop().await
    }
}
