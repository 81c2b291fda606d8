//! What the broker is told.

use lockstep_model::{ConversationId, Epoch, TopicPrefix};
use lockstep_nsq_client::Address;
use std::collections::HashSet;
use std::time::Duration;

/// What the broker is told: read once, checked by the server.
#[derive(Debug, Clone)]
pub struct NsqSettings {
    /// The nsqds that topics are placed on. The order does not matter, the set does: another set places topics anew.
    pub nsqds: Vec<NsqdAddresses>,
    /// The HTTP addresses of the nsqlookupds; may be none.
    pub lookupds: Vec<Address>,
    /// What stands before a conversation's id in its topic's name.
    pub topic_prefix: TopicPrefix,
    /// How devices' channels live.
    pub channels: Channels,
    /// When raw bodies that services publish are taken into the log.
    pub ingest: Ingest,
    /// Conversations whose envelopes are published whether or not a device follows them.
    pub pinned: HashSet<ConversationId>,
    /// Consumers of one device. Its further conversations live by head signals.
    pub consumers_per_device_max: usize,
    /// Consumers of this process. Beyond that, conversations live by head signals.
    pub consumers_max: usize,
    /// Consumers of `_seq` channels of this process: one for each topic in use, and one for each other nsqd that has it. A
    /// topic beyond that has no `_seq` and no channels of devices here: these live by head signals.
    pub seqs_max: usize,
    /// Consumers opened per second, so that a crowd that returns does not fill nsqd with handshakes.
    pub consumers_per_second_max: u32,
    /// Consumers that connect to one nsqd at once.
    pub connecting_max: usize,
    /// How long a publish may take before the devices are told by a head signal instead.
    pub publish_timeout: Duration,
    /// Messages in flight to one consumer.
    pub rdy: u32,
    /// The identity of the store: envelopes of another one are dropped.
    pub epoch: Epoch,
    /// What envelopes are signed with.
    pub key: [u8; 32],
}

/// Where one nsqd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NsqdAddresses {
    /// For consumers and producers.
    pub tcp: Address,
    /// For commands and statistics.
    pub http: Address,
}

/// How devices' channels live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// As long as the device is connected: `<device>#ephemeral`.
    Ephemeral,
    /// Until the device is removed, or its user leaves the conversation. One that returns empties its channel and reads the log.
    Durable,
}

/// When raw bodies that services publish into a conversation's topic are taken into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingest {
    /// Never.
    Off,
    /// While a device of the conversation is connected here. Before that they wait in nsqd.
    Live,
}

impl NsqSettings {
    /// The defaults, which lack nsqds.
    pub fn new(epoch: Epoch, key: [u8; 32]) -> Self {
        Self {
            nsqds: vec![],
            lookupds: vec![],
            topic_prefix: TopicPrefix::default(),
            channels: Channels::Ephemeral,
            ingest: Ingest::Live,
            pinned: HashSet::new(),
            consumers_per_device_max: 64,
            consumers_max: 20_000,
            seqs_max: 20_000,
            consumers_per_second_max: 2_000,
            connecting_max: 32,
            publish_timeout: Duration::from_millis(250),
            rdy: 200,
            epoch,
            key,
        }
    }
}
