//! One configured nsqd: what is published to it, and who consumes there.

use crate::identity::{Identity, Source};
use crate::settings::{Ingest, NsqSettings, NsqdAddresses};
use lockstep_model::Offset;
use lockstep_nsq_client::http::{HttpSettings, NsqdHttp};
use lockstep_nsq_client::{
    Address, ConnectSettings, ConsumerSettings, Consumers, Producer, ProducerSettings, Publishing, SettingsError,
};
use tokio::sync::{Semaphore, mpsc};

/// The client's name in nsqd's statistics.
pub(crate) const CLIENT_ID: &str = "lockstep";
/// Requests to one nsqd at once that empty or delete channels.
const CHANGING_MAX: usize = 16;

/// One configured nsqd.
pub(crate) struct Node {
    pub(crate) addresses: NsqdAddresses,
    pub(crate) producer: Producer,
    pub(crate) consumers: Consumers,
    /// The consumers of `_seq` channels, which do not wait behind those of devices: devices wait for them.
    pub(crate) seqs: Source,
    pub(crate) http: NsqdHttp,
    /// One permit for each request that empties or deletes a channel; others wait.
    pub(crate) changing: Semaphore,
    /// What is on its way to it. Bounded by what the producer takes.
    pub(crate) sent: mpsc::UnboundedSender<Sent>,
}

/// Envelopes on their way: if they do not arrive, the head is signalled instead.
pub(crate) struct Sent {
    pub(crate) publishing: Publishing,
    pub(crate) head: Offset,
}

impl Node {
    /// A node, and what is on its way to it.
    pub(crate) fn open(
        addresses: &NsqdAddresses,
        settings: &NsqSettings,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Sent>), SettingsError> {
        let producer =
            ProducerSettings { connect: connect(), timeout: settings.publish_timeout, ..ProducerSettings::default() };
        let (sent, answers) = mpsc::unbounded_channel();
        let identity = match settings.ingest {
            // There is nothing to name.
            Ingest::Off => Identity::known(addresses.tcp.clone()),
            Ingest::Live => Identity::default(),
        };
        let node = Self {
            addresses: addresses.clone(),
            producer: Producer::open(addresses.tcp.clone(), producer)?,
            consumers: consumers(addresses.tcp.clone(), settings)?,
            seqs: Source { consumers: consumers(addresses.tcp.clone(), settings)?, identity },
            http: NsqdHttp::new(addresses.http.clone(), HttpSettings::default()),
            changing: Semaphore::new(CHANGING_MAX),
            sent,
        };
        Ok((node, answers))
    }
}

impl Node {
    /// Whether this is the nsqd that broadcasts or is configured with this address, as far as is known.
    pub(crate) fn is(&self, address: &Address) -> bool {
        self.addresses.tcp == *address || self.seqs.identity.get() == Some(address)
    }
}

/// The consumers of an nsqd, configured or found by an nsqlookupd.
pub(crate) fn consumers(address: Address, settings: &NsqSettings) -> Result<Consumers, SettingsError> {
    let consumer = ConsumerSettings {
        connect: connect(),
        rdy: settings.rdy,
        connecting_max: settings.connecting_max,
        ..ConsumerSettings::default()
    };
    Consumers::new(address, consumer)
}

fn connect() -> ConnectSettings {
    ConnectSettings { client_id: CLIENT_ID.into(), ..ConnectSettings::default() }
}
