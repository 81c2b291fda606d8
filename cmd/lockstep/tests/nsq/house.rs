//! A server on nsqds, two users and their conversation.

use anyhow::{Context, Result, bail, ensure};
use lockstep_protocol::ConversationId;
use lockstep_testkit::{ChannelStats, Nsqds, ServerOptions, ServerProcess, Wire, ask, ask_raw, post};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Far longer than anything here takes: an nsqd that was away is tried again after at most 15 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_PERIOD: Duration = Duration::from_millis(20);

pub(crate) struct House {
    pub(crate) nsqds: Nsqds,
    pub(crate) server: ServerProcess,
    pub(crate) ana: String,
    pub(crate) ben: String,
    pub(crate) direct: ConversationId,
}

impl House {
    pub(crate) async fn start(settings: Vec<(&'static str, String)>) -> Result<Self> {
        Self::start_on(Nsqds::start(2)?, 2, settings).await
    }

    /// A server that is told of the first `told` of these nsqds.
    pub(crate) async fn start_on(nsqds: Nsqds, told: usize, settings: Vec<(&'static str, String)>) -> Result<Self> {
        let mut options = ServerOptions::on(&nsqds);
        options.nsqds.truncate(told);
        options.settings.extend(settings);
        let server = ServerProcess::start_with(env!("CARGO_BIN_EXE_lockstep"), options).await?;
        let (ana, ben) = (server.token("ana", "phone", "main").await?, server.token("ben", "phone", "main").await?);
        let request = json!({"kind": "direct", "user": "ben"});
        let made = post(server.address(), "/v1/conversations", &ana, &request).await?;
        let direct = made["id"].as_str().context("a conversation has an id")?.parse()?;
        Ok(Self { nsqds, server, ana, ben, direct })
    }

    /// Ben's device, fed by nsqd.
    pub(crate) async fn ben_live(&self) -> Result<Wire> {
        let wire = Wire::live(&self.server.door(), &self.ben).await?;
        self.until_fed(1).await?;
        Ok(wire)
    }

    /// Waits until so many devices have a consumer in the direct conversation.
    pub(crate) async fn until_fed(&self, devices: usize) -> Result<()> {
        let what = format!("{devices} devices are fed");
        self.nsqds.until(&what, |all| self.device_channels(all).filter(|one| one.clients > 0).count() == devices).await
    }

    fn device_channels<'a>(&self, all: &'a [Vec<ChannelStats>]) -> impl Iterator<Item = &'a ChannelStats> {
        let topic = topic(self.direct);
        all.iter().flatten().filter(move |one| one.topic == topic && one.channel != "_seq")
    }

    /// Sends as ana by REST and returns the seq.
    pub(crate) async fn send(&self, text: &str) -> Result<u64> {
        self.send_as(&self.ana, self.direct, text).await
    }

    /// Sends with a token, of a device or a service, by REST and returns the seq. The text is the message's name, too.
    pub(crate) async fn send_as(&self, token: &str, conversation: ConversationId, text: &str) -> Result<u64> {
        let path = format!("/v1/conversations/{conversation}/messages");
        let headers = [&*format!("Authorization: Bearer {token}"), &*format!("Idempotency-Key: \"{text}\"")];
        let body = json!({"body": {"type": "text", "text": text}});
        let answer = ask(self.server.address(), "POST", &path, &headers, Some(&body)).await?;
        ensure!(answer.status == 201, "{text}: {answer:?}");
        answer.json()["seq"].as_u64().context("a seq")
    }

    /// Posts a raw body to the nsqd that has the direct conversation's topic, as a service would.
    pub(crate) async fn publish(&self, body: &[u8]) -> Result<()> {
        self.publish_into(self.direct, body).await
    }

    /// Posts a raw body into the topic of a conversation.
    pub(crate) async fn publish_into(&self, conversation: ConversationId, body: &[u8]) -> Result<()> {
        let http = self.nsqds.nsqd(self.nsqds.home(conversation).await?).http_address();
        let answer = ask_raw(http, "POST", &format!("/pub?topic={}", topic(conversation)), &[], body).await?;
        ensure!((answer.status, &*answer.text) == (200, "OK"), "{answer:?}");
        Ok(())
    }

    /// The next entry of the direct conversation that reaches a device.
    pub(crate) async fn heard(&self, wire: &mut Wire) -> Result<Value> {
        loop {
            let frame = wire.until("entry").await?;
            if frame["conversation"] == self.direct.to_string() {
                return Ok(frame);
            }
        }
    }

    /// Waits until `/readyz` answers with 200 and this text.
    pub(crate) async fn until_ready(&self, wanted: &str) -> Result<()> {
        let mut ticks = tokio::time::interval(LOOK_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let last = std::sync::Mutex::new(None);
        let looking = async {
            loop {
                ticks.tick().await;
                let answer = ask(self.server.address(), "GET", "/readyz", &[], None).await?;
                if (answer.status, &*answer.text) == (200, wanted) {
                    return Ok(());
                }
                *last.lock().expect("nobody panicked") = Some(answer);
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(found) => found,
            Err(_) => bail!("/readyz does not become {wanted:?}: {last:?}"),
        }
    }

    /// Waits until a line of the server's log has all of these words.
    pub(crate) async fn until_logged(&self, words: &[&str]) -> Result<()> {
        let mut ticks = tokio::time::interval(LOOK_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                ticks.tick().await;
                let log = self.server.log()?;
                if log.lines().any(|line| words.iter().all(|word| line.contains(word))) {
                    return Ok(());
                }
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(found) => found,
            Err(_) => bail!("the log does not say {words:?}\n{}", self.server.log_tail()),
        }
    }

    /// Waits until all that was published has been taken in.
    pub(crate) async fn until_taken_in(&self) -> Result<()> {
        let left = |all: &[Vec<ChannelStats>]| {
            all.iter().flatten().filter(|one| one.channel == "_seq").map(|one| one.unfinished).sum::<u64>()
        };
        self.nsqds.until("all raw bodies are finished", |all| left(all) == 0).await
    }
}

/// The topic of a conversation.
pub(crate) fn topic(conversation: ConversationId) -> String {
    format!("lockstep.{conversation}")
}
