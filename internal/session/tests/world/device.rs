//! A device that checks what it is told (I3, I10).

use super::Show;
use super::log::Log;
use crate::common::{FEED, offset};
use lockstep_model::{ConversationId, Cursor, EntryId, Epoch, Offset, Ref, ResumePoint, Seq, SharedEntry, Shown};
use lockstep_session::{Event, SessionConfig};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Device {
    /// What it keeps, whatever becomes of connections.
    copies: BTreeMap<ConversationId, BTreeMap<u64, EntryId>>,
    /// What it was told that it will not get. A later stay may show it after all, but delivery never goes back.
    skipped: BTreeSet<(ConversationId, u64)>,
    pub(crate) epoch: Option<Epoch>,
    offsets: BTreeSet<u64>,
    /// Of this connection: the next seq of each conversation, and what is not acknowledged.
    next: BTreeMap<ConversationId, u64>,
    unacked: Vec<SharedEntry>,
    pub(crate) reading: Vec<ConversationId>,
    /// How far each conversation reached when the connection began: so far the device has all once it has caught up.
    due: BTreeMap<ConversationId, u64>,
    caught_up: bool,
    pub(crate) heartbeat: bool,
    refs: u64,
    /// Requests without an answer.
    requests: BTreeSet<Ref>,
}

impl Device {
    /// A new connection, and where it begins. A device that shows less has lost the rest.
    pub(crate) fn shown(&mut self, show: Show, logs: &[Log]) -> (Option<Cursor>, Vec<Shown>) {
        let lost = if let Show::Lower(by) = show { by } else { 0 };
        let mut shown = Vec::new();
        for log in logs {
            let Some(next) = self.next.get(&log.conversation) else { continue };
            let seq = (next - 1).saturating_sub(lost);
            let copy = self.copies.entry(log.conversation).or_default();
            copy.retain(|kept, _| *kept <= seq);
            self.skipped.retain(|(conversation, skipped)| *conversation != log.conversation || *skipped <= seq);
            let cursor = Cursor { seq: Seq::new(seq), entry: copy.get(&seq).copied() };
            shown.push(Shown { conversation: log.conversation, cursor });
        }
        self.next.clear();
        self.unacked.clear();
        self.reading.clear();
        self.due.clear();
        self.caught_up = false;
        self.heartbeat = false;
        self.requests.clear();
        let (feed, others): (Vec<_>, Vec<_>) = shown.into_iter().partition(|it| it.conversation == FEED);
        let feed = feed.first().map(|it| it.cursor);
        (feed, if matches!(show, Show::Unknown) { Vec::new() } else { others })
    }

    /// Where a new connection begins with a conversation.
    pub(crate) fn resume(&mut self, point: &ResumePoint) {
        self.begin(point);
        self.due.insert(point.conversation, point.head.get());
    }

    pub(crate) fn begin(&mut self, point: &ResumePoint) {
        let next = if point.reset { point.floor.get() } else { point.cursor.get() + 1 };
        self.next.entry(point.conversation).or_insert(next);
    }

    pub(crate) fn next(&self, conversation: ConversationId) -> Option<u64> {
        self.next.get(&conversation).copied()
    }

    /// A ref for a request that has to be answered once.
    pub(crate) fn new_ref(&mut self) -> Ref {
        self.refs += 1;
        self.requests.insert(Ref::new(self.refs));
        Ref::new(self.refs)
    }

    pub(crate) fn has_unacked(&self) -> bool {
        !self.unacked.is_empty()
    }

    pub(crate) fn offsets_version(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }

    pub(crate) fn take(&mut self, event: Event, logs: &[Log], config: &SessionConfig) {
        match event {
            Event::Welcome { admitted, .. } => {
                self.epoch = Some(admitted.epoch);
                self.take_offsets(&admitted.offsets);
            }
            Event::Signal(_) | Event::Presence { .. } | Event::Devices(_) | Event::Bootstrap(_) => {}
            Event::Offsets { offsets, .. } => self.take_offsets(&offsets),
            Event::CaughtUp => {
                assert!(!std::mem::replace(&mut self.caught_up, true), "caught up twice");
                for (conversation, head) in &self.due {
                    assert!(self.next[conversation] > *head, "{conversation} has not caught up with {head}");
                }
            }
            Event::Entry(entry) => self.take_entry(entry, logs, config),
            Event::Entries(entries) => {
                assert!(entries.len() > 1 && entries.len() <= config.page_entries as usize);
                entries.into_iter().for_each(|entry| self.take_entry(entry, logs, config));
            }
            Event::Skip { conversation, skip } => {
                let next = self.next.get_mut(&conversation).expect("a conversation that is followed");
                assert_eq!(skip.from.get(), *next, "a skip elsewhere");
                assert!(skip.to >= skip.from, "a skip of nothing");
                assert!(self.unacked.iter().all(|it| it.conversation != conversation), "a skip among deliveries");
                *next = skip.to.get() + 1;
                self.skipped.extend((skip.from.get()..*next).map(|seq| (conversation, seq)));
            }
            Event::Reset { conversation, .. } => {
                self.copies.remove(&conversation);
                self.skipped.retain(|(of, _)| *of != conversation);
            }
            Event::Heartbeat => self.heartbeat = true,
            Event::Failed { reference, code, .. } => {
                assert!(!code.closes(), "{code} without a close");
                assert!(reference.is_none_or(|it| self.requests.remove(&it)), "a refusal of nothing");
            }
            Event::Receipts(told) => assert!(!told.receipts.is_empty(), "receipts of nobody"),
            Event::Sent { reference, .. } | Event::Done { reference } | Event::Unread { reference, .. } => {
                assert!(reference.is_some_and(|it| self.requests.remove(&it)), "an answer to nothing");
            }
        }
    }

    fn take_offsets(&mut self, offsets: &[Offset]) {
        self.offsets.extend(offsets.iter().map(|it| it.seq.get()));
        assert_eq!(self.offsets.len() as u64, self.offsets_version(), "a change of offsets is missing");
    }

    fn take_entry(&mut self, entry: SharedEntry, logs: &[Log], config: &SessionConfig) {
        let next = self.next.get_mut(&entry.conversation).expect("a conversation that is followed");
        assert_eq!(entry.seq.get(), *next, "out of order in {}", entry.conversation);
        *next += 1;
        let log = logs.iter().find(|log| log.conversation == entry.conversation).expect("its log");
        assert!(log.shows(entry.seq.get()), "{} at {} is outside of all stays", entry.conversation, entry.seq);
        assert!(log.id_at(entry.seq.get()).is_none_or(|id| id == entry.id), "an entry of another log");
        self.copies.entry(entry.conversation).or_default().insert(entry.seq.get(), entry.id);
        self.unacked.push(entry);
        let of_it = self.unacked.iter().filter(|it| it.conversation == log.conversation).count();
        assert!(of_it as u64 <= config.window_entries, "{of_it} entries in flight");
        let bytes: usize = self.unacked.iter().map(SharedEntry::cost_bytes).sum();
        assert!(self.unacked.len() == 1 || bytes <= config.window_bytes, "{bytes} bytes in flight");
    }

    /// What to acknowledge, leaving the last few out.
    pub(crate) fn ack(&mut self, conversation: ConversationId, lag: u64) -> Option<Offset> {
        let seq = (self.next(conversation)? - 1).saturating_sub(lag);
        self.unacked.retain(|it| it.conversation != conversation || it.seq.get() > seq);
        Some(offset(conversation, seq))
    }

    pub(crate) fn check_acked(&self, conversation: ConversationId, seq: u64) {
        assert!(seq < self.next[&conversation], "a cursor beyond what was delivered");
        let unacked = self.unacked.iter().any(|it| it.conversation == conversation && it.seq.get() <= seq);
        assert!(!unacked, "a cursor that the device did not move");
    }

    pub(crate) fn check_read(&mut self, conversation: ConversationId, from: u64, count: u32, config: &SessionConfig) {
        assert_eq!(from, self.next[&conversation], "a read elsewhere");
        let in_flight = self.unacked.iter().filter(|it| it.conversation == conversation).count() as u64;
        assert!(count > 0 && in_flight + u64::from(count) <= config.window_entries, "{count} more to {in_flight}");
        assert!(count <= config.page_entries);
        assert!(!self.reading.contains(&conversation), "two reads of one conversation");
        self.reading.push(conversation);
        assert!(self.reading.len() <= config.reads_max as usize, "{} reads", self.reading.len());
    }

    /// The device has what the logs have.
    pub(crate) fn check_complete(&self, logs: &[Log], offsets_version: u64) {
        assert!(self.caught_up, "never caught up");
        assert!(self.requests.is_empty(), "requests without an answer: {:?}", self.requests);
        assert_eq!(self.offsets_version(), offsets_version, "offsets are missing");
        let nothing = BTreeMap::new();
        for log in logs {
            let copy = self.copies.get(&log.conversation).unwrap_or(&nothing);
            let due = |seq: &u64| log.shows(*seq) && !self.skipped.contains(&(log.conversation, *seq));
            for seq in (log.floor..=log.head()).filter(due) {
                assert_eq!(copy.get(&seq).copied(), log.id_at(seq), "{} at {seq}", log.conversation);
            }
        }
    }
}
