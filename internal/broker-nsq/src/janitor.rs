//! The janitor: finds what others left on nsqds, and deletes it.
//!
//! Channels of devices that are gone: an nsqd was down while they were deleted and has brought them back from its disk, or
//! has got the topic and made all channels that an nsqlookupd still knew. Channels of devices whose users are not in the
//! conversation any more: the device was away when its user left. And topics that stand empty: nsqd keeps them, and
//! the memory of their channels, for ever.
//!
//! It touches nothing but topics of conversations, and in these never a channel that is not a device's. It may run on every
//! node at once: what one has deleted is not there for the other.

use crate::deletion::Deletion;
use crate::fleet::{Fleet, REQUESTS_AT_ONCE, Reach, device_of};
use crate::idle_topics::IdleTopics;
use crate::topic_deletion::delete_topic;
use futures_util::{StreamExt, TryStreamExt, stream};
use lockstep_model::{ConversationId, DeviceId};
use lockstep_nsq_client::http::{HttpError, LookupdHttp, NsqdHttp, Stats, StatsQuery};
use lockstep_nsq_client::{Address, TopicName};
use lockstep_ports::{Directory, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Topics of which nsqlookupds are asked for their channels in one pass, one request each. The next pass goes on there.
const LOOKUPS_MAX: usize = 10_000;
/// Devices whose channels are deleted in one pass. The next pass finds the others again.
const DEVICES_MAX: usize = 1_000;
/// Channels without a consumer that the directory is asked about in one pass. The next pass goes on there.
const PLACES_MAX: usize = 10_000;
/// Topics that are deleted in one pass. The others are still ripe in the next.
const TOPICS_MAX: usize = 1_000;

/// What the janitor is told.
pub struct JanitorSettings {
    /// How long a topic stands empty before it is deleted.
    pub idle: Duration,
    /// Conversations whose topics are kept.
    pub pinned: HashSet<ConversationId>,
    /// Whether this node uses the topic of a conversation: such a one is kept.
    pub in_use: Arc<dyn Fn(ConversationId) -> bool + Send + Sync>,
}

impl JanitorSettings {
    /// Topics go after an hour, unless somebody here uses them.
    pub fn new(in_use: impl Fn(ConversationId) -> bool + Send + Sync + 'static) -> Self {
        Self { idle: Duration::from_secs(60 * 60), pinned: HashSet::new(), in_use: Arc::new(in_use) }
    }
}

/// Goes through nsqds and nsqlookupds from time to time.
pub struct Janitor {
    fleet: Fleet,
    directory: Arc<dyn Directory>,
    settings: JanitorSettings,
    idle: IdleTopics,
    /// The last topic that nsqlookupds were asked for; absent if they were asked for all.
    looked_up_to: Option<TopicName>,
    /// The last channel whose device's user was looked at; absent if all were.
    asked_up_to: Option<(DeviceId, ConversationId)>,
    stopping: CancellationToken,
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Channels of devices that are gone, or whose users have left the conversation, deleted on nsqds.
    pub channels_deleted: usize,
    /// Channels of devices that are gone which were seen and may be left, by device.
    pub pending: BTreeMap<DeviceId, usize>,
    /// Topics deleted, counted once for each nsqd.
    pub topics_deleted: usize,
    /// The HTTP addresses of nsqds and nsqlookupds that answered throughout.
    pub reached: BTreeSet<Address>,
    /// Of those that did not.
    pub missed: BTreeSet<Address>,
    /// Why devices could not be looked up: then channels were left alone.
    pub failed: Option<StoreError>,
    /// Whether nsqlookupds were asked for all of their topics.
    looked_up_all: bool,
}

impl Swept {
    /// Whether this pass has finished what an earlier deletion left: it reached those servers, and nothing of the device
    /// is left. For a device that was removed before the pass began.
    pub fn settles(&self, device: DeviceId, deletion: &Deletion) -> bool {
        let Deletion::Pending { nsqds, lookupds } = deletion else { return true };
        let reached = nsqds.iter().chain(lookupds).all(|address| self.reached.contains(address));
        let looked_up = lookupds.is_empty() || self.looked_up_all;
        reached && looked_up && self.failed.is_none() && !self.pending.contains_key(&device)
    }
}

/// Where devices have channels and no business any more.
type Strays = BTreeMap<DeviceId, BTreeSet<TopicName>>;

/// The channels of one device.
#[derive(Default)]
struct Seen {
    topics: BTreeSet<TopicName>,
    channels: usize,
    /// Those of the topics where somebody consumes.
    consumed: BTreeSet<TopicName>,
}

impl Janitor {
    /// A janitor that has seen nothing yet.
    pub fn new(fleet: Fleet, directory: Arc<dyn Directory>, settings: JanitorSettings) -> Self {
        let (idle, stopping) = (IdleTopics::default(), CancellationToken::new());
        Self { fleet, directory, settings, idle, looked_up_to: None, asked_up_to: None, stopping }
    }

    /// Makes a pass every `period`, until it is told to stop. A pass under way then ends after what it is just deleting.
    pub async fn run(mut self, period: Duration, stopping: CancellationToken) {
        self.stopping = stopping.clone();
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            let swept = self.sweep(Instant::now()).await;
            let (channels, topics) = (swept.channels_deleted, swept.topics_deleted);
            if channels + topics > 0 {
                tracing::info!(channels, topics, "the janitor deleted what was left on nsqds");
            }
        }
    }

    /// Makes one pass. Servers that do not answer are skipped; the next pass sees to them. `now` never falls.
    pub async fn sweep(&mut self, now: Instant) -> Swept {
        let mut swept = Swept::default();
        let mut reach = self.fleet.reach().await;
        let stats = reach.nsqds.ask("stats", |nsqd| async move { nsqd.stats(&StatsQuery::default()).await }).await;
        // What nsqds have is read before the directory: a device is there before its channels are.
        let mut seen = self.channels(&stats);
        swept.looked_up_all = self.look_up(&mut reach, &mut seen).await;
        match self.directory.gone(seen.keys().copied().collect()).await {
            Ok(gone) => self.delete_channels(&mut reach, &gone, &seen, &mut swept).await,
            Err(error) => {
                tracing::warn!(%error, "the janitor leaves channels alone: it cannot ask for their devices");
                swept.failed = Some(error);
            }
        }
        match self.strays(&seen).await {
            Ok(strays) => self.delete_strays(&mut reach, strays, &mut swept).await,
            Err(error) => {
                tracing::warn!(%error, "the janitor leaves channels alone: it cannot ask for members");
                swept.failed = Some(error);
            }
        }
        self.delete_topics(&mut reach, now, &stats, &mut swept).await;
        let missed = reach.nsqds.missed().iter().chain(reach.lookupds.missed());
        swept.missed = missed.cloned().collect();
        swept.reached = reach.nsqds.reached().chain(reach.lookupds.reached()).cloned().collect();
        count(&reach, &swept);
        swept
    }

    fn is_ours(&self, topic: &TopicName) -> bool {
        self.fleet.topic_prefix().conversation(topic.as_str()).is_some()
    }

    /// The devices' channels on nsqds.
    fn channels(&self, stats: &[(NsqdHttp, Stats)]) -> BTreeMap<DeviceId, Seen> {
        let mut seen: BTreeMap<DeviceId, Seen> = BTreeMap::new();
        let topics = stats.iter().flat_map(|(_, stats)| &stats.topics);
        for topic in topics.filter(|topic| self.is_ours(&topic.topic_name)) {
            for channel in &topic.channels {
                let Some(device) = device_of(channel.channel_name.as_str()) else { continue };
                let seen = seen.entry(device).or_default();
                seen.topics.insert(topic.topic_name.clone());
                seen.channels += 1;
                if channel.client_count > 0 {
                    seen.consumed.insert(topic.topic_name.clone());
                }
            }
        }
        seen
    }

    /// Adds the devices' channels that nsqlookupds know; some may be on no nsqd yet. Says whether it asked for all topics.
    async fn look_up(&mut self, reach: &mut Reach, seen: &mut BTreeMap<DeviceId, Seen>) -> bool {
        let topics = reach.listed_topics(self.fleet.topic_prefix()).await;
        let resumed = self.looked_up_to.take();
        let is_whole = resumed.is_none() && topics.len() <= LOOKUPS_MAX;
        let after = resumed.map_or(Bound::Unbounded, Bound::Excluded);
        let mut part: Vec<TopicName> = topics.range((after, Bound::Unbounded)).take(LOOKUPS_MAX + 1).cloned().collect();
        if part.len() > LOOKUPS_MAX {
            part.truncate(LOOKUPS_MAX);
            self.looked_up_to = part.last().cloned();
        }
        let look_up = |lookupd: LookupdHttp| listed_devices(lookupd, part.clone());
        for (topic, device) in reach.lookupds.ask("lookup", look_up).await.into_iter().flat_map(|(_, found)| found) {
            let seen = seen.entry(device).or_default();
            // One that is on an nsqd too is counted already.
            seen.channels += usize::from(seen.topics.insert(topic));
        }
        is_whole
    }

    async fn delete_channels(
        &self,
        reach: &mut Reach,
        gone: &[DeviceId],
        seen: &BTreeMap<DeviceId, Seen>,
        swept: &mut Swept,
    ) {
        let is_ours = |topic: &TopicName| self.is_ours(topic);
        for (number, device) in gone.iter().enumerate() {
            let Some(Seen { topics, channels, .. }) = seen.get(device) else { continue };
            let outcome = if number < DEVICES_MAX && !self.stopping.is_cancelled() {
                reach.delete_channels(*device, topics.clone(), is_ours).await
            } else {
                (Deletion::Pending { nsqds: vec![], lookupds: vec![] }, 0)
            };
            swept.channels_deleted += outcome.1;
            if outcome.0 != Deletion::Done {
                tracing::debug!(%device, deletion = ?outcome.0, "channels of a device that is gone may be left");
                swept.pending.insert(*device, channels.saturating_sub(outcome.1));
            }
        }
        if !swept.pending.is_empty() {
            let devices = swept.pending.len();
            tracing::warn!(devices, missed = ?reach.nsqds.missed(), "channels of devices that are gone may be left");
        }
    }

    /// The topics where devices have channels, and their users no business any more. A device that consumes has its stay
    /// delivered first, and closes its channel itself.
    async fn strays(&mut self, seen: &BTreeMap<DeviceId, Seen>) -> Result<Strays, StoreError> {
        let conversation = |topic: &TopicName| self.fleet.topic_prefix().conversation(topic.as_str());
        let idle = seen.iter().flat_map(|(device, seen)| seen.topics.difference(&seen.consumed).map(|t| (*device, t)));
        let idle = idle.filter_map(|(device, topic)| Some(((device, conversation(topic)?), topic)));
        let idle: BTreeMap<(DeviceId, ConversationId), &TopicName> = idle.collect();
        let after = self.asked_up_to.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut part: Vec<_> =
            idle.range((after, Bound::Unbounded)).map(|(place, _)| *place).take(PLACES_MAX + 1).collect();
        if part.len() > PLACES_MAX {
            part.truncate(PLACES_MAX);
            self.asked_up_to = part.last().copied();
        }
        let mut strays = Strays::new();
        for place in self.directory.strays(part).await? {
            if let Some(topic) = idle.get(&place) {
                strays.entry(place.0).or_default().insert(TopicName::clone(topic));
            }
        }
        Ok(strays)
    }

    async fn delete_strays(&self, reach: &mut Reach, strays: Strays, swept: &mut Swept) {
        for (device, topics) in strays.into_iter().take(DEVICES_MAX) {
            if self.stopping.is_cancelled() {
                return;
            }
            let meant = topics.clone();
            let outcome = reach.delete_channels(device, topics, |topic| meant.contains(topic)).await;
            swept.channels_deleted += outcome.1;
            if outcome.0 != Deletion::Done {
                tracing::debug!(%device, deletion = ?outcome.0, "channels that a device's user has left may be left");
            }
        }
    }

    async fn delete_topics(&mut self, reach: &mut Reach, now: Instant, stats: &[(NsqdHttp, Stats)], swept: &mut Swept) {
        let (prefix, pinned, in_use) =
            (self.fleet.topic_prefix(), &self.settings.pinned, self.settings.in_use.as_ref());
        let may_go = |conversation: ConversationId| !pinned.contains(&conversation) && !in_use(conversation);
        let conversation = |topic: &TopicName| prefix.conversation(topic.as_str());
        let looked = stats.iter().map(|(nsqd, stats)| (nsqd.address(), stats));
        let ripe = self.idle.look(now, self.settings.idle, looked, |t| conversation(t).is_some_and(may_go));
        for (topic, ripe) in ripe.into_iter().take(TOPICS_MAX) {
            if self.stopping.is_cancelled() || !conversation(&topic).is_some_and(may_go) {
                continue;
            }
            self.idle.forget(&topic, &ripe);
            swept.topics_deleted += delete_topic(reach, &topic, &ripe).await;
        }
    }
}

/// The devices that have channels in these topics, as one nsqlookupd knows.
async fn listed_devices(lookupd: LookupdHttp, topics: Vec<TopicName>) -> Result<Vec<(TopicName, DeviceId)>, HttpError> {
    let look_up = |topic: TopicName| {
        let lookupd = lookupd.clone();
        async move {
            let channels = lookupd.lookup(&topic).await?.map(|found| found.channels).unwrap_or_default();
            let devices = channels.into_iter().filter_map(|channel| device_of(&channel));
            Ok(devices.map(|device| (topic.clone(), device)).collect::<Vec<_>>())
        }
    };
    stream::iter(topics).map(look_up).buffer_unordered(REQUESTS_AT_ONCE).try_concat().await
}

fn count(reach: &Reach, swept: &Swept) {
    let add = |name: &'static str, of: &'static str, number: usize| {
        metrics::counter!(name, "of" => of).increment(number as u64);
    };
    let outcome = if swept.missed.is_empty() && swept.failed.is_none() { "whole" } else { "partial" };
    metrics::counter!("lockstep_nsq_janitor_passes_total", "outcome" => outcome).increment(1);
    add("lockstep_nsq_janitor_deleted_total", "channel", swept.channels_deleted);
    add("lockstep_nsq_janitor_deleted_total", "topic", swept.topics_deleted);
    add("lockstep_nsq_janitor_skipped_total", "nsqd", reach.nsqds.missed().len());
    add("lockstep_nsq_janitor_skipped_total", "nsqlookupd", reach.lookupds.missed().len());
    add("lockstep_nsq_janitor_skipped_total", "directory", usize::from(swept.failed.is_some()));
    metrics::gauge!("lockstep_nsq_janitor_channels_pending").set(swept.pending.values().sum::<usize>() as f64);
}
