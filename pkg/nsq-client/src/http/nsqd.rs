//! nsqd's HTTP interface.

use super::client::{Call, Client};
use super::{HttpError, HttpSettings, Stats, StatsQuery};
use crate::codec::command;
use crate::{Address, ChannelName, TopicName};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use std::time::Duration;

/// One nsqd's HTTP interface. Clones share their connections.
#[derive(Clone)]
pub struct NsqdHttp {
    client: Client,
}

/// What an nsqd says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NsqdInfo {
    /// Its version.
    pub version: String,
    /// The host under which clients reach it.
    pub broadcast_address: String,
    /// Its host's name.
    pub hostname: String,
    /// Where it speaks HTTP.
    pub http_port: u16,
    /// Where it speaks NSQ's protocol.
    pub tcp_port: u16,
    /// When it was started, in seconds since 1970.
    pub start_time: i64,
}

impl NsqdHttp {
    /// Requests to the nsqd whose HTTP address this is. Nothing is connected yet.
    pub fn new(address: Address, settings: HttpSettings) -> Self {
        Self { client: Client::new(address, settings) }
    }

    /// The HTTP address.
    pub fn address(&self) -> &Address {
        self.client.address()
    }

    /// Whether it is healthy: it answers an error after it failed to write to disk.
    pub async fn ping(&self) -> Result<(), HttpError> {
        self.client.get("/ping", &[]).await.map(drop)
    }

    /// What it says of itself.
    pub async fn info(&self) -> Result<NsqdInfo, HttpError> {
        serde_json::from_slice(&self.client.get("/info", &[]).await?).map_err(HttpError::Answer)
    }

    /// Its topics, channels and clients.
    pub async fn stats(&self, query: &StatsQuery) -> Result<Stats, HttpError> {
        let mut arguments = vec![("format", "json"), ("include_mem", "false")];
        arguments.extend(query.topic.as_ref().map(|topic| ("topic", topic.as_str())));
        arguments.extend(query.channel.as_ref().map(|channel| ("channel", channel.as_str())));
        arguments.push(("include_clients", if query.clients { "true" } else { "false" }));
        serde_json::from_slice(&self.client.get("/stats", &arguments).await?).map_err(HttpError::Answer)
    }

    /// Makes the topic, unless it is there.
    pub async fn create_topic(&self, topic: &TopicName) -> Result<(), HttpError> {
        self.topic("/topic/create", topic).await
    }

    /// Deletes the topic with its channels and messages, and closes its consumers' connections.
    pub async fn delete_topic(&self, topic: &TopicName) -> Result<(), HttpError> {
        self.topic("/topic/delete", topic).await
    }

    /// Drops what waits in the topic for a channel. What its channels have stays.
    pub async fn empty_topic(&self, topic: &TopicName) -> Result<(), HttpError> {
        self.topic("/topic/empty", topic).await
    }

    /// Keeps messages in the topic, away from its channels.
    pub async fn pause_topic(&self, topic: &TopicName) -> Result<(), HttpError> {
        self.topic("/topic/pause", topic).await
    }

    /// Ends [`Self::pause_topic`].
    pub async fn unpause_topic(&self, topic: &TopicName) -> Result<(), HttpError> {
        self.topic("/topic/unpause", topic).await
    }

    /// Makes the channel in a topic that is there, unless it is there too.
    pub async fn create_channel(&self, topic: &TopicName, channel: &ChannelName) -> Result<(), HttpError> {
        self.channel("/channel/create", topic, channel).await
    }

    /// Deletes the channel with its messages, and closes its consumers' connections: those that reconnect make it anew.
    pub async fn delete_channel(&self, topic: &TopicName, channel: &ChannelName) -> Result<(), HttpError> {
        self.channel("/channel/delete", topic, channel).await
    }

    /// Drops what waits in the channel, what is in flight included.
    pub async fn empty_channel(&self, topic: &TopicName, channel: &ChannelName) -> Result<(), HttpError> {
        self.channel("/channel/empty", topic, channel).await
    }

    /// Sends nothing to the channel's consumers.
    pub async fn pause_channel(&self, topic: &TopicName, channel: &ChannelName) -> Result<(), HttpError> {
        self.channel("/channel/pause", topic, channel).await
    }

    /// Ends [`Self::pause_channel`].
    pub async fn unpause_channel(&self, topic: &TopicName, channel: &ChannelName) -> Result<(), HttpError> {
        self.channel("/channel/unpause", topic, channel).await
    }

    /// Publishes one message, which is delivered after the delay if there is one.
    pub async fn publish(&self, topic: &TopicName, body: Bytes, delay: Option<Duration>) -> Result<(), HttpError> {
        let delay = delay.map(|delay| delay.as_millis().to_string());
        let mut arguments = vec![("topic", topic.as_str())];
        arguments.extend(delay.as_deref().map(|delay| ("defer", delay)));
        self.publishing("/pub", &arguments, body).await
    }

    /// Publishes many messages, all or none.
    pub async fn publish_many<B: AsRef<[u8]>>(&self, topic: &TopicName, bodies: &[B]) -> Result<(), HttpError> {
        let mut body = Vec::new();
        command::bodies_counted(&mut body, bodies);
        self.publishing("/mpub", &[("topic", topic.as_str()), ("binary", "true")], body.into()).await
    }

    async fn publishing(&self, path: &str, arguments: &[(&str, &str)], body: Bytes) -> Result<(), HttpError> {
        let call = Call { method: Method::POST, path, arguments, body, repeatable: false };
        self.client.call(&call).await.map(drop)
    }

    async fn topic(&self, path: &str, topic: &TopicName) -> Result<(), HttpError> {
        self.client.post(path, &[("topic", topic.as_str())]).await
    }

    async fn channel(&self, path: &str, topic: &TopicName, channel: &ChannelName) -> Result<(), HttpError> {
        self.client.post(path, &[("topic", topic.as_str()), ("channel", channel.as_str())]).await
    }
}
