//! The conversations that a device follows: one row each, kept small, since there are many of them.

use lockstep_model::{ConversationId, Seq};
use std::ops::{Index, IndexMut};

/// One followed conversation.
///
/// `live`: the next entry is delivered as the broker brings it. Otherwise the conversation is in log mode, and is either
/// `queued` for a read, `reading`, or waiting for an acknowledgement that makes room in its window.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) conversation: ConversationId,
    /// The next entry to deliver.
    pub(crate) next: Seq,
    /// Everything up to here is acknowledged.
    pub(crate) acked: Seq,
    /// How many entries from `next` on the log is said to have, beyond what a read under way covers.
    pub(crate) ahead: u32,
    pub(crate) live: bool,
    pub(crate) queued: bool,
    pub(crate) reading: bool,
    /// Whether it counts towards `caught_up`, wants all acknowledged before the next read, or is over.
    pub(crate) marks: Marks,
}

/// Rare marks in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    bits: u8,
}

impl Marks {
    const CATCHING_UP: u8 = 1;
    const DRAINING: u8 = 2;
    const ENDED: u8 = 4;
    const UNFILLED: u8 = 8;

    /// Has not reached the log's head since the connection began.
    pub(crate) fn catching_up(self) -> bool {
        self.bits & Self::CATCHING_UP != 0
    }

    /// Reads on only once everything is acknowledged, so that a skip does not fall among unacknowledged deliveries.
    pub(crate) fn draining(self) -> bool {
        self.bits & Self::DRAINING != 0
    }

    /// The user's stay is over: nothing more is delivered, and the row waits for acknowledgements alone.
    pub(crate) fn ended(self) -> bool {
        self.bits & Self::ENDED != 0
    }

    /// Another device is to fill it first: nothing is delivered before.
    pub(crate) fn unfilled(self) -> bool {
        self.bits & Self::UNFILLED != 0
    }

    pub(crate) fn set_unfilled(&mut self, on: bool) {
        self.set(Self::UNFILLED, on);
    }

    pub(crate) fn set_ended(&mut self, on: bool) {
        self.set(Self::ENDED, on);
    }

    pub(crate) fn set_catching_up(&mut self, on: bool) {
        self.set(Self::CATCHING_UP, on);
    }

    pub(crate) fn set_draining(&mut self, on: bool) {
        self.set(Self::DRAINING, on);
    }

    fn set(&mut self, bit: u8, on: bool) {
        self.bits = if on { self.bits | bit } else { self.bits & !bit };
    }
}

impl Topic {
    pub(crate) fn after(conversation: ConversationId, cursor: Seq) -> Self {
        Self {
            conversation,
            next: cursor.next(),
            acked: cursor,
            ahead: 0,
            live: true,
            queued: false,
            reading: false,
            marks: Marks::default(),
        }
    }

    /// A stay begins where the one before ended.
    pub(crate) fn resume(&mut self) {
        self.marks = Marks::default();
        (self.live, self.ahead) = (true, 0);
    }

    /// Deliveries without an acknowledgement.
    pub(crate) fn in_flight(&self) -> u64 {
        self.next.get() - 1 - self.acked.get()
    }

    /// Whether the stay is over and all of it is acknowledged.
    pub(crate) fn is_over(&self) -> bool {
        self.marks.ended() && self.in_flight() == 0
    }

    /// Notes that the log is said to reach `head`.
    pub(crate) fn saw_head(&mut self, head: Seq) {
        let ahead = (head.get() + 1).saturating_sub(self.next.get());
        self.ahead = self.ahead.max(u32::try_from(ahead).unwrap_or(u32::MAX));
    }

    /// Moves past everything below `next`.
    pub(crate) fn advance_to(&mut self, next: Seq) {
        let by = next.get() - self.next.get();
        self.ahead = self.ahead.saturating_sub(u32::try_from(by).unwrap_or(u32::MAX));
        self.next = next;
    }
}

/// All followed conversations, in the order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Topics(Vec<Topic>);

impl Topics {
    /// Takes the conversations of a resuming device.
    pub(crate) fn new(mut topics: Vec<Topic>) -> Self {
        topics.sort_unstable_by_key(|topic| topic.conversation);
        topics.dedup_by_key(|topic| topic.conversation);
        topics.shrink_to_fit();
        Self(topics)
    }

    pub(crate) fn get_mut(&mut self, conversation: ConversationId) -> Option<&mut Topic> {
        self.find(conversation).map(|row| &mut self.0[row])
    }

    pub(crate) fn get(&self, conversation: ConversationId) -> Option<&Topic> {
        self.find(conversation).map(|row| &self.0[row])
    }

    /// The conversation's row, which stays the same until one is inserted.
    pub(crate) fn find(&self, conversation: ConversationId) -> Option<usize> {
        self.search(conversation).ok()
    }

    /// Compares ids as numbers, whose order is that of their bytes: a delivery spends most of its time here.
    fn search(&self, conversation: ConversationId) -> Result<usize, usize> {
        let number = |id: ConversationId| u128::from_be_bytes(*id.as_bytes());
        self.0.binary_search_by_key(&number(conversation), |topic| number(topic.conversation))
    }

    /// Adds a conversation. False if it was there.
    pub(crate) fn insert(&mut self, topic: Topic) -> bool {
        match self.search(topic.conversation) {
            Ok(_) => false,
            Err(index) => {
                self.0.insert(index, topic);
                true
            }
        }
    }

    /// The row of a conversation whose stay is not over.
    pub(crate) fn followed(&self, conversation: ConversationId) -> Option<usize> {
        self.find(conversation).filter(|row| !self.0[*row].marks.ended())
    }

    /// Forgets a conversation.
    pub(crate) fn remove(&mut self, conversation: ConversationId) {
        if let Some(row) = self.find(conversation) {
            self.0.remove(row);
        }
    }

    /// Those in log mode, as far as they are not to be filled first.
    pub(crate) fn behind(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.0.iter_mut().filter(|topic| !topic.live && !topic.marks.unfilled())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn not_ended(&self) -> impl Iterator<Item = ConversationId> + '_ {
        self.0.iter().filter(|topic| !topic.marks.ended()).map(|topic| topic.conversation)
    }

    pub(crate) fn conversations(&self) -> impl Iterator<Item = ConversationId> + '_ {
        self.0.iter().map(|topic| topic.conversation)
    }
}

impl Index<usize> for Topics {
    type Output = Topic;
    fn index(&self, row: usize) -> &Topic {
        &self.0[row]
    }
}

impl IndexMut<usize> for Topics {
    fn index_mut(&mut self, row: usize) -> &mut Topic {
        &mut self.0[row]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<Topic>() <= 40, "{} bytes", size_of::<Topic>());
    }
}
