//! What is set about NSQ.

use super::Config;
use axum::http::uri::Authority;
use lockstep_model::{ConversationId, EventKind, TopicPrefix};
use lockstep_nsq_client::Address;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where the door is opened when the server is tried out: nsqd's own HTTP port.
const DEV_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4151);
/// Most further names of the door.
const NAMES_MAX: usize = 64;

/// Most nsqds, and most nsqlookupds.
const SERVERS_MAX: usize = 64;
/// Most pinned conversations.
const PINNED_MAX: usize = 10_000;

/// The transport of live entries. Without nsqds it is inside this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NsqConfig {
    /// A conversation's topic is this and the conversation's id.
    pub topic_prefix: TopicPrefix,
    /// The HTTP addresses of the nsqlookupds, such as `127.0.0.1:4161`.
    pub lookupds: Vec<String>,
    /// How devices' channels live.
    pub channels: Channels,
    /// Whether raw bodies that services publish into topics are taken in.
    pub ingest: Ingest,
    /// Conversations whose entries are published even if no device follows them, for services that listen.
    pub pinned: Vec<ConversationId>,
    /// What services are told in the topic `<topic_prefix>events`: kinds of events.
    pub events: Vec<EventKind>,
    /// Consumers of one device; its further conversations live by head signals.
    pub consumers_per_device_max: u64,
    /// Consumers of this server; further conversations live by head signals.
    pub consumers_max: u64,
    /// Consumers of `_seq` channels of this server: one for each conversation in use, and one for each other nsqd that has it.
    /// Further conversations live by head signals, and what services publish there waits in nsqd.
    pub seqs_max: u64,
    /// Consumers opened per second.
    pub consumers_per_second_max: u64,
    /// How long a publish may take, in milliseconds, before devices are told to read the log instead.
    pub publish_timeout_ms: u64,
    /// How often nsqds are looked through for channels of devices that are gone and topics that stand empty, in seconds.
    pub janitor_period_s: u64,
    /// The nsqds; if there are none, NSQ is not used. The last key, since each is a table.
    pub nsqds: Vec<NsqdConfig>,
}

/// Where one nsqd listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NsqdConfig {
    /// Its `--tcp-address`, such as `127.0.0.1:4150`.
    pub tcp: String,
    /// Its `--http-address`, such as `127.0.0.1:4151`.
    pub http: String,
}

/// How devices' channels live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// While the device is connected.
    #[default]
    Ephemeral,
    /// Until the device is removed.
    Durable,
}

/// Whether raw bodies that services publish into topics are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ingest {
    /// Never.
    Off,
    /// While a device of the conversation is connected.
    #[default]
    Live,
}

impl Default for NsqConfig {
    fn default() -> Self {
        Self {
            topic_prefix: TopicPrefix::default(),
            lookupds: vec![],
            channels: Channels::default(),
            ingest: Ingest::default(),
            pinned: vec![],
            events: vec![],
            consumers_per_device_max: 64,
            consumers_max: 20_000,
            seqs_max: 20_000,
            consumers_per_second_max: 2_000,
            publish_timeout_ms: 250,
            janitor_period_s: 60,
            nsqds: vec![],
        }
    }
}

impl NsqConfig {
    /// Keys whose values the types leave open, and whether they are right.
    pub(super) fn checks(&self) -> [(&'static str, bool); 10] {
        let is_address = |text: &String| text.parse::<Address>().is_ok();
        let mut nsqds: Vec<_> = self.nsqds.iter().map(|nsqd| &nsqd.tcp).collect();
        nsqds.sort_unstable();
        nsqds.dedup();
        let are_nsqds = self.nsqds.iter().all(|nsqd| is_address(&nsqd.tcp) && is_address(&nsqd.http));
        // A pinned topic without any channel would grow in nsqd.
        let (pinned, takes_in) = (self.pinned.len() as u64, self.ingest != Ingest::Off);
        [
            ("nsq.nsqds", are_nsqds && nsqds.len() == self.nsqds.len() && nsqds.len() <= SERVERS_MAX),
            ("nsq.lookupds", self.lookupds.len() <= SERVERS_MAX && self.lookupds.iter().all(is_address)),
            ("nsq.pinned", self.pinned.len() <= PINNED_MAX),
            // Without nsqds nobody could hear of them.
            ("nsq.events", self.events.is_empty() || !self.nsqds.is_empty()),
            ("nsq.consumers_per_device_max", (1..=10_000).contains(&self.consumers_per_device_max)),
            ("nsq.consumers_max", (1..=1_000_000).contains(&self.consumers_max)),
            ("nsq.seqs_max", (1..=1_000_000).contains(&self.seqs_max) && (pinned <= self.seqs_max || !takes_in)),
            ("nsq.consumers_per_second_max", (100..=1_000_000).contains(&self.consumers_per_second_max)),
            ("nsq.publish_timeout_ms", (1..=60_000).contains(&self.publish_timeout_ms)),
            ("nsq.janitor_period_s", (1..=3_600).contains(&self.janitor_period_s)),
        ]
    }

    /// What each of those keys has to be, as the end of a sentence.
    pub(super) fn requirement(key: &str) -> Option<&'static str> {
        Some(match key {
            "nsq.nsqds" => {
                "a list of at most 64 different tables such as { tcp = \"127.0.0.1:4150\", http = \"127.0.0.1:4151\" }"
            }
            "nsq.lookupds" => "a list of at most 64 addresses such as \"127.0.0.1:4161\"",
            "nsq.pinned" => "a list of at most 10000 conversation ids",
            // A wrong one is named with its place in the list.
            key if key.split('.').take(2).eq(["nsq", "events"]) => {
                "a list of \"connect\", \"disconnect\", \"message\", \"read\", \"device\" and \"push_wanted\", and needs nsq.nsqds"
            }
            "nsq.channels" => "\"ephemeral\" or \"durable\"",
            "nsq.ingest" => "\"off\" or \"live\"",
            "nsq.consumers_per_device_max" => "a whole number from 1 to 10000",
            "nsq.consumers_max" => "a whole number from 1 to 1000000",
            "nsq.seqs_max" => "a whole number from 1 to 1000000, and not less than there are nsq.pinned",
            "nsq.consumers_per_second_max" => "a whole number from 100 to 1000000",
            "nsq.publish_timeout_ms" => "a whole number from 1 to 60000",
            "nsq.janitor_period_s" => "a whole number from 1 to 3600",
            _ => return None,
        })
    }
}

/// The door for services that publish as to nsqd's HTTP port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NsqHttpConfig {
    /// Where it listens; absent: nowhere, but with `--dev` on 127.0.0.1:4151 if that is free. Port 0 takes a free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Host names and addresses, beside this machine's own and the one that is listened on, under which it may be asked for.
    #[serde(default)]
    pub names: Vec<String>,
}

/// Where the door is to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NsqHttpListen {
    /// The address.
    pub address: SocketAddr,
    /// Whether it was set: then the server does not start without it.
    pub required: bool,
}

impl NsqHttpConfig {
    pub(super) fn names_are_right(&self) -> bool {
        let is_bare = |name: &String| name.parse::<Authority>().is_ok_and(|authority| authority.host() == name);
        self.names.len() <= NAMES_MAX && self.names.iter().all(is_bare)
    }
}

impl Config {
    /// Where services publish as to nsqd, if they may.
    pub fn nsq_http_listen(&self) -> Option<NsqHttpListen> {
        match self.nsq_http.listen {
            Some(address) => Some(NsqHttpListen { address, required: true }),
            // With nsqds it is nsqd that listens there.
            None => (self.dev && self.nsq.nsqds.is_empty())
                .then_some(NsqHttpListen { address: DEV_LISTEN, required: false }),
        }
    }
}
