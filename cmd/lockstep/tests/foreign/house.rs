//! A server with a transport, two users, and their conversation, which is the one that `docs/nsq.md` shows.

use anyhow::{Context, Result, bail, ensure};
use lockstep_client::{Client, ClientConfig, Event, Events, FixedToken, MemoryStore};
use lockstep_nsq_servers::{NsqLookupd, NsqdOptions};
use lockstep_protocol::{ConversationId, DeviceId, Entry, Epoch, Offset, Seq, UserId};
use lockstep_testkit::{Nsqds, ServerOptions, ServerProcess, ask, post};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// The conversation of ana and ben.
pub(crate) fn direct() -> Result<ConversationId> {
    Ok(ConversationId::direct(&UserId::new("ana")?, &UserId::new("ben")?))
}

/// Its topic.
pub(crate) fn topic() -> Result<String> {
    Ok(format!("lockstep.{}", direct()?))
}

/// Two nsqds, and the nsqlookupd that they register with.
pub(crate) struct Nsq {
    pub(crate) nsqds: Nsqds,
    pub(crate) lookupd: NsqLookupd,
}

impl Nsq {
    pub(crate) fn start() -> Result<Self> {
        let lookupd = NsqLookupd::start()?;
        let options = NsqdOptions { lookupds: vec![lookupd.tcp_address()], ..NsqdOptions::default() };
        Ok(Self { nsqds: Nsqds::start_with(2, &options)?, lookupd })
    }

    /// The TCP addresses of the nsqds.
    pub(crate) fn tcp(&self) -> [String; 2] {
        [0, 1].map(|number| self.nsqds.nsqd(number).tcp_address().to_string())
    }

    /// Waits until nsqlookupd tells so many nsqds that have a topic.
    pub(crate) async fn until_found(&self, topic: &str, nsqds: usize) -> Result<()> {
        until(&format!("nsqlookupd knows {topic}"), async || {
            // A topic that it does not know is an error.
            let answer = self.lookupd.http("GET", &format!("/lookup?topic={topic}"), b"").unwrap_or_default();
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
            Ok(answer["producers"].as_array().is_some_and(|producers| producers.len() == nsqds))
        })
        .await
    }

    /// Waits until a channel has a consumer on so many nsqds.
    pub(crate) async fn until_consumed(&self, topic: &str, channel: &str, nsqds: usize) -> Result<()> {
        let what = format!("{channel} of {topic} is consumed");
        let is_it = |found: &lockstep_testkit::ChannelStats| found.topic == topic && found.channel == channel;
        let consumed = |channels: &Vec<_>| channels.iter().any(|found| is_it(found) && found.clients > 0);
        self.nsqds.until(&what, |all| all.iter().filter(|channels| consumed(channels)).count() == nsqds).await
    }
}

pub(crate) struct House {
    pub(crate) server: ServerProcess,
    pub(crate) nsq: Option<Nsq>,
    ana: String,
}

impl House {
    /// The transport is inside the server, which takes publishes as nsqd does.
    pub(crate) async fn embedded() -> Result<Self> {
        Self::start(ServerOptions { nsq_http: true, ..ServerOptions::default() }, None).await
    }

    /// The transport is NSQ.
    pub(crate) async fn on(nsq: Nsq, settings: &[(&'static str, &str)]) -> Result<Self> {
        let lookupds = format!("[\"{}\"]", nsq.lookupd.http_address());
        let mut settings: Vec<_> = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        settings.push(("nsq.lookupds", lookupds));
        Self::start(ServerOptions { settings, ..ServerOptions::on(&nsq.nsqds) }, Some(nsq)).await
    }

    async fn start(options: ServerOptions, nsq: Option<Nsq>) -> Result<Self> {
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let ana = server.token("ana", "phone", "main").await?;
        server.token("ben", "phone", "main").await?;
        let request = json!({"kind": "direct", "user": "ben"});
        let made = post(server.address(), "/v1/conversations", &ana, &request).await?;
        ensure!(made["id"] == direct()?.to_string(), "{made}");
        Ok(Self { server, nsq, ana })
    }

    pub(crate) fn nsq(&self) -> Result<&Nsq> {
        self.nsq.as_ref().context("the transport is inside the server")
    }

    /// Where services publish by HTTP into the conversation: at the nsqd that has its topic, or at the server.
    pub(crate) async fn publish_address(&self) -> Result<SocketAddr> {
        match &self.nsq {
            Some(nsq) => Ok(nsq.nsqds.nsqd(nsq.nsqds.home(direct()?).await?).http_address()),
            None => self.server.nsq_http(),
        }
    }

    /// A device of ben's, which gets what is new at once.
    pub(crate) async fn bens(&self, device: &str) -> Result<Phone> {
        let token = self.server.token("ben", device, "main").await?;
        let phone = Phone::start(&self.server.door(), token).await?;
        if let Some(nsq) = &self.nsq {
            nsq.until_consumed(&topic()?, &format!("{}#ephemeral", phone.device), 1).await?;
        }
        Ok(phone)
    }

    /// Sends as ana by REST and returns the seq.
    pub(crate) async fn send(&self, text: &str) -> Result<u64> {
        let path = format!("/v1/conversations/{}/messages", direct()?);
        let headers = [&*format!("Authorization: Bearer {}", self.ana), &*format!("Idempotency-Key: \"{text}\"")];
        let body = json!({"body": {"type": "text", "text": text}});
        let answer = ask(self.server.address(), "POST", &path, &headers, Some(&body)).await?;
        ensure!(answer.status == 201, "{text}: {answer:?}");
        answer.json()["seq"].as_u64().context("a seq")
    }
}

/// A device with the SDK.
pub(crate) struct Phone {
    pub(crate) client: Client,
    pub(crate) device: DeviceId,
    pub(crate) epoch: Epoch,
    events: Events,
}

impl Phone {
    async fn start(door: &str, token: String) -> Result<Self> {
        let store = Arc::new(MemoryStore::new());
        let (client, mut events) = Client::start(ClientConfig::new(door, Arc::new(FixedToken::new(token)), store));
        let mut identity = None;
        loop {
            match next(&mut events).await? {
                Event::Connected { device, epoch, .. } => identity = Some((device, epoch)),
                Event::CaughtUp => break,
                _ => {}
            }
        }
        let (device, epoch) = identity.context("it was never connected")?;
        Ok(Self { client, device, epoch, events })
    }

    /// The next entry of the conversation.
    pub(crate) async fn heard(&mut self) -> Result<Entry> {
        let direct = direct()?;
        loop {
            match next(&mut self.events).await? {
                Event::Entry(entry) if entry.conversation == direct => return Ok(entry),
                Event::Disconnected { .. } => bail!("the device was disconnected"),
                _ => {}
            }
        }
    }

    /// Waits until the server says that the user has read the conversation up to here.
    pub(crate) async fn until_read(&mut self, seq: Seq) -> Result<()> {
        let conversation = direct()?;
        loop {
            match next(&mut self.events).await? {
                Event::Offsets(offsets) if offsets.contains(&Offset { conversation, seq }) => return Ok(()),
                Event::Disconnected { .. } => bail!("the device was disconnected"),
                _ => {}
            }
        }
    }
}

async fn next(events: &mut Events) -> Result<Event> {
    let next = timeout(PATIENCE, events.next()).await;
    next.context("the device hears nothing")?.context("the device has stopped")
}

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let mut ticks = interval(LOOK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            ticks.tick().await;
            if is_so().await? {
                return Ok(());
            }
        }
    };
    timeout(PATIENCE, looking).await.with_context(|| format!("waited in vain until {what}"))?
}
