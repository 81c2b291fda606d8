//! Which heads moved, from memory: what finds tail loss (I4) without a query.

use lockstep_model::{ConversationId, Offset, Seq};
use lockstep_ports::HeadMark;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};

/// A bounded ring of the heads that commits moved, oldest first. A mark is the number of records before it since the
/// store was opened.
#[derive(Debug)]
pub(crate) struct MovedHeads {
    records_max: usize,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The mark of the first record.
    start: u64,
    records: VecDeque<Offset>,
}

impl Ring {
    fn end(&self) -> u64 {
        self.start + self.records.len() as u64
    }
}

impl MovedHeads {
    pub(crate) fn new(records_max: usize) -> Self {
        Self { records_max, ring: Mutex::default() }
    }

    /// Notes the heads of one commit, before anybody is told of it.
    pub(crate) fn push(&self, moved: &[Offset]) {
        let mut ring = self.ring.lock();
        ring.records.extend(moved);
        let surplus = ring.records.len().saturating_sub(self.records_max);
        ring.records.drain(..surplus);
        ring.start += surplus as u64;
    }

    pub(crate) fn mark(&self) -> HeadMark {
        HeadMark(self.ring.lock().end())
    }

    /// The heads that moved after the mark, each conversation once; `None` if the ring does not reach so far back, or
    /// the mark is of another store.
    pub(crate) fn since(&self, mark: HeadMark) -> Option<Vec<Offset>> {
        let records: Vec<Offset> = {
            let ring = self.ring.lock();
            if mark.0 < ring.start || mark.0 > ring.end() {
                return None;
            }
            ring.records.range((mark.0 - ring.start) as usize..).copied().collect()
        };
        let mut newest: HashMap<ConversationId, Seq> = HashMap::with_capacity(records.len());
        for record in &records {
            let seq = newest.entry(record.conversation).or_default();
            *seq = record.seq.max(*seq);
        }
        Some(newest.into_iter().map(|(conversation, seq)| Offset { conversation, seq }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(conversation: u8, seq: u64) -> Offset {
        Offset { conversation: ConversationId::from_bytes([conversation; 16]), seq: Seq::new(seq) }
    }

    #[test]
    fn the_ring_forgets_its_oldest() {
        let heads = MovedHeads::new(3);
        let before = heads.mark();
        assert_eq!(heads.since(before), Some(vec![]));
        heads.push(&[head(1, 1), head(1, 2)]);
        assert_eq!(heads.since(before), Some(vec![head(1, 2)]));
        let middle = heads.mark();
        heads.push(&[head(2, 1), head(3, 1)]);
        assert_eq!(heads.since(before), None, "one record more than the ring holds");
        let mut moved = heads.since(middle).expect("the ring reaches back to here");
        moved.sort_by_key(|head| head.conversation);
        assert_eq!(moved, [head(2, 1), head(3, 1)]);
        assert_eq!(heads.since(HeadMark(5)), None, "a mark of another store");
    }
}
