//! A conversation's log, and the user's stays in it.

use crate::common::{entry, with_body};
use lockstep_model::{
    ConversationId, ConversationKind, Entry, EntryId, FeedChange, Interval, Intervals, Kind, LogChange, Page, Seq,
    SharedEntry, Skip, UserId, View,
};

pub(crate) struct Log {
    pub(crate) conversation: ConversationId,
    pub(crate) floor: u64,
    /// When the user was a member.
    pub(crate) stays: Intervals,
    entries: Vec<SharedEntry>,
}

/// What an entry is.
#[derive(Clone, Copy)]
pub(crate) enum What {
    Message,
    /// In the feed: the user is a member.
    Added(ConversationId),
    /// In the feed: the user is no member any more.
    Removed(ConversationId),
    /// The user has left.
    Left,
}

impl Log {
    pub(crate) fn new(conversation: ConversationId) -> Self {
        let stay = Interval { joined_seq: Seq::ZERO, left_seq: None, visible_from_seq: Seq::new(1) };
        Self { conversation, floor: 1, stays: Intervals(vec![stay]), entries: Vec::new() }
    }

    pub(crate) fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn append(&mut self, incarnation: u8, what: What) -> SharedEntry {
        let seq = self.head() + 1;
        let system = |body| with_body(self.conversation, seq, Kind::System, body);
        let made = match what {
            What::Message => entry(self.conversation, seq, 256 + (seq as usize * 7919) % 1500),
            What::Added(conversation) => {
                system(FeedChange::ConversationAdded { conversation, kind: ConversationKind::Group }.to_body())
            }
            What::Removed(conversation) => system(FeedChange::ConversationRemoved { conversation }.to_body()),
            What::Left => system(LogChange::MemberLeft { member: UserId::new("ann").expect("a user id") }.to_body()),
        };
        let mut new = Entry::clone(&made);
        let mut id = *new.id.as_bytes();
        id[7] = incarnation;
        new.id = EntryId::from_bytes(id);
        let new = SharedEntry::new(new);
        self.entries.push(new.clone());
        new
    }

    /// The user leaves with the entry that comes next.
    pub(crate) fn end_stay(&mut self) {
        let left = Seq::new(self.head() + 1);
        if let Some(stay) = self.stays.0.last_mut() {
            stay.left_seq = Some(left);
        }
    }

    /// The user joins with the entry that comes next, and sees so many of those before it.
    pub(crate) fn begin_stay(&mut self, history: u64) {
        let (joined_seq, first) = (Seq::new(self.head()), (self.head() + 1).saturating_sub(history).max(1));
        self.stays.0.push(Interval { joined_seq, left_seq: None, visible_from_seq: Seq::new(first) });
    }

    pub(crate) fn raise_floor(&mut self, count: u64) {
        self.floor = (self.floor + count).min(self.head() + 1);
    }

    pub(crate) fn truncate(&mut self, lacking: u64) {
        let head = self.head().saturating_sub(lacking);
        self.entries.truncate(head as usize);
        self.floor = self.floor.min(head + 1);
        // Stays are restored with the log: that of who joined later is gone, and who left later is still there.
        let stays = &mut self.stays.0;
        stays.retain(|stay| stay.joined_seq == Seq::ZERO || stay.joined_seq.get() < head);
        for stay in stays {
            stay.left_seq = stay.left_seq.filter(|left| left.get() <= head);
        }
    }

    /// The entry at a place, if retention has left it.
    pub(crate) fn at(&self, seq: u64) -> Option<&SharedEntry> {
        let index = seq.checked_sub(1).filter(|_| seq >= self.floor)?;
        self.entries.get(index as usize)
    }

    pub(crate) fn id_at(&self, seq: u64) -> Option<EntryId> {
        self.at(seq).map(|entry| entry.id)
    }

    /// Whether the user may see what stands there, or stood.
    pub(crate) fn shows(&self, seq: u64) -> bool {
        matches!(self.stays.view(Seq::new(seq), Seq::ZERO), View::Visible { .. })
    }

    /// A page of the log as it stood when its head was this, for one of whom the engine knew these stays. It looks again
    /// where retention has taken something.
    pub(crate) fn page(&self, from: u64, count: u32, head: u64, known: &mut Intervals) -> Page {
        let first = Seq::new(from);
        let hidden = |skip: Skip| (Some(skip), Vec::new(), Seq::new(head).max(skip.to));
        let (skip, entries, head) = match known.view(first, Seq::ZERO) {
            View::Hidden(skip) => hidden(skip),
            View::Ended => (None, Vec::new(), first.previous()),
            View::Visible { .. } if from < self.floor => {
                known.clone_from(&self.stays);
                match known.view(first, Seq::new(self.floor)) {
                    View::Hidden(skip) => hidden(skip),
                    View::Ended | View::Visible { .. } => (None, Vec::new(), first.previous()),
                }
            }
            View::Visible { to } => {
                let last = to.map_or(head, |to| to.get().min(head)).min(from + u64::from(count) - 1);
                (None, (from..=last).map_while(|seq| self.at(seq).cloned()).collect(), Seq::new(head))
            }
        };
        let last = entries.last().map(|entry| entry.seq).or(skip.map(|skip| skip.to));
        let ended = known.end_at(last.unwrap_or(first.previous()));
        Page { conversation: self.conversation, from: first, skip, entries, head, ended }
    }
}
