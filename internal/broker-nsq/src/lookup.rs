//! The other nsqds that have a topic: a service may publish on any.

use crate::NsqBroker;
use crate::broker::Inner;
use crate::settings::{Ingest, NsqSettings};
use lockstep_nsq_client::http::Node;
use lockstep_nsq_client::{Address, Lookup, LookupSettings, SettingsError, TopicName, Watcher};
use tokio::sync::mpsc;

/// What is heard about nsqds.
pub(crate) enum Heard {
    /// The nsqlookupds list one for a topic, or no longer do.
    Listed { topic: TopicName, nsqd: Address, is_there: bool },
    /// A configured one has said who it is.
    Known(usize),
}

/// Passes on what is heard. Each change is told once, so there are no more than topics times nsqds.
#[derive(Clone)]
pub(crate) struct Telling(mpsc::UnboundedSender<Heard>);

pub(crate) fn watcher() -> (Telling, mpsc::UnboundedReceiver<Heard>) {
    let (heard, receiver) = mpsc::unbounded_channel();
    (Telling(heard), receiver)
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
    pub(crate) fn tell(&self, heard: Heard) {
        let _stopping = self.0.send(heard);
    }

    fn listed(&self, topic: &TopicName, node: &Node, is_there: bool) {
        match node.tcp_address() {
            Ok(nsqd) => self.tell(Heard::Listed { topic: topic.clone(), nsqd, is_there }),
            Err(error) => tracing::warn!(%topic, %error, "an nsqlookupd names an nsqd without a valid address"),
        }
    }
}

impl Watcher for Telling {
    fn appeared(&mut self, topic: &TopicName, node: &Node) {
        self.listed(topic, node, true);
    }

    fn vanished(&mut self, topic: &TopicName, node: &Node) {
        self.listed(topic, node, false);
    }
}

/// Consumes `_seq` wherever a topic is found.
pub(crate) async fn run(broker: NsqBroker, mut heard: mpsc::UnboundedReceiver<Heard>) {
    while let Some(heard) = heard.recv().await {
        match heard {
            Heard::Listed { topic, nsqd, is_there } => listed(&broker.0, &topic, nsqd, is_there),
            Heard::Known(node) => known(&broker.0, node),
        }
    }
}

fn listed(broker: &Inner, topic: &TopicName, nsqd: Address, is_there: bool) {
    let Some(conversation) = broker.settings.topic_prefix.conversation(topic.as_str()) else { return };
    let Some(known) = broker.topics.get(&conversation) else { return };
    let (raw, own) = (known.raw.clone(), known.node);
    drop(known);
    let Some(raw) = raw else { return };
    // A configured one is consumed under its configured name; on its own one, a topic is consumed anyway.
    let configured = std::iter::once(&broker.nodes[own]).chain(&broker.nodes).find(|node| node.is(&nsqd));
    let outcome = match configured {
        Some(node) if is_there => {
            raw.consume(&node.seqs);
            Ok(())
        }
        None if is_there => raw.appeared(nsqd),
        Some(node) => {
            raw.vanished(&node.addresses.tcp);
            Ok(())
        }
        None => {
            raw.vanished(&nsqd);
            Ok(())
        }
    };
    if let Err(error) = outcome {
        tracing::warn!(%topic, %error, "an nsqd that was found cannot be consumed");
    }
}

/// What was consumed on a configured nsqd under the name that it broadcasts, because nobody knew, is consumed under the
/// configured one. Meanwhile it may have been consumed under both: it is named alike.
fn known(broker: &Inner, node: usize) {
    let node = &broker.nodes[node];
    let Some(identity) = node.seqs.identity.get().filter(|identity| **identity != node.addresses.tcp) else { return };
    for topic in &broker.topics {
        if let Some(raw) = &topic.raw
            && raw.vanished(identity)
        {
            raw.consume(&node.seqs);
        }
    }
}
