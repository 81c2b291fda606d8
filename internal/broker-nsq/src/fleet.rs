//! All nsqds and nsqlookupds, asked over HTTP: what deleting and the janitor need.
//!
//! Services may publish on any nsqd, so those that only an nsqlookupd knows take part like the configured ones.

use crate::deletion::Deletion;
use crate::settings::NsqSettings;
use futures_util::{StreamExt, stream};
use lockstep_model::{DeviceId, TopicPrefix};
use lockstep_nsq_client::http::{HttpError, HttpSettings, LookupdHttp, NsqdHttp};
use lockstep_nsq_client::{Address, EPHEMERAL_SUFFIX, TopicName};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Servers that are asked at once; more wait.
const PEERS_AT_ONCE: usize = 16;
/// Requests that one server gets at once; more wait. nsqd writes all its metadata with each durable channel that goes.
pub(crate) const REQUESTS_AT_ONCE: usize = 4;

/// The nsqds and nsqlookupds of this system. Clones are the same.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    nsqds: Vec<NsqdHttp>,
    lookupds: Vec<LookupdHttp>,
    topic_prefix: TopicPrefix,
    http: HttpSettings,
}

impl Fleet {
    /// The nsqds and nsqlookupds that the broker is told of. Nothing is connected yet. `http` bounds each request: a
    /// server that does not answer in that time counts as one that is not reached.
    pub fn new(settings: &NsqSettings, http: HttpSettings) -> Self {
        let nsqds = settings.nsqds.iter().map(|nsqd| NsqdHttp::new(nsqd.http.clone(), http.clone())).collect();
        let lookupds =
            settings.lookupds.iter().map(|lookupd| LookupdHttp::new(lookupd.clone(), http.clone())).collect();
        Self(Arc::new(Inner { nsqds, lookupds, topic_prefix: settings.topic_prefix.clone(), http }))
    }

    pub(crate) fn topic_prefix(&self) -> &TopicPrefix {
        &self.0.topic_prefix
    }

    /// Nobody was reached.
    pub(crate) fn all_pending(&self) -> Deletion {
        let nsqds = self.0.nsqds.iter().map(|nsqd| nsqd.address().clone()).collect();
        let lookupds = self.0.lookupds.iter().map(|lookupd| lookupd.address().clone()).collect();
        Deletion::Pending { nsqds, lookupds }
    }

    /// Finds out who is there: every configured nsqd that answers, and every other that an nsqlookupd lists.
    pub(crate) async fn reach(&self) -> Reach {
        let (mut nsqds, mut lookupds) = (Peers::of(&self.0.nsqds), Peers::of(&self.0.lookupds));
        let (own, listed) = tokio::join!(
            nsqds.ask("info", |nsqd| async move { nsqd.info().await }),
            lookupds.ask("nodes", |lookupd| async move { lookupd.nodes().await }),
        );
        // An nsqlookupd may list a configured one under another name.
        let identity = |host: &str, tcp: u16, http: u16| (host.to_owned(), tcp, http);
        let mut known: HashSet<_> =
            own.iter().map(|(_, info)| identity(&info.broadcast_address, info.tcp_port, info.http_port)).collect();
        let configured: HashSet<_> = self.0.nsqds.iter().map(|nsqd| nsqd.address().clone()).collect();
        for node in listed.into_iter().flat_map(|(_, nodes)| nodes).map(|listed| listed.node) {
            if !known.insert(identity(&node.broadcast_address, node.tcp_port, node.http_port)) {
                continue;
            }
            match node.http_address() {
                Ok(address) if configured.contains(&address) => {}
                Ok(address) => nsqds.reached.push(NsqdHttp::new(address, self.0.http.clone())),
                Err(error) => tracing::warn!(%error, "an nsqlookupd lists an nsqd without a valid address"),
            }
        }
        Reach { nsqds, lookupds }
    }
}

/// Who is reached in one undertaking.
pub(crate) struct Reach {
    pub(crate) nsqds: Peers<NsqdHttp>,
    pub(crate) lookupds: Peers<LookupdHttp>,
}

impl Reach {
    /// The topics of conversations that the nsqlookupds know, in their order. They remember some that no nsqd has, and
    /// with them channels that the next nsqd to get the topic will make.
    pub(crate) async fn listed_topics(&mut self, prefix: &TopicPrefix) -> BTreeSet<TopicName> {
        let topics = self.lookupds.ask("topics", |lookupd| async move { lookupd.topics().await }).await;
        let topics = topics.into_iter().flat_map(|(_, topics)| topics);
        topics.filter(|topic| prefix.conversation(topic).is_some()).filter_map(|t| TopicName::new(&t).ok()).collect()
    }
}

/// A server that is asked over HTTP.
pub(crate) trait Peer: Clone {
    const KIND: &'static str;
    fn address(&self) -> &Address;
}

impl Peer for NsqdHttp {
    const KIND: &'static str = "nsqd";
    fn address(&self) -> &Address {
        self.address()
    }
}

impl Peer for LookupdHttp {
    const KIND: &'static str = "nsqlookupd";
    fn address(&self) -> &Address {
        self.address()
    }
}

/// Servers of one kind. One that once did not answer is not asked again in the same undertaking, so that it costs one
/// timeout and not one for each channel.
pub(crate) struct Peers<P> {
    reached: Vec<P>,
    missed: BTreeSet<Address>,
}

impl<P: Peer> Peers<P> {
    fn of(peers: &[P]) -> Self {
        Self { reached: peers.to_vec(), missed: BTreeSet::new() }
    }

    /// Asks all that are reached, and returns the answers in their order.
    pub(crate) async fn ask<T, F>(&mut self, what: &'static str, ask: impl Fn(P) -> F) -> Vec<(P, T)>
    where
        F: Future<Output = Result<T, HttpError>>,
    {
        let asked: Vec<_> = self.reached.iter().map(|peer| ask(peer.clone())).collect();
        let outcomes: Vec<_> = stream::iter(asked).buffered(PEERS_AT_ONCE).collect().await;
        let mut answers = Vec::with_capacity(outcomes.len());
        for (peer, outcome) in std::mem::take(&mut self.reached).into_iter().zip(outcomes) {
            match outcome {
                Ok(answer) => {
                    self.reached.push(peer.clone());
                    answers.push((peer, answer));
                }
                Err(error) => {
                    let address = peer.address();
                    tracing::warn!(kind = P::KIND, %address, what, error = &error as &dyn std::error::Error, "skipped");
                    self.missed.insert(address.clone());
                }
            }
        }
        answers
    }

    /// Those that answered so far.
    pub(crate) fn reached(&self) -> impl Iterator<Item = &Address> {
        self.reached.iter().map(Peer::address)
    }

    /// Those that did not.
    pub(crate) fn missed(&self) -> &BTreeSet<Address> {
        &self.missed
    }
}

/// The device whose channel has this name. Devices' ids are UUIDs of version 7 in one spelling; other UUIDs are names
/// that services gave to channels of their own.
pub(crate) fn device_of(channel: &str) -> Option<DeviceId> {
    let stem = channel.strip_suffix(EPHEMERAL_SUFFIX).unwrap_or(channel);
    let device: DeviceId = stem.parse().ok()?;
    let is_ours = device.as_bytes()[6] >> 4 == 7 && !stem.bytes().any(|byte| byte.is_ascii_uppercase());
    is_ours.then_some(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_of_devices_are_told_from_those_of_services() {
        let device = DeviceId::generate();
        let name = device.to_string();
        assert_eq!(device_of(&name), Some(device));
        assert_eq!(device_of(&format!("{name}#ephemeral")), Some(device));
        let random = "6fa459ea-ee8a-4ca4-894e-db77e160355e";
        for other in ["_seq", "archive", "", "#ephemeral", random, &name.to_uppercase(), &name.replace('-', "")] {
            assert_eq!(device_of(other), None, "{other}");
        }
    }
}
