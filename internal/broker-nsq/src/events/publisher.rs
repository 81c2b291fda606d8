//! From the queue to nsqd: the one task that publishes events.

use super::format;
use super::outage::{Outage, Why};
use super::outlet::Outlet;
use lockstep_model::Event;
use lockstep_nsq_client::{Fate, PublishError, TopicName};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Events in one publish, which nsqd takes or refuses as a whole: some hundred kilobytes at most.
const BATCH_MAX: usize = 512;
/// How long what waits at a stop may take. What is left then is dropped; what is under way may arrive or not.
const STOP_MAX: Duration = Duration::from_secs(2);

pub(super) struct Publisher {
    pub(super) topic: TopicName,
    /// In the order in which they are tried.
    pub(super) outlets: Arc<[Outlet]>,
    pub(super) outage: Arc<Outage>,
}

impl Publisher {
    /// Publishes what comes, until it is stopped; then what waits.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Event>, stopping: CancellationToken) {
        let mut batch = Vec::new();
        while let Some(1..) = stopping.run_until_cancelled(queue.recv_many(&mut batch, BATCH_MAX)).await {
            self.publish(&mut batch).await;
        }
        queue.close();
        let rest = async {
            while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
                self.publish(&mut batch).await;
            }
        };
        if timeout(STOP_MAX, rest).await.is_err() {
            self.outage.dropped(Why::Stopped, queue.len());
        }
    }

    async fn publish(&self, batch: &mut Vec<Event>) {
        let bodies: Vec<Vec<u8>> = batch.drain(..).map(|event| format::body(&event)).collect();
        match self.publish_somewhere(&bodies).await {
            Ok(()) => self.outage.published(bodies.len()),
            Err(why) => self.outage.dropped(why, bodies.len()),
        }
    }

    /// Publishes at the first nsqd that takes it. What one may have taken is not published again.
    async fn publish_somewhere(&self, bodies: &[Vec<u8>]) -> Result<(), Why> {
        let is_connected = self.outlets.iter().any(|outlet| outlet.producer.is_connected());
        let mut why = if is_connected { Why::NoChannel } else { Why::Disconnected };
        for outlet in self.outlets.iter().filter(|outlet| outlet.is_open()) {
            let Err(error) = outlet.producer.publish_many(&self.topic, bodies).await else { return Ok(()) };
            if error.fate() == Fate::Unknown {
                outlet.close();
                return Err(Why::Unknown);
            }
            why = match error {
                PublishError::NotConnected | PublishError::NotSent => {
                    outlet.close();
                    Why::Disconnected
                }
                _ => Why::Refused,
            };
        }
        Err(why)
    }
}
