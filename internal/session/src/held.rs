//! Entries that came before their turn and wait a few milliseconds for the ones before them.

use lockstep_model::{ConversationId, Seq, SharedEntry};
use std::time::Duration;

/// The entries that wait, and until when.
#[derive(Debug, Default)]
pub(crate) struct Held {
    entries: Vec<SharedEntry>,
    until: Option<Duration>,
}

impl Held {
    /// Keeps an entry until `until` (that of the first one counts). False if there is no room.
    pub(crate) fn keep(&mut self, entry: SharedEntry, until: Duration, max: usize) -> bool {
        if self.entries.len() >= max {
            return false;
        }
        self.until.get_or_insert(until);
        self.entries.push(entry);
        true
    }

    /// Takes the entry whose turn it is now, if it waits here.
    pub(crate) fn take(&mut self, conversation: ConversationId, next: Seq) -> Option<SharedEntry> {
        let is_next = |entry: &SharedEntry| entry.conversation == conversation && entry.seq == next;
        let index = self.entries.iter().position(is_next)?;
        let entry = self.entries.swap_remove(index);
        if self.entries.is_empty() {
            *self = Self::default();
        }
        Some(entry)
    }

    /// Forgets what waits of one conversation, and says how far that reached.
    pub(crate) fn forget(&mut self, conversation: ConversationId) -> Option<Seq> {
        let of_it = |entry: &&SharedEntry| entry.conversation == conversation;
        let head = self.entries.iter().filter(of_it).map(|entry| entry.seq).max()?;
        self.entries.retain(|entry| entry.conversation != conversation);
        if self.entries.is_empty() {
            *self = Self::default();
        }
        Some(head)
    }

    /// Until when the first one waits.
    pub(crate) fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Takes all that waits: their time is over.
    pub(crate) fn take_all(&mut self) -> Vec<SharedEntry> {
        std::mem::take(self).entries
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
