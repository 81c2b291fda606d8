//! nsqlookupd's HTTP interface.

use super::client::Client;
use super::{HttpError, HttpSettings};
use crate::{Address, AddressError, ChannelName, TopicName};
use serde::Deserialize;

/// One nsqlookupd's HTTP interface. Clones share their connections.
#[derive(Clone)]
pub struct LookupdHttp {
    client: Client,
}

/// An nsqd, as nsqlookupd knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Node {
    /// The host under which clients reach it.
    pub broadcast_address: String,
    /// Where it speaks NSQ's protocol.
    pub tcp_port: u16,
    /// Where it speaks HTTP.
    pub http_port: u16,
    /// Its host's name.
    pub hostname: String,
}

impl Node {
    /// Where it speaks NSQ's protocol.
    pub fn tcp_address(&self) -> Result<Address, AddressError> {
        Address::from_parts(&self.broadcast_address, self.tcp_port)
    }

    /// Where it speaks HTTP.
    pub fn http_address(&self) -> Result<Address, AddressError> {
        Address::from_parts(&self.broadcast_address, self.http_port)
    }
}

/// An nsqd and its topics.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LookupdNode {
    /// The nsqd.
    #[serde(flatten)]
    pub node: Node,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its topics.
    pub topics: Vec<String>,
    /// For each topic, whether an administrator asked consumers to turn away from it there.
    #[serde(default)]
    pub tombstones: Vec<bool>,
}

impl LookupdNode {
    /// Its topics, without those that consumers are to turn away from.
    pub fn live_topics(&self) -> impl Iterator<Item = &str> {
        let tombstones = self.tombstones.iter().copied().chain(std::iter::repeat(false));
        self.topics.iter().zip(tombstones).filter(|(_, dead)| !dead).map(|(topic, _)| topic.as_str())
    }
}

/// Who has a topic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TopicNodes {
    /// Its channels, everywhere.
    pub channels: Vec<String>,
    /// The nsqds that have it.
    pub producers: Vec<Node>,
}

#[derive(Deserialize)]
struct Nodes {
    producers: Vec<LookupdNode>,
}

#[derive(Deserialize)]
struct Topics {
    topics: Vec<String>,
}

impl LookupdHttp {
    /// Requests to the nsqlookupd whose HTTP address this is. Nothing is connected yet.
    pub fn new(address: Address, settings: HttpSettings) -> Self {
        Self { client: Client::new(address, settings) }
    }

    /// The HTTP address.
    pub fn address(&self) -> &Address {
        self.client.address()
    }

    /// Whether it is there.
    pub async fn ping(&self) -> Result<(), HttpError> {
        self.client.get("/ping", &[]).await.map(drop)
    }

    /// Every nsqd, with all of its topics.
    pub async fn nodes(&self) -> Result<Vec<LookupdNode>, HttpError> {
        let nodes = self.client.get("/nodes", &[]).await?;
        serde_json::from_slice(&nodes).map(|nodes: Nodes| nodes.producers).map_err(HttpError::Answer)
    }

    /// Every topic that it knows, those that no nsqd has any more too.
    pub async fn topics(&self) -> Result<Vec<String>, HttpError> {
        let topics = self.client.get("/topics", &[]).await?;
        serde_json::from_slice(&topics).map(|topics: Topics| topics.topics).map_err(HttpError::Answer)
    }

    /// Who has the topic; `None` if it is not known at all.
    pub async fn lookup(&self, topic: &TopicName) -> Result<Option<TopicNodes>, HttpError> {
        match self.client.get("/lookup", &[("topic", topic.as_str())]).await {
            Ok(answer) => serde_json::from_slice(&answer).map(Some).map_err(HttpError::Answer),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Registers the topic, so that nsqds which come to have it make its channels.
    pub async fn create_topic(&self, topic: &TopicName) -> Result<(), HttpError> {
        self.client.post("/topic/create", &[("topic", topic.as_str())]).await
    }

    /// Forgets the topic and its channels. nsqds that have it keep it, and tell of it when they connect anew.
    pub async fn delete_topic(&self, topic: &TopicName) -> Result<(), HttpError> {
        self.client.post("/topic/delete", &[("topic", topic.as_str())]).await
    }

    /// Registers the channel, so that nsqds which come to have the topic make it.
    pub async fn create_channel(&self, topic: &TopicName, channel: &ChannelName) -> Result<(), HttpError> {
        self.client.post("/channel/create", &[("topic", topic.as_str()), ("channel", channel.as_str())]).await
    }

    /// Forgets the channel. It answers 404 if it does not know it.
    pub async fn delete_channel(&self, topic: &TopicName, channel: &ChannelName) -> Result<(), HttpError> {
        self.client.post("/channel/delete", &[("topic", topic.as_str()), ("channel", channel.as_str())]).await
    }

    /// Asks consumers to turn away from the topic on one nsqd, which is about to lose it.
    pub async fn tombstone(&self, topic: &TopicName, node: &Node) -> Result<(), HttpError> {
        let node = format!("{}:{}", node.broadcast_address, node.http_port);
        self.client.post("/topic/tombstone", &[("topic", topic.as_str()), ("node", &node)]).await
    }
}
