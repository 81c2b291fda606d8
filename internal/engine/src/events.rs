//! What the engine lets services hear of, if anybody wants to.

use lockstep_model::{Event, EventKind, Kind, SharedEntry};
use lockstep_ports::Events;
use std::sync::Arc;

/// Makes events, but only those that are wanted.
#[derive(Clone)]
pub(crate) struct Emitter(Option<Arc<dyn Events>>);

impl Emitter {
    pub(crate) fn new(events: Option<Arc<dyn Events>>) -> Self {
        Self(events)
    }

    /// Emits an event of this kind, if it is wanted.
    pub(crate) fn emit(&self, kind: EventKind, event: impl FnOnce() -> Event) {
        if let Some(events) = self.wanted(kind) {
            events.emit(event());
        }
    }

    /// Tells of committed entries, each of which is new. What the server itself records in a log is left out: it follows
    /// from something that has an event of its own, or is meant for a user's devices alone.
    pub(crate) fn committed(&self, entries: &[SharedEntry]) {
        let Some(events) = self.wanted(EventKind::Message) else { return };
        for entry in entries.iter().filter(|entry| entry.kind != Kind::System) {
            events.emit(Event::Message {
                conversation: entry.conversation,
                seq: entry.seq,
                id: entry.id,
                kind: entry.kind.clone(),
                sender: entry.sender.clone(),
                sent_at: entry.sent_at,
            });
        }
    }

    fn wanted(&self, kind: EventKind) -> Option<&dyn Events> {
        self.0.as_deref().filter(|events| events.wants(kind))
    }
}
