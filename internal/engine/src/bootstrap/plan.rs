//! What of a filling is still to be done, in order.

use lockstep_model::{ConversationId, DeviceId, Seq, SkipReason};
use std::collections::VecDeque;

/// Conversations that are told of at once.
const TOLD_MAX: usize = 16;
/// So many that were told of and not begun are enough.
const TOLD_ENOUGH: usize = 8;

/// A conversation to fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) conversation: ConversationId,
    /// The first entry that the device lacks, if it has a part.
    pub(crate) start: Option<Seq>,
    /// The furthest that it may be filled.
    pub(crate) head: Seq,
    /// Main devices that do not give it.
    pub(crate) refused: Vec<DeviceId>,
    told: Told,
    /// Its place in the plan, which it keeps when it has to be asked for again.
    rank: usize,
}

/// Whether the device knows what the server knows of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Asked,
    Yes,
}

impl Item {
    /// A conversation of which the device has everything before `start`, if that is there.
    pub(crate) fn new(conversation: ConversationId, start: Option<Seq>) -> Self {
        Self { conversation, start, head: Seq::ZERO, refused: vec![], told: Told::No, rank: 0 }
    }

    /// The first entry that the device lacks.
    pub(crate) fn first(&self) -> Seq {
        self.start.unwrap_or(Seq::new(1))
    }

    /// Why what lies below the first chunk is left out.
    pub(crate) fn left_out(&self, from_seq: Seq, entries: u32) -> SkipReason {
        let is_older = from_seq.get() + u64::from(entries) <= self.head.get() + 1;
        if self.start.is_none() && is_older { SkipReason::Bootstrap } else { SkipReason::NotHeld }
    }
}

/// The conversations that wait, most recently active first.
#[derive(Debug)]
pub(crate) struct Plan(VecDeque<Item>);

impl Plan {
    pub(crate) fn new(items: Vec<Item>) -> Self {
        Self(items.into_iter().enumerate().map(|(rank, item)| Item { rank, ..item }).collect())
    }

    /// Those of which the device is to be told next. Each is named once.
    pub(crate) fn untold(&mut self) -> Vec<ConversationId> {
        if self.0.iter().take(TOLD_ENOUGH).all(|item| item.told != Told::No) {
            return vec![];
        }
        let untold = self.0.iter_mut().take(TOLD_MAX).filter(|item| item.told == Told::No);
        untold
            .map(|item| {
                item.told = Told::Asked;
                item.conversation
            })
            .collect()
    }

    /// The device was told of a conversation, whose log reaches so far; or there is none any more. False if that one did not
    /// wait.
    pub(crate) fn note_told(&mut self, conversation: ConversationId, head: Option<Seq>) -> bool {
        let Some(index) = self.0.iter().position(|item| item.conversation == conversation) else { return false };
        match head {
            Some(head) => (self.0[index].head, self.0[index].told) = (head, Told::Yes),
            None => drop(self.0.remove(index)),
        }
        true
    }

    /// Takes the next one of which the device was told.
    pub(crate) fn next_told(&mut self) -> Option<Item> {
        if self.0.front()?.told == Told::Yes { self.0.pop_front() } else { None }
    }

    /// Puts one back that has to wait, where it was: in whichever order they come back, the most recently active is next.
    pub(crate) fn put_back(&mut self, item: Item) {
        let place = self.0.partition_point(|other| other.rank < item.rank);
        self.0.insert(place, item);
    }

    /// A main device may be asked again.
    pub(crate) fn forgive(&mut self, main: DeviceId) {
        self.0.iter_mut().for_each(|item| item.refused.retain(|refused| *refused != main));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_asked_for_in_the_same_order() {
        let ids: Vec<ConversationId> = (1..=4).map(|byte| ConversationId::from_bytes([byte; 16])).collect();
        for returns in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
            let mut plan = Plan::new(ids.iter().map(|id| Item::new(*id, None)).collect());
            for id in plan.untold() {
                assert!(plan.note_told(id, Some(Seq::new(1))));
            }
            let mut asked: Vec<Option<Item>> = (0..3).map(|_| plan.next_told()).collect();
            returns.into_iter().filter_map(|index: usize| asked[index].take()).for_each(|item| plan.put_back(item));
            let next: Vec<_> = std::iter::from_fn(|| plan.next_told()).map(|item| item.conversation).collect();
            assert_eq!(next, ids, "{returns:?}");
        }
    }
}
