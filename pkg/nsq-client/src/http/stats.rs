//! What nsqd's `/stats` answers.

use crate::{ChannelName, TopicName};
use serde::{Deserialize, Deserializer};

/// What `/stats` is to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatsQuery {
    /// Only this topic.
    pub topic: Option<TopicName>,
    /// Only channels of this name.
    pub channel: Option<ChannelName>,
    /// The clients one by one, too, which makes the answer larger by far. Their number is always told.
    pub clients: bool,
}

/// An nsqd's state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stats {
    /// Its version.
    pub version: String,
    /// `OK`, or what is wrong.
    pub health: String,
    /// When it was started, in seconds since 1970.
    pub start_time: i64,
    /// Its topics.
    #[serde(default, deserialize_with = "null_as_none")]
    pub topics: Vec<TopicStats>,
    /// Clients that publish, if clients were asked for.
    #[serde(default, deserialize_with = "null_as_none")]
    pub producers: Vec<ClientStats>,
}

/// A topic's state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TopicStats {
    /// Its name.
    pub topic_name: TopicName,
    /// Its channels, if channels were not narrowed down.
    #[serde(default, deserialize_with = "null_as_none")]
    pub channels: Vec<ChannelStats>,
    /// Messages that wait for a channel.
    pub depth: i64,
    /// Those of them that are on disk.
    pub backend_depth: i64,
    /// Messages that were published since the start.
    pub message_count: u64,
    /// Their bytes.
    #[serde(default)]
    pub message_bytes: u64,
    /// Whether it keeps messages away from its channels.
    pub paused: bool,
}

/// A channel's state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChannelStats {
    /// Its name.
    pub channel_name: ChannelName,
    /// Messages that wait for a consumer.
    pub depth: i64,
    /// Those of them that are on disk.
    pub backend_depth: i64,
    /// Messages that were delivered and not answered yet.
    pub in_flight_count: i64,
    /// Messages that wait for their delay.
    pub deferred_count: i64,
    /// Messages that it was given since the start.
    pub message_count: u64,
    /// How often a message was requeued.
    pub requeue_count: u64,
    /// How often a message timed out.
    pub timeout_count: u64,
    /// How many consumers it has.
    #[serde(default)]
    pub client_count: u64,
    /// The consumers one by one, if clients were asked for.
    #[serde(default, deserialize_with = "null_as_none")]
    pub clients: Vec<ClientStats>,
    /// Whether it sends nothing to its consumers.
    pub paused: bool,
}

/// A client's state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ClientStats {
    /// Who it says it is.
    pub client_id: String,
    /// Where it says it runs.
    pub hostname: String,
    /// Its program.
    pub user_agent: String,
    /// Where it connects from.
    pub remote_address: String,
    /// How many messages it takes in flight.
    pub ready_count: i64,
    /// How many it has in flight.
    pub in_flight_count: i64,
    /// How many it was sent.
    pub message_count: u64,
    /// How many it finished.
    pub finish_count: u64,
    /// How many it requeued.
    pub requeue_count: u64,
    /// When it connected, in seconds since 1970.
    #[serde(rename = "connect_ts")]
    pub connected_at: i64,
}

/// Go writes an empty list as `null`.
fn null_as_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
