//! From the log to nsqd.

use crate::NsqBroker;
use crate::broker::Inner;
use crate::node::Sent;
use crate::topic::Topic;
use lockstep_model::{Kind, Offset, SharedEntry};
use lockstep_nsq_client::PublishError;
use lockstep_ports::Broker;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often the log says at most that an nsqd refuses.
const TOLD_PERIOD: Duration = Duration::from_secs(60);

/// Publishes entries of one conversation. Nothing is waited for: who cannot get them through nsqd now is told of the
/// head, and so is everybody if nsqd does not take them.
pub(crate) fn run(broker: &Inner, entries: &[SharedEntry]) {
    let Some((first, last)) = entries.first().zip(entries.last()) else { return };
    let head = Offset { conversation: first.conversation, seq: last.seq };
    // The guard is held over nothing that waits, and over no other topic.
    let Some(topic) = broker.topics.get(&head.conversation) else { return };
    let mut is_wanted = topic.is_pinned;
    for channel in &topic.channels {
        if channel.is_fed() {
            is_wanted = true;
        } else {
            channel.signal_head(head.seq);
        }
    }
    if let Some(recall) = entries.iter().rev().find(|entry| entry.kind == Kind::Recall) {
        topic.channels.iter().for_each(|channel| channel.note_recall(recall.seq));
    }
    // Without a consumer it would pile up in the topic.
    if !is_wanted {
        return;
    }
    if let Err(error) = send(broker, &topic, entries, head) {
        count(Err(&error));
        topic.channels.iter().for_each(|channel| channel.signal_head(head.seq));
    }
}

fn send(broker: &Inner, topic: &Topic, entries: &[SharedEntry], head: Offset) -> Result<(), PublishError> {
    let node = &broker.nodes[topic.node];
    let seal = |entry: &SharedEntry| {
        let (envelope, tag) = broker.shared.sealer.seal(entry);
        broker.shared.recent.put(tag, &envelope, entry);
        envelope
    };
    let publishing = match entries {
        [entry] => node.producer.try_publish(&topic.name, &seal(entry))?,
        entries => node.producer.try_publish_many(&topic.name, &entries.iter().map(seal).collect::<Vec<_>>())?,
    };
    // The watcher goes with the broker: then nobody waits for a signal either.
    let _stopping = node.sent.send(Sent { publishing, head });
    Ok(())
}

/// Waits for the answers of one nsqd, which come in the order of the publishes.
pub(crate) async fn watch(broker: NsqBroker, node: usize, mut sent: mpsc::UnboundedReceiver<Sent>) {
    let mut refusals = Refusals::default();
    while let Some(Sent { publishing, head }) = sent.recv().await {
        let outcome = publishing.await;
        count(outcome.as_ref().map(|&()| ()));
        if let Err(error @ PublishError::Refused(_)) = &outcome
            && let Some(refused) = refusals.note(Instant::now())
        {
            let (nsqd, error) = (&broker.0.nodes[node].addresses.tcp, error as &dyn std::error::Error);
            tracing::warn!(%nsqd, refused, error, "nsqd refuses envelopes, as when its disk is full; devices read the log");
        }
        if outcome.is_err() {
            broker.signal_heads(&[head]);
        }
    }
}

/// Refusals of one nsqd, told of now and then.
#[derive(Default)]
struct Refusals {
    untold: u64,
    told_at: Option<Instant>,
}

impl Refusals {
    /// How many there were since they were told last, if it is time to tell.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told_at.is_some_and(|at| now < at + TOLD_PERIOD) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

fn count(outcome: Result<(), &PublishError>) {
    let outcome = match outcome {
        Ok(()) => "published",
        Err(PublishError::Full) => "full",
        Err(PublishError::NotConnected | PublishError::NotSent | PublishError::Lost) => "disconnected",
        Err(PublishError::TimedOut) => "timed_out",
        Err(PublishError::Refused(_) | PublishError::Invalid(_)) => "refused",
        Err(_) => "failed",
    };
    metrics::counter!("lockstep_nsq_publishes_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_once_a_minute() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let told: Vec<_> =
            [0, 0, 1, 59, 60, 61, 119, 300].map(|s| refusals.note(start + Duration::from_secs(s))).into();
        assert_eq!(told, [Some(1), None, None, None, Some(4), None, None, Some(3)]);
    }
}
