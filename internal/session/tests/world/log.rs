//! A conversation's log.

use crate::common::{entry, with_body};
use lockstep_model::{
    ConversationId, ConversationKind, Entry, EntryId, FeedChange, Kind, Page, Seq, SharedEntry, Skip, SkipReason,
};

pub(crate) struct Log {
    pub(crate) conversation: ConversationId,
    pub(crate) floor: u64,
    entries: Vec<SharedEntry>,
}

impl Log {
    pub(crate) fn new(conversation: ConversationId) -> Self {
        Self { conversation, floor: 1, entries: Vec::new() }
    }

    pub(crate) fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn append(&mut self, incarnation: u8, added: Option<ConversationId>) -> SharedEntry {
        let seq = self.head() + 1;
        let made = match added {
            None => entry(self.conversation, seq, 256 + (seq as usize * 7919) % 1500),
            Some(conversation) => {
                let change = FeedChange::ConversationAdded { conversation, kind: ConversationKind::Group };
                with_body(self.conversation, seq, Kind::System, change.to_body())
            }
        };
        let mut new = Entry::clone(&made);
        let mut id = *new.id.as_bytes();
        id[7] = incarnation;
        new.id = EntryId::from_bytes(id);
        let new = SharedEntry::new(new);
        self.entries.push(new.clone());
        new
    }

    pub(crate) fn raise_floor(&mut self, count: u64) {
        self.floor = (self.floor + count).min(self.head() + 1);
    }

    pub(crate) fn truncate(&mut self, lacking: u64) {
        let head = self.head().saturating_sub(lacking);
        self.entries.truncate(head as usize);
        self.floor = self.floor.min(head + 1);
    }

    /// The entry at a place, if retention has left it.
    pub(crate) fn at(&self, seq: u64) -> Option<&SharedEntry> {
        let index = seq.checked_sub(1).filter(|_| seq >= self.floor)?;
        self.entries.get(index as usize)
    }

    pub(crate) fn id_at(&self, seq: u64) -> Option<EntryId> {
        self.at(seq).map(|entry| entry.id)
    }

    /// A page of the log as it stood when its head was this.
    pub(crate) fn page(&self, from: u64, count: u32, head: u64) -> Page {
        let skip = (from < self.floor).then(|| Skip {
            from: Seq::new(from),
            to: Seq::new(self.floor - 1),
            reason: SkipReason::Retention,
        });
        let first = from.max(self.floor);
        let entries = (first..first + u64::from(count))
            .take_while(|seq| *seq <= head)
            .map_while(|seq| self.at(seq).cloned())
            .collect();
        Page {
            conversation: self.conversation,
            from: Seq::new(from),
            skip,
            entries,
            head: Seq::new(head.max(self.floor - 1)),
        }
    }
}
