//! One nsqd that may take events.

use super::EventsSettings;
use crate::node::CLIENT_ID;
use crate::placement::place;
use lockstep_nsq_client::http::{HttpSettings, NsqdHttp, StatsQuery};
use lockstep_nsq_client::{ConnectSettings, Producer, ProducerSettings, SettingsError, TopicName};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How long nsqd may take to say which channels there are; a later answer counts as none.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// One nsqd that may take events.
pub(super) struct Outlet {
    pub(super) producer: Producer,
    http: NsqdHttp,
    /// Whether it is connected and the topic had a channel there when it was asked last.
    is_open: AtomicBool,
}

/// The nsqds in the order in which they are tried: first the one that the topic is placed on, then the one that it would
/// be placed on without that, and so on.
pub(super) fn open(settings: &EventsSettings, topic: &TopicName) -> Result<Vec<Outlet>, SettingsError> {
    let mut left: Vec<_> = settings.nsqds.iter().collect();
    let mut outlets = Vec::with_capacity(left.len());
    while let Some(next) = place(left.iter().map(|nsqd| nsqd.tcp.as_str()), topic.as_str()) {
        let nsqd = left.swap_remove(next);
        let connect = ConnectSettings { client_id: CLIENT_ID.into(), ..ConnectSettings::default() };
        let producer = ProducerSettings { connect, timeout: settings.publish_timeout, ..ProducerSettings::default() };
        outlets.push(Outlet {
            producer: Producer::open(nsqd.tcp.clone(), producer)?,
            http: NsqdHttp::new(
                nsqd.http.clone(),
                HttpSettings { timeout: CHECK_TIMEOUT, idle_max: 1, ..HttpSettings::default() },
            ),
            is_open: AtomicBool::new(false),
        });
    }
    Ok(outlets)
}

impl Outlet {
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Its connection was lost: nobody knows what its topic has when it returns.
    pub(super) fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }

    /// Asks again and again whether the topic has a channel, and says when it has asked.
    pub(super) async fn watch(&self, topic: &TopicName, period: Duration, asked: impl Fn()) {
        let query = StatsQuery { topic: Some(topic.clone()), ..StatsQuery::default() };
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let has_channel = match self.http.stats(&query).await {
                Ok(stats) => stats.topics.iter().any(|found| found.topic_name == *topic && !found.channels.is_empty()),
                // When in doubt, no: what is dropped is lost, what piles up fills a disk.
                Err(error) => {
                    tracing::debug!(nsqd = %self.http.address(), %error, "nsqd does not say who listens to events");
                    false
                }
            };
            self.is_open.store(has_channel && self.producer.is_connected(), Ordering::Relaxed);
            asked();
        }
    }
}
