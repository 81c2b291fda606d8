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
        Self { conversation, start, head: Seq::ZERO, refused: vec![], told: Told::No }
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
        Self(items.into())
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

    /// Puts one back that has to wait: it is the next one.
    pub(crate) fn put_back(&mut self, item: Item) {
        self.0.push_front(item);
    }

    /// A main device may be asked again.
    pub(crate) fn forgive(&mut self, main: DeviceId) {
        self.0.iter_mut().for_each(|item| item.refused.retain(|refused| *refused != main));
    }
}
