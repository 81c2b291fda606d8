//! Looking at nsqd from outside, and waiting for what is seen there.

use super::House;
use lockstep_broker_nsq::SEQ_CHANNEL;
use lockstep_model::{ConversationId, DeviceId, TopicPrefix};
use lockstep_nsq_client::http::{ChannelStats, HttpSettings, NsqdHttp, StatsQuery, TopicStats};
use lockstep_nsq_client::{ChannelName, TopicName};
use lockstep_nsq_servers::Nsqd;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long anything is waited for: only a broken broker takes that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            sleep(LOOK).await;
        }
    };
    assert!(timeout(PATIENCE, looking).await.is_ok(), "it never came to this: {what}");
}

pub(crate) fn topic_name(conversation: ConversationId) -> TopicName {
    TopicName::new(&TopicPrefix::default().topic(conversation)).expect("a topic's name")
}

/// The name of a device's ephemeral channel.
pub(crate) fn ephemeral(device: DeviceId) -> String {
    format!("{device}#ephemeral")
}

pub(crate) fn channel_name(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a channel's name")
}

/// Requests to an nsqd.
pub(crate) fn http(nsqd: &Nsqd) -> NsqdHttp {
    NsqdHttp::new(nsqd.http_address().into(), HttpSettings::default())
}

/// A conversation's topic on an nsqd, if it is there.
pub(crate) async fn topic_stats(nsqd: &Nsqd, conversation: ConversationId) -> Option<TopicStats> {
    let query = StatsQuery { topic: Some(topic_name(conversation)), ..StatsQuery::default() };
    http(nsqd).stats(&query).await.expect("nsqd answers").topics.into_iter().next()
}

/// A channel of a conversation's topic on an nsqd, if it is there.
pub(crate) async fn channel_stats(nsqd: &Nsqd, conversation: ConversationId, channel: &str) -> Option<ChannelStats> {
    let topic = topic_stats(nsqd, conversation).await?;
    topic.channels.into_iter().find(|found| found.channel_name.as_str() == channel)
}

/// All topics of an nsqd.
pub(crate) async fn all_topics(nsqd: &Nsqd) -> Vec<TopicStats> {
    http(nsqd).stats(&StatsQuery::default()).await.expect("nsqd answers").topics
}

/// How many channels of devices an nsqd has.
pub(crate) async fn device_channels(nsqd: &Nsqd) -> usize {
    let topics = all_topics(nsqd).await;
    let channels = topics.iter().flat_map(|topic| &topic.channels);
    channels.filter(|channel| channel.channel_name.as_str() != SEQ_CHANNEL).count()
}

/// Publishes a body as a service would.
pub(crate) async fn publish_raw(nsqd: &Nsqd, conversation: ConversationId, body: &[u8]) {
    http(nsqd).publish(&topic_name(conversation), body.to_vec().into(), None).await.expect("nsqd takes it");
}

impl House {
    /// Waits until all nsqds take envelopes.
    pub(crate) async fn until_connected(&self) {
        let nsqds = self.broker.connected().1;
        until("all nsqds take envelopes", async || self.broker.connected() == (nsqds, nsqds)).await;
    }

    /// Waits until a channel is there, with a consumer, on any of the nsqds. Says on which.
    pub(crate) async fn until_consumed(&self, conversation: ConversationId, channel: &str) -> usize {
        let mut found = None;
        until("a consumer in /stats", async || {
            for (index, nsqd) in self.nsqds.iter().enumerate() {
                let stats = channel_stats(nsqd, conversation, channel).await;
                if stats.is_some_and(|stats| stats.client_count > 0) {
                    found = Some(index);
                }
            }
            found.is_some()
        })
        .await;
        found.expect("it was found")
    }
}
