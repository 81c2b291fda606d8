//! The other nsqds that have a topic: a service may publish on any.

use crate::NsqBroker;
use crate::settings::{Ingest, NsqSettings};
use lockstep_nsq_client::http::Node;
use lockstep_nsq_client::{Address, Lookup, LookupSettings, SettingsError, TopicName, Watcher};
use tokio::sync::mpsc;

/// Something that the nsqlookupds say.
pub(crate) struct Found {
    topic: TopicName,
    nsqd: Address,
    is_there: bool,
}

/// Passes on what the nsqlookupds say. Each change is told once, so there are no more than topics times nsqds.
pub(crate) struct Telling(mpsc::UnboundedSender<Found>);

pub(crate) fn watcher() -> (Telling, mpsc::UnboundedReceiver<Found>) {
    let (found, receiver) = mpsc::unbounded_channel();
    (Telling(found), receiver)
}

/// What polls, and its task, if there is somebody to ask and something to ask for.
pub(crate) fn open(
    settings: &NsqSettings,
    watcher: Telling,
) -> Result<Option<(Lookup, impl Future<Output = ()> + Send + 'static)>, SettingsError> {
    if settings.lookupds.is_empty() || settings.ingest == Ingest::Off {
        return Ok(None);
    }
    Lookup::prepare(LookupSettings::new(settings.lookupds.clone()), watcher).map(Some)
}

impl Telling {
    fn tell(&self, topic: &TopicName, node: &Node, is_there: bool) {
        match node.tcp_address() {
            Ok(nsqd) => {
                let _stopping = self.0.send(Found { topic: topic.clone(), nsqd, is_there });
            }
            Err(error) => tracing::warn!(%topic, %error, "an nsqlookupd names an nsqd without a valid address"),
        }
    }
}

impl Watcher for Telling {
    fn appeared(&mut self, topic: &TopicName, node: &Node) {
        self.tell(topic, node, true);
    }

    fn vanished(&mut self, topic: &TopicName, node: &Node) {
        self.tell(topic, node, false);
    }
}

/// Consumes `_seq` wherever a topic is found.
pub(crate) async fn run(broker: NsqBroker, mut found: mpsc::UnboundedReceiver<Found>) {
    while let Some(Found { topic, nsqd, is_there }) = found.recv().await {
        let Some(conversation) = broker.0.settings.topic_prefix.conversation(topic.as_str()) else { continue };
        let Some(known) = broker.0.topics.get(&conversation) else { continue };
        let (raw, own) = (known.raw.clone(), broker.0.nodes[known.node].addresses.tcp.clone());
        drop(known);
        // Its own nsqd has one anyway.
        let Some(raw) = raw.filter(|_| nsqd != own) else { continue };
        if !is_there {
            raw.vanished(&nsqd);
        } else if let Err(error) = raw.appeared(nsqd) {
            tracing::warn!(%topic, %error, "an nsqd that was found cannot be consumed");
        }
    }
}
