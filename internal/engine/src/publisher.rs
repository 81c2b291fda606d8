//! From the commit to the broker: recent entries are remembered, then published by interest.

use crate::EngineConfig;
use crate::events::Emitter;
use crate::ring::Rings;
use crate::trace::{NOBODY, Record, Trace};
use lockstep_model::{ConnectionGeneration, Kind, SharedEntry, StageName, UnixMs};
use lockstep_ports::Broker;
use std::sync::Arc;

/// Publishes committed entries.
pub(crate) struct Publisher {
    broker: Arc<dyn Broker>,
    events: Emitter,
    pub(crate) rings: Rings,
    trace: Arc<Trace>,
}

impl Publisher {
    pub(crate) fn new(broker: Arc<dyn Broker>, events: Emitter, trace: Arc<Trace>, config: &EngineConfig) -> Self {
        Self { broker, events, rings: Rings::new(config.ring_entries_max, config.ring_bytes_max), trace }
    }

    /// Publishes new entries, in seq order per conversation. Conversations that nobody here follows are left to the log.
    pub(crate) async fn publish(&self, mut entries: Vec<SharedEntry>) {
        self.events.committed(&entries);
        for recall in entries.iter().filter(|entry| entry.kind == Kind::Recall) {
            self.rings.erase(recall.conversation);
        }
        entries.retain(|entry| self.broker.has_consumers(entry.conversation));
        if entries.is_empty() {
            return;
        }
        // Stable, so that runs of one conversation keep the order of their commits.
        entries.sort_by_key(|entry| entry.conversation);
        // The ring first: whoever is woken by the broker and finds a gap reads it here.
        entries.chunk_by(|one, next| one.conversation == next.conversation).for_each(|run| self.remember(run));
        self.note(&entries);
        self.broker.publish(&entries).await;
    }

    /// Before the broker has them, so that nothing is delivered before it was published. One record for each run.
    fn note(&self, entries: &[SharedEntry]) {
        if !self.trace.is_on() {
            return;
        }
        let at = UnixMs::now();
        for run in entries.chunk_by(|one, next| one.conversation == next.conversation && one.seq.next() == next.seq) {
            self.trace.note(&Record {
                stage: StageName::Published,
                at,
                device: NOBODY,
                generation: ConnectionGeneration::default(),
                conversation: run[0].conversation,
                from: run[0].seq,
                to: run[run.len() - 1].seq,
            });
        }
    }

    /// What stands before a recall may be what it has erased.
    fn remember(&self, run: &[SharedEntry]) {
        let recall = run.iter().rposition(|entry| entry.kind == Kind::Recall);
        self.rings.push(&run[recall.unwrap_or_default()..]);
    }
}
