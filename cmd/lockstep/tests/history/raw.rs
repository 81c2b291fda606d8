//! A service that publishes raw bodies to nsqds, and what became of them.
//!
//! What nsqd has in memory when it is killed is lost, and nobody promised otherwise. Everything else that it took has to
//! reach the devices, once.

use crate::crowd::Crowd;
use crate::restless;
use crate::run::PATIENCE;
use anyhow::{Context, Result, ensure};
use lockstep_protocol::{Body, ConversationId};
use lockstep_testkit::{Dice, History, Record, ask_raw};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One raw body is published after so many messages of devices.
const MESSAGES_PER_RAW: usize = 10;

/// How often each nsqd was killed. Counted once it has returned: what is published from then on is not lost by that.
pub(crate) struct Crashes(Vec<AtomicUsize>);

impl Crashes {
    pub(crate) fn none(nsqds: usize) -> Self {
        Self((0..nsqds).map(|_| AtomicUsize::new(0)).collect())
    }

    pub(crate) fn add(&self, nsqd: usize) {
        self.0[nsqd].fetch_add(1, Ordering::SeqCst);
    }

    fn of(&self, nsqd: usize) -> usize {
        self.0[nsqd].load(Ordering::SeqCst)
    }

    pub(crate) fn all(&self) -> usize {
        (0..self.0.len()).map(|nsqd| self.of(nsqd)).sum()
    }
}

/// Where a service publishes into which conversation.
pub(crate) struct Service {
    /// Each conversation with the number and the HTTP address of the nsqd that has its topic.
    topics: Vec<(ConversationId, usize, SocketAddr)>,
    record: Record,
}

/// A raw body that nsqd said it has.
struct Accepted {
    text: String,
    nsqd: usize,
    /// How often its nsqd had been killed before it was published.
    crashes: usize,
}

/// All raw bodies that an nsqd took.
pub(crate) struct Published(Vec<Accepted>);

/// What became of them.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) accepted: usize,
    /// Their nsqd was killed afterwards.
    pub(crate) lost_by_nsqd: usize,
}

impl Service {
    /// Finds the nsqds of all conversations.
    pub(crate) async fn find(crowd: &Crowd) -> Result<Self> {
        let mut topics = Vec::new();
        if let Some(nsqds) = &crowd.nsqds {
            for conversation in crowd.conversations() {
                let nsqd = nsqds.home(conversation).await?;
                topics.push((conversation, nsqd, nsqds.nsqd(nsqd).http_address()));
            }
        }
        Ok(Self { topics, record: crowd.record.clone() })
    }

    /// Publishes again and again while the devices send so many messages. Each is posted once, whatever the answer.
    pub(crate) async fn publish(self, messages: usize, mut dice: Dice, crashes: &Crashes) -> Result<Published> {
        let mut accepted = Vec::new();
        let count = if self.topics.is_empty() { 0 } else { messages / MESSAGES_PER_RAW };
        for number in 0..count {
            let (after, what) = (number * MESSAGES_PER_RAW, format!("a service may publish raw body {number}"));
            self.record.until(&what, PATIENCE, |history| history.acknowledged_count() >= after).await?;
            let (conversation, nsqd, http) = *dice.pick(&self.topics);
            let (text, before) = (format!("raw body {number}"), crashes.of(nsqd));
            let path = format!("/pub?topic=lockstep.{conversation}");
            // No answer: its nsqd is being killed.
            if ask_raw(http, "POST", &path, &[], text.as_bytes()).await.is_ok_and(|answer| answer.status == 200) {
                accepted.push(Accepted { text, nsqd, crashes: before });
            }
        }
        Ok(Published(accepted))
    }
}

impl Published {
    /// Looks for them among what devices got.
    pub(crate) fn judge(&self, history: &History, crashes: &Crashes) -> Result<Outcome> {
        let got = history.raw_bodies();
        let mut lost_by_nsqd = 0;
        for Accepted { text, nsqd, crashes: before } in &self.0 {
            if !got.contains(Body::text(text).as_json()) {
                let excused = crashes.of(*nsqd) > *before;
                ensure!(excused, "{text:?} is lost, although nsqd {nsqd}, which took it, was not killed since");
                lost_by_nsqd += 1;
            }
        }
        Ok(Outcome { accepted: self.0.len(), lost_by_nsqd })
    }
}

/// Waits until every nsqd feeds the devices again and no raw body waits in one.
pub(crate) async fn settle(crowd: &Crowd) -> Result<()> {
    let Some(nsqds) = &crowd.nsqds else { return Ok(()) };
    let followed = (crowd.followed() + restless::followed(crowd).await?) as f64;
    // Reconnecting takes up to 15 s after several crashes.
    let patience = 2 * PATIENCE;
    crowd.server.until_metric("lockstep_nsq_consumers_open", patience, |open| open >= followed).await?;
    let unfinished = |all: &[Vec<_>]| {
        let raw = all.iter().flatten().filter(|one: &&lockstep_testkit::ChannelStats| one.channel == "_seq");
        raw.map(|one| one.unfinished).sum::<u64>()
    };
    nsqds.until("all raw bodies are taken in", |all| unfinished(all) == 0).await.context("what services published")
}
