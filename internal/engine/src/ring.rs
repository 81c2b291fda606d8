//! The ring of recent entries: what was published lately in live conversations, so that gaps and short absences cost no
//! database read.

use dashmap::DashMap;
use lockstep_model::{ConversationId, Seq, SharedEntry};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The rings of all live conversations, bounded in entries each and in bytes together.
///
/// A ring holds consecutive seqs. It may end below the log's head; a reader says how far the log is known to reach, and a
/// ring that ends before that is of no use. What nobody wrote or read for a while goes: silence costs no memory.
pub(crate) struct Rings {
    rings: DashMap<ConversationId, Ring>,
    entries_max: usize,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// How many times something was erased.
    erasures: AtomicU64,
}

/// A moment among the erasures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Erasures(u64);

#[derive(Default)]
struct Ring {
    entries: VecDeque<SharedEntry>,
    /// Written or read since the last [`Rings::tidy`].
    used: AtomicBool,
}

impl Rings {
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self { rings: DashMap::new(), entries_max, bytes: AtomicUsize::new(0), bytes_max, erasures: AtomicU64::new(0) }
    }

    /// Remembers consecutive entries of one conversation.
    pub(crate) fn push(&self, run: &[SharedEntry]) {
        self.push_if(run, || true);
    }

    /// Remembers what was read from the log, unless something has been erased since the read began: it may stand there.
    pub(crate) fn push_read(&self, run: &[SharedEntry], began: Erasures) {
        self.push_if(run, || self.erasures() == began);
    }

    /// To be asked before a read of the log begins.
    pub(crate) fn erasures(&self) -> Erasures {
        Erasures(self.erasures.load(Ordering::SeqCst))
    }

    /// Forgets a conversation of which the log has just erased something. When this returns, nobody reads it here, and no
    /// read of the log that began before brings it back.
    pub(crate) fn erase(&self, conversation: ConversationId) {
        // In this order: a read that still counts itself as undisturbed has pushed before the ring is emptied.
        self.erasures.fetch_add(1, Ordering::SeqCst);
        if let Some(mut ring) = self.rings.get_mut(&conversation) {
            self.forget(ring.entries.drain(..));
        }
    }

    fn push_if(&self, run: &[SharedEntry], may: impl FnOnce() -> bool) {
        let Some(first) = run.first() else { return };
        let mut ring = self.rings.entry(first.conversation).or_default();
        if !may() {
            return;
        }
        ring.used.store(true, Ordering::Relaxed);
        let ring = &mut ring.entries;
        for entry in run {
            match ring.back().map(|last| last.seq.next()) {
                Some(next) if entry.seq < next => continue,
                Some(next) if entry.seq > next => self.forget(ring.drain(..)),
                _ => {}
            }
            self.bytes.fetch_add(entry.cost_bytes(), Ordering::Relaxed);
            ring.push_back(entry.clone());
        }
        // Over the common budget every ring that grows gives up its older half, until the sum fits again.
        let over = self.bytes.load(Ordering::Relaxed) > self.bytes_max;
        let keep = if over { self.entries_max.min(ring.len() / 2) } else { self.entries_max };
        let excess = ring.len() - keep.min(ring.len());
        self.forget(ring.drain(..excess));
    }

    /// The entries from `from` on, at most `count`, if the ring has them and reaches `head`.
    pub(crate) fn read(
        &self,
        conversation: ConversationId,
        from: Seq,
        count: usize,
        head: Seq,
    ) -> Option<(Vec<SharedEntry>, Seq)> {
        let ring = self.rings.get(&conversation)?;
        ring.used.store(true, Ordering::Relaxed);
        let ring = &ring.entries;
        let (first, last) = (ring.front()?.seq, ring.back()?.seq);
        if from < first || last < head || from > last.next() {
            return None;
        }
        let skipped = (from.get() - first.get()) as usize;
        Some((ring.iter().skip(skipped).take(count).cloned().collect(), last))
    }

    /// Drops the rings that nobody used since the last time, and those of conversations that `keep` refuses.
    pub(crate) fn tidy(&self, keep: impl Fn(ConversationId) -> bool) {
        self.rings.retain(|conversation, ring| {
            let kept = ring.used.swap(false, Ordering::Relaxed) && keep(*conversation);
            if !kept {
                self.forget(ring.entries.drain(..));
            }
            kept
        });
        if self.rings.capacity() > 64 * (self.rings.len() + 1) {
            self.rings.shrink_to_fit();
        }
    }

    fn forget(&self, entries: impl Iterator<Item = SharedEntry>) {
        let bytes = entries.map(|entry| entry.cost_bytes()).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::{Body, Entry, EntryId, Kind, Sender, UnixMs};

    const ROOM: ConversationId = ConversationId::from_bytes([1; 16]);

    fn entries(seqs: std::ops::RangeInclusive<u64>) -> Vec<SharedEntry> {
        let entry = |seq| Entry {
            conversation: ROOM,
            seq: Seq::new(seq),
            id: EntryId::generate(),
            kind: Kind::Message,
            sender: Sender::server(),
            sender_device: None,
            client_msg_id: None,
            body: Body::text("x"),
            sent_at: UnixMs::ZERO,
        };
        seqs.map(|seq| SharedEntry::new(entry(seq))).collect()
    }

    fn read(rings: &Rings, from: u64, count: usize, head: u64) -> Option<(Vec<u64>, u64)> {
        let (entries, last) = rings.read(ROOM, Seq::new(from), count, Seq::new(head))?;
        Some((entries.iter().map(|entry| entry.seq.get()).collect(), last.get()))
    }

    #[test]
    fn a_ring_answers_only_what_it_holds() {
        let rings = Rings::new(4, usize::MAX);
        assert_eq!(read(&rings, 1, 9, 0), None);
        rings.push(&entries(1..=6));
        let cases = [
            (3, 9, 6, Some((vec![3, 4, 5, 6], 6))),
            (4, 2, 6, Some((vec![4, 5], 6))),
            (7, 9, 6, Some((vec![], 6))),
            (2, 9, 6, None),
            (4, 9, 7, None),
            (8, 9, 6, None),
        ];
        for (from, count, head, expected) in cases {
            assert_eq!(read(&rings, from, count, head), expected, "from {from}, head {head}");
        }
    }

    #[test]
    fn a_hole_starts_the_ring_anew_and_repeats_are_dropped() {
        let rings = Rings::new(9, usize::MAX);
        rings.push(&entries(1..=3));
        rings.push(&entries(2..=4));
        assert_eq!(read(&rings, 1, 9, 4), Some((vec![1, 2, 3, 4], 4)));
        rings.push(&entries(7..=8));
        assert_eq!((read(&rings, 4, 9, 4), read(&rings, 7, 9, 8)), (None, Some((vec![7, 8], 8))));
    }

    #[test]
    fn what_was_read_before_an_erasure_does_not_come_back() {
        let rings = Rings::new(9, usize::MAX);
        let began = rings.erasures();
        rings.push(&entries(1..=2));
        rings.erase(ROOM);
        assert_eq!((read(&rings, 1, 9, 0), rings.bytes.load(Ordering::Relaxed)), (None, 0));
        rings.push_read(&entries(1..=2), began);
        assert_eq!(read(&rings, 1, 9, 0), None);
        rings.push_read(&entries(1..=2), rings.erasures());
        assert_eq!(read(&rings, 1, 9, 0), Some((vec![1, 2], 2)));
    }

    #[test]
    fn the_budget_is_kept() {
        let cost = entries(1..=1)[0].cost_bytes();
        let rings = Rings::new(100, 10 * cost);
        for seq in 1..=50 {
            rings.push(&entries(seq..=seq));
            assert!(rings.bytes.load(Ordering::Relaxed) <= 11 * cost);
        }
        // The first time it was used, the second time not.
        rings.tidy(|_| true);
        assert!(read(&rings, 51, 9, 50).is_some() && rings.bytes.load(Ordering::Relaxed) > 0);
        rings.tidy(|_| true);
        rings.tidy(|_| true);
        assert_eq!((read(&rings, 51, 9, 50), rings.bytes.load(Ordering::Relaxed)), (None, 0));
    }
}
