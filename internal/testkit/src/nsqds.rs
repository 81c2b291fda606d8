//! Real nsqds, and what can be seen of them.

use anyhow::{Context, Result, bail};
use lockstep_nsq_servers::{NsqLookupd, Nsqd, NsqdOptions};
use lockstep_protocol::ConversationId;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often statistics are read that are waited for.
const LOOK_PERIOD: Duration = Duration::from_millis(20);
/// How long that may take: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(60);
/// An nsqd gives what a killed server had in flight to the next one after this.
const MSG_TIMEOUT: Duration = Duration::from_secs(2);

/// Some nsqds as an operator would run them: node ids that differ, and few messages in memory.
#[derive(Debug)]
pub struct Nsqds {
    nsqds: Vec<Nsqd>,
    lookupd: Option<NsqLookupd>,
}

/// A channel in an nsqd's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelStats {
    /// The topic.
    pub topic: String,
    /// The channel.
    pub channel: String,
    /// Its consumers.
    pub clients: u64,
    /// Messages that are not finished: waiting in the topic or in the channel, in flight, or put off.
    pub unfinished: u64,
}

/// A topic in an nsqd's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicStats {
    /// The topic.
    pub topic: String,
    /// Messages that wait in the topic or in a channel of it, in flight and put off ones included.
    pub unfinished: u64,
    /// Messages that were ever published into it, since this nsqd was started.
    pub messages: u64,
}

impl Nsqds {
    /// Starts so many. They may have to be built first.
    ///
    /// # Errors
    ///
    /// If they cannot be had, or do not start.
    pub fn start(count: u16) -> Result<Self> {
        Self::start_with(count, &NsqdOptions::default())
    }

    /// As [`start`](Self::start), with an nsqlookupd of their own that they are registered at.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_registered(count: u16) -> Result<Self> {
        let lookupd = NsqLookupd::start()?;
        let options = NsqdOptions { lookupds: vec![lookupd.tcp_address()], ..NsqdOptions::default() };
        let started = Self { lookupd: Some(lookupd), ..Self::start_with(count, &options)? };
        started.nsqds.iter().try_for_each(|nsqd| nsqd.wait_for_log("peer info"))?;
        Ok(started)
    }

    /// As [`start`](Self::start), with nsqlookupds to register with, say.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(count: u16, options: &NsqdOptions) -> Result<Self> {
        Self::start_each((0..count).map(|_| options.clone()))
    }

    /// Starts one for each of these. The node id and the message timeout are set here.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_each(options: impl IntoIterator<Item = NsqdOptions>) -> Result<Self> {
        let nsqd = |(node_id, options): (u16, NsqdOptions)| {
            Nsqd::start(&NsqdOptions { node_id: Some(node_id), msg_timeout: Some(MSG_TIMEOUT), ..options })
        };
        let nsqds = (1..).zip(options).map(nsqd).collect::<Result<_>>()?;
        Ok(Self { nsqds, lookupd: None })
    }

    /// The HTTP address of the nsqlookupd, if there is one.
    pub fn lookupd(&self) -> Option<SocketAddr> {
        self.lookupd.as_ref().map(|lookupd| lookupd.http_address())
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.nsqds.len()
    }

    /// One of them. Its number is below their [count](Self::count).
    pub fn nsqd(&self, number: usize) -> &Nsqd {
        &self.nsqds[number]
    }

    /// One of them, to be stopped and started.
    pub fn nsqd_mut(&mut self, number: usize) -> &mut Nsqd {
        &mut self.nsqds[number]
    }

    /// TCP and HTTP address of each.
    pub fn addresses(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.nsqds.iter().map(|nsqd| (nsqd.tcp_address(), nsqd.http_address())).collect()
    }

    /// All channels of an nsqd.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn channels(&self, number: usize) -> Result<Vec<ChannelStats>> {
        let mut found = Vec::new();
        for topic in self.stats(number)? {
            for channel in list(&topic["channels"]) {
                found.push(ChannelStats {
                    topic: text(&topic["topic_name"]),
                    channel: text(&channel["channel_name"]),
                    clients: count(channel, "client_count")?,
                    unfinished: count(&topic, "depth")? + unfinished(channel)?,
                });
            }
        }
        Ok(found)
    }

    /// All topics of an nsqd, those without channels too.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn topics(&self, number: usize) -> Result<Vec<TopicStats>> {
        let mut found = Vec::new();
        for topic in self.stats(number)? {
            let mut waiting = count(&topic, "depth")?;
            for channel in list(&topic["channels"]) {
                waiting += unfinished(channel)?;
            }
            let messages = count(&topic, "message_count")?;
            found.push(TopicStats { topic: text(&topic["topic_name"]), unfinished: waiting, messages });
        }
        Ok(found)
    }

    fn stats(&self, number: usize) -> Result<Vec<Value>> {
        let stats = self.nsqds[number].http("GET", "/stats?format=json", b"")?;
        let stats: Value = serde_json::from_slice(&stats).context("nsqd's statistics are not JSON")?;
        Ok(list(&stats["topics"]).to_vec())
    }

    /// The nsqd that a conversation's topic is placed on: the one where the server consumes `_seq`. Waits for that.
    ///
    /// # Errors
    ///
    /// If it takes too long, or an nsqd does not answer.
    pub async fn home(&self, conversation: ConversationId) -> Result<usize> {
        let topic = topic(conversation);
        let consumed = |one: &ChannelStats| one.topic == topic && one.channel == "_seq" && one.clients > 0;
        let mut home = None;
        let look = |all: &[Vec<ChannelStats>]| {
            home = all.iter().position(|channels| channels.iter().any(consumed));
            home.is_some()
        };
        self.until(&format!("somebody consumes _seq of {topic}"), look).await?;
        home.context("it has just been found")
    }

    /// Waits until the nsqlookupd lists a channel of a conversation's topic, which nsqds tell it by themselves.
    ///
    /// # Errors
    ///
    /// If it takes too long, or there is none that answers.
    pub async fn until_listed(&self, conversation: ConversationId, channel: &str) -> Result<()> {
        let lookupd = self.lookupd.as_ref().context("there is no nsqlookupd")?;
        let target = format!("/lookup?topic={}", topic(conversation));
        let is_listed = || {
            let found = lookupd.http("GET", &target, b"").unwrap_or_default();
            let found: Value = serde_json::from_slice(&found).unwrap_or_default();
            Ok(list(&found["channels"]).iter().any(|listed| listed == channel))
        };
        if looking(is_listed).await? {
            return Ok(());
        }
        bail!("waited {} s in vain until {channel} of {} is listed", PATIENCE.as_secs(), topic(conversation))
    }

    /// Waits until the channels of all nsqds are so.
    ///
    /// # Errors
    ///
    /// If it takes too long, or an nsqd does not answer.
    pub async fn until(&self, what: &str, mut wanted: impl FnMut(&[Vec<ChannelStats>]) -> bool) -> Result<()> {
        let channels = || (0..self.count()).map(|number| self.channels(number)).collect::<Result<Vec<_>>>();
        if looking(|| Ok(wanted(&channels()?))).await? {
            return Ok(());
        }
        bail!("waited {} s in vain until {what}: {:?}", PATIENCE.as_secs(), channels())
    }
}

/// Looks again and again until it is so; false if it takes too long.
async fn looking(mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
    let mut ticks = tokio::time::interval(LOOK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            ticks.tick().await;
            if is_so()? {
                return Ok(true);
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or(Ok(false))
}

/// The topic of a conversation, as a service names it.
pub(crate) fn topic(conversation: ConversationId) -> String {
    format!("lockstep.{conversation}")
}

fn unfinished(channel: &Value) -> Result<u64> {
    Ok(count(channel, "depth")? + count(channel, "in_flight_count")? + count(channel, "deferred_count")?)
}

fn count(of: &Value, name: &str) -> Result<u64> {
    of[name].as_u64().with_context(|| format!("no {name} in {of}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
