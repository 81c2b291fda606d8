//! Deleting all channels of a device.
//!
//! An nsqd that gets a topic makes all durable channels that an nsqlookupd knows for it, so a channel that was deleted may
//! come back while others are still being deleted. Hence the order: nsqlookupds, nsqds, nsqlookupds again, and then a look
//! at every nsqd; what has come back is deleted anew, a bounded number of times. What is left after that, or was not
//! reached, is named, and found by the [janitor](crate::Janitor) later.

use crate::fleet::{Fleet, REQUESTS_AT_ONCE, Reach};
use crate::topic::{channel_name, topic_name};
use futures_util::{StreamExt, TryStreamExt, stream};
use lockstep_model::{ConversationId, DeviceId};
use lockstep_nsq_client::http::{HttpError, LookupdHttp, NsqdHttp, StatsQuery};
use lockstep_nsq_client::{Address, ChannelName, TopicName};
use lockstep_ports::ChannelDeletion;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// How often what came back is deleted anew. What comes back more often is left to the janitor.
const ROUNDS_MAX: usize = 3;
/// How long deleting may take in all. Then every nsqd counts as one that was not reached.
const TIME_MAX: Duration = Duration::from_secs(30);

/// What became of a device's channels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a device whose channels are not all deleted stays fenced"]
pub enum Deletion {
    /// No nsqd has one, and no nsqlookupd that was asked.
    Done,
    /// There may be some left.
    Pending {
        /// The HTTP addresses of the nsqds that were not reached, or where a channel came back.
        nsqds: Vec<Address>,
        /// The HTTP addresses of the nsqlookupds that were not reached. They may make nsqds bring channels back.
        lookupds: Vec<Address>,
    },
}

impl From<Deletion> for ChannelDeletion {
    fn from(deletion: Deletion) -> Self {
        match deletion {
            Deletion::Done => Self::Done,
            Deletion::Pending { nsqds, lookupds } => {
                Self::Pending { servers: nsqds.iter().chain(&lookupds).map(Address::to_string).collect() }
            }
        }
    }
}

/// A topic and a channel of it.
type Place = (TopicName, ChannelName);
/// Where a device has channels, by nsqd.
type Found = HashMap<Address, Vec<Place>>;

impl Fleet {
    /// Deletes the channels of a device in all topics of conversations, on every nsqd. Its consumers must have been
    /// stopped before, on every node: one that reconnects makes its channel again.
    ///
    /// nsqds tell where the device has channels. nsqlookupds cannot be asked that: they are asked about the topics that
    /// nsqds told of and those of `conversations`, or without these about all they know, one request for each.
    ///
    /// Takes 30 seconds and the timeout of two requests at the most. May be given again at any time. **Cancellation**:
    /// some channels may be deleted.
    pub async fn delete_channels(&self, device: DeviceId, conversations: Option<&[ConversationId]>) -> Deletion {
        let prefix = self.topic_prefix();
        let mut reach = self.reach().await;
        let topics = match conversations {
            Some(conversations) => conversations.iter().map(|id| topic_name(prefix, *id)).collect(),
            None => reach.listed_topics(prefix).await,
        };
        reach.delete_channels(device, topics, |topic| prefix.conversation(topic.as_str()).is_some()).await.0
    }
}

impl Reach {
    /// Deletes a device's channels in the topics that are `meant`, and says how many were deleted on nsqds.
    pub(crate) async fn delete_channels(
        &mut self,
        device: DeviceId,
        topics: BTreeSet<TopicName>,
        meant: impl Fn(&TopicName) -> bool,
    ) -> (Deletion, usize) {
        let known: BTreeSet<Address> = self.nsqds.reached().chain(self.nsqds.missed()).cloned().collect();
        let lookupds: BTreeSet<Address> = self.lookupds.reached().chain(self.lookupds.missed()).cloned().collect();
        let mut deleted = 0;
        let rounds = self.delete_in_rounds(device, topics, meant, &mut deleted);
        let (nsqds, lookupds) = match tokio::time::timeout(TIME_MAX, rounds).await {
            Ok(left) => (left.into_keys().chain(self.nsqds.missed().clone()).collect(), self.lookupds.missed().clone()),
            Err(_) => (known, lookupds),
        };
        if nsqds.is_empty() && lookupds.is_empty() {
            return (Deletion::Done, deleted);
        }
        let (nsqds, lookupds) = (nsqds.into_iter().collect(), lookupds.into_iter().collect());
        (Deletion::Pending { nsqds, lookupds }, deleted)
    }

    /// Returns what is left on nsqds that are reached.
    async fn delete_in_rounds(
        &mut self,
        device: DeviceId,
        mut topics: BTreeSet<TopicName>,
        meant: impl Fn(&TopicName) -> bool,
        deleted: &mut usize,
    ) -> Found {
        let names = [false, true].map(|is_ephemeral| channel_name(device, is_ephemeral));
        let mut found = self.find(&names, &meant).await;
        for _ in 0..ROUNDS_MAX {
            topics.extend(found.values().flatten().map(|(topic, _)| topic.clone()));
            // Of the topics that came by guess, those where there was something are enough from here on.
            topics = self.forget(&names, &topics).await;
            topics.extend(found.values().flatten().map(|(topic, _)| topic.clone()));
            *deleted += self.delete(&found).await;
            self.forget(&names, &topics).await;
            found = self.find(&names, &meant).await;
            if found.is_empty() {
                break;
            }
        }
        found
    }

    /// Where channels of these names are.
    async fn find(&mut self, names: &[ChannelName; 2], meant: impl Fn(&TopicName) -> bool) -> Found {
        let found = self.nsqds.ask("stats of a channel", |nsqd| places(nsqd, names.clone())).await;
        let meant = |places: Vec<Place>| places.into_iter().filter(|(topic, _)| meant(topic)).collect::<Vec<_>>();
        let found = found.into_iter().map(|(nsqd, places)| (nsqd.address().clone(), meant(places)));
        found.filter(|(_, places)| !places.is_empty()).collect()
    }

    /// Deletes what was found, and says how much of it was still there.
    async fn delete(&mut self, found: &Found) -> usize {
        let delete = |nsqd: NsqdHttp| delete_at(nsqd.clone(), found.get(nsqd.address()).cloned().unwrap_or_default());
        self.nsqds.ask("deleting channels", delete).await.into_iter().map(|(_, deleted)| deleted).sum()
    }

    /// Makes the nsqlookupds forget channels of these names, and says in which of the topics there were some.
    async fn forget(&mut self, names: &[ChannelName; 2], topics: &BTreeSet<TopicName>) -> BTreeSet<TopicName> {
        let topics: Vec<TopicName> = topics.iter().cloned().collect();
        let forget = |lookupd: LookupdHttp| forget_at(lookupd, names.clone(), topics.clone());
        self.lookupds.ask("deleting channels", forget).await.into_iter().flat_map(|(_, topics)| topics).collect()
    }
}

/// The topics of one nsqd that have channels of these names. It lists those topics alone.
async fn places(nsqd: NsqdHttp, names: [ChannelName; 2]) -> Result<Vec<Place>, HttpError> {
    let mut places = Vec::new();
    for name in names {
        let query = StatsQuery { channel: Some(name.clone()), ..StatsQuery::default() };
        let topics = nsqd.stats(&query).await?.topics.into_iter();
        places.extend(topics.map(|topic| (topic.topic_name, name.clone())));
    }
    Ok(places)
}

async fn delete_at(nsqd: NsqdHttp, places: Vec<Place>) -> Result<usize, HttpError> {
    let delete = |(topic, channel): Place| {
        let nsqd = nsqd.clone();
        async move { was_there(nsqd.delete_channel(&topic, &channel).await) }
    };
    let outcomes = stream::iter(places).map(delete).buffer_unordered(REQUESTS_AT_ONCE);
    outcomes.try_fold(0, |deleted, was_there| async move { Ok(deleted + usize::from(was_there)) }).await
}

async fn forget_at(
    lookupd: LookupdHttp,
    names: [ChannelName; 2],
    topics: Vec<TopicName>,
) -> Result<Vec<TopicName>, HttpError> {
    let forget = |topic: TopicName| {
        let (lookupd, names) = (lookupd.clone(), names.clone());
        async move {
            let channels = lookupd.lookup(&topic).await?.map(|found| found.channels).unwrap_or_default();
            let mut known = false;
            for name in names.iter().filter(|name| channels.iter().any(|channel| channel == name.as_str())) {
                known |= was_there(lookupd.delete_channel(&topic, name).await)?;
            }
            Ok(known.then_some(topic))
        }
    };
    let outcomes = stream::iter(topics).map(forget).buffer_unordered(REQUESTS_AT_ONCE);
    outcomes.try_filter_map(|topic| async move { Ok(topic) }).try_collect().await
}

/// Whether what was to be deleted was there.
pub(crate) fn was_there(outcome: Result<(), HttpError>) -> Result<bool, HttpError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
