//! Events for services: what happens here, published to one topic.
//!
//! Beside the way of a message: nobody waits for events, and the engine gives them away without a look back. They wait in
//! a bounded queue for one task that publishes them in batches. A topic without a channel keeps all that it gets, on
//! nsqd's disk and without a bound: so events are published only where a channel is, and dropped while there is none.
//!
//! The connections are its own, so that events never take the room that envelopes need.

mod format;
mod outage;
mod outlet;
mod publisher;

use crate::StartError;
use crate::settings::{NsqSettings, NsqdAddresses};
use lockstep_model::{Event, EventKind, TopicPrefix};
use lockstep_nsq_client::TopicName;
use lockstep_ports::Events;
use outage::{Outage, Why};
use outlet::Outlet;
use publisher::Publisher;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// What the topic's name has behind the prefix. No conversation's topic is called so.
const TOPIC: &str = "events";

/// What the publisher of events is told.
#[derive(Debug, Clone)]
pub struct EventsSettings {
    /// The nsqds.
    pub nsqds: Vec<NsqdAddresses>,
    /// The topic is this and `events`.
    pub topic_prefix: TopicPrefix,
    /// What is told.
    pub kinds: Vec<EventKind>,
    /// How many events may wait; more are dropped.
    pub queue_max: usize,
    /// How often each nsqd is asked whether the topic has a channel there. For so long after the last one has gone,
    /// events may gather in the topic.
    pub check_period: Duration,
    /// How long a publish may take. What becomes of it after that is unknown, and it is not tried elsewhere.
    pub publish_timeout: Duration,
}

impl EventsSettings {
    /// The defaults, on the nsqds of the broker.
    pub fn new(settings: &NsqSettings, kinds: Vec<EventKind>) -> Self {
        Self {
            nsqds: settings.nsqds.clone(),
            topic_prefix: settings.topic_prefix.clone(),
            kinds,
            queue_max: 16_384,
            check_period: Duration::from_secs(2),
            publish_timeout: Duration::from_secs(1),
        }
    }
}

/// Publishes events to NSQ. Clones are the same.
#[derive(Clone)]
pub struct NsqEvents(Arc<Inner>);

struct Inner {
    kinds: Vec<EventKind>,
    topic: TopicName,
    queue: mpsc::Sender<Event>,
    outage: Arc<Outage>,
    outlets: Arc<[Outlet]>,
    /// Changes whenever an nsqd was asked.
    checked: watch::Sender<()>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// Without handles there is nothing to publish.
    _end: DropGuard,
}

impl NsqEvents {
    /// Starts the tasks. An nsqd that is not reached is no error: it is tried again and again, and events are dropped
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn start(settings: EventsSettings) -> Result<Self, StartError> {
        if settings.nsqds.is_empty() {
            return Err(StartError::NoNsqd);
        }
        let topic = topic(&settings.topic_prefix);
        let outlets: Arc<[Outlet]> = outlet::open(&settings, &topic)?.into();
        let (queue, waiting) = mpsc::channel(settings.queue_max);
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let outage = Arc::new(Outage::default());
        let checked = watch::Sender::new(());
        for index in 0..outlets.len() {
            let (outlets, checked, topic) = (Arc::clone(&outlets), checked.clone(), topic.clone());
            let (stopping, period) = (stopping.clone(), settings.check_period);
            tasks.spawn(async move {
                let watching = outlets[index].watch(&topic, period, || checked.send_replace(()));
                stopping.run_until_cancelled(watching).await;
            });
        }
        let publisher = Publisher { topic: topic.clone(), outlets: Arc::clone(&outlets), outage: Arc::clone(&outage) };
        tasks.spawn(publisher.run(waiting, stopping.clone()));
        let _end = stopping.clone().drop_guard();
        let kinds = settings.kinds;
        Ok(Self(Arc::new(Inner { kinds, topic, queue, outage, outlets, checked, tasks, stopping, _end })))
    }

    /// The topic.
    pub fn topic(&self) -> &TopicName {
        &self.0.topic
    }

    /// How many of the nsqds are connected at this moment, and how many there are.
    pub fn connected(&self) -> (usize, usize) {
        let outlets = &self.0.outlets;
        (outlets.iter().filter(|outlet| outlet.producer.is_connected()).count(), outlets.len())
    }

    /// At how many nsqds somebody listened when they were asked last: they were connected and had a channel.
    pub fn listened_to(&self) -> usize {
        self.0.outlets.iter().filter(|outlet| outlet.is_open()).count()
    }

    /// Waits until somebody listens at so many nsqds. Bound it with a timeout.
    pub async fn wait_for_listeners(&self, nsqds: usize) {
        let mut checked = self.0.checked.subscribe();
        // The sender lives as long as this.
        let _ = checked.wait_for(|()| self.listened_to() == nsqds).await;
    }

    /// Publishes what waits, for two seconds at most, and stops. What is emitted from now on is dropped.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        for outlet in self.0.outlets.iter() {
            outlet.producer.close().await;
        }
    }
}

impl Events for NsqEvents {
    fn wants(&self, kind: EventKind) -> bool {
        self.0.kinds.contains(&kind)
    }

    fn emit(&self, event: Event) {
        match self.0.queue.try_send(event) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.0.outage.dropped(Why::Full, 1),
            Err(TrySendError::Closed(_)) => self.0.outage.dropped(Why::Stopped, 1),
        }
    }
}

fn topic(prefix: &TopicPrefix) -> TopicName {
    TopicName::new(&format!("{prefix}{TOPIC}")).expect("a prefix leaves room for more than this")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_no_conversations() {
        let longest: TopicPrefix = "p".repeat(TopicPrefix::CHARS_MAX).parse().expect("a prefix");
        for prefix in [TopicPrefix::default(), longest] {
            let topic = topic(&prefix);
            assert_eq!(topic.as_str(), format!("{prefix}events"));
            assert_eq!(prefix.conversation(topic.as_str()), None);
        }
    }
}
