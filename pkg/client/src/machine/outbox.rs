//! The messages without an answer, in the order in which they were taken.

use crate::OutboxItem;
use lockstep_protocol::{ClientMsgId, Ref, Target};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

/// Messages under way at once, over all targets.
const IN_FLIGHT_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: BTreeMap<u64, Item>,
    by_id: HashMap<ClientMsgId, u64>,
    next_position: u64,
    in_flight: usize,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) item: OutboxItem,
    pub(super) attempts: u32,
    pub(super) state: ItemState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemState {
    /// The store does not have it yet.
    Saving,
    /// It may be sent, at once or from a moment on.
    Ready(Option<Instant>),
    /// It was sent.
    InFlight { reference: Ref, at: Instant },
    /// The server has answered; the store has yet to let it go.
    Answered,
}

impl Outbox {
    pub(super) fn new(items: Vec<OutboxItem>) -> Self {
        let mut outbox = Self::default();
        for item in items {
            outbox.insert(item, ItemState::Ready(None));
        }
        outbox
    }

    pub(super) fn add(&mut self, item: OutboxItem) -> u64 {
        self.insert(item, ItemState::Saving)
    }

    fn insert(&mut self, item: OutboxItem, state: ItemState) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        self.by_id.insert(item.client_msg_id.clone(), position);
        self.items.insert(position, Item { item, attempts: 0, state });
        position
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn find(&self, id: &ClientMsgId) -> Option<(u64, &Item)> {
        let position = *self.by_id.get(id)?;
        Some((position, self.items.get(&position)?))
    }

    pub(super) fn get(&self, position: u64) -> Option<&Item> {
        self.items.get(&position)
    }

    /// The store has it.
    pub(super) fn saved(&mut self, position: u64) -> Option<ClientMsgId> {
        let item = self.items.get_mut(&position)?;
        if item.state == ItemState::Saving {
            item.state = ItemState::Ready(None);
        }
        Some(item.item.client_msg_id.clone())
    }

    /// The store does not have it, or does not any more.
    pub(super) fn take(&mut self, position: u64) -> Option<OutboxItem> {
        self.set(position, ItemState::Ready(None));
        let item = self.items.remove(&position)?.item;
        self.by_id.remove(&item.client_msg_id);
        Some(item)
    }

    pub(super) fn remove(&mut self, id: &ClientMsgId) {
        if let Some(position) = self.by_id.get(id).copied() {
            self.take(position);
        }
    }

    pub(super) fn set(&mut self, position: u64, state: ItemState) {
        let Some(item) = self.items.get_mut(&position) else { return };
        let is_in_flight = |state: &ItemState| usize::from(matches!(state, ItemState::InFlight { .. }));
        self.in_flight = self.in_flight + is_in_flight(&state) - is_in_flight(&item.state);
        item.attempts += is_in_flight(&state) as u32;
        item.state = state;
    }

    /// What was sent on the connection that is gone may or may not have arrived: all of it is sent again.
    pub(super) fn disconnected(&mut self) {
        for item in self.items.values_mut() {
            if let ItemState::InFlight { .. } | ItemState::Ready(_) = item.state {
                item.state = ItemState::Ready(None);
            }
        }
        self.in_flight = 0;
    }

    /// The store did not let the answered messages go.
    pub(super) fn reopen(&mut self) {
        for item in self.items.values_mut().filter(|item| item.state == ItemState::Answered) {
            item.state = ItemState::Ready(None);
        }
    }

    /// The messages that are first of their target, and their states: a later one waits for its answer, so that a
    /// target gets them in order even if one has to be repeated.
    pub(super) fn firsts(&self) -> impl Iterator<Item = (u64, ItemState)> + '_ {
        let mut targets: HashSet<&Target> = HashSet::new();
        self.items
            .iter()
            .filter(|(_, item)| item.state != ItemState::Answered)
            .filter(move |(_, item)| targets.insert(&item.item.target))
            .map(|(position, item)| (*position, item.state))
    }

    /// Whether one more may be under way.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < IN_FLIGHT_MAX
    }

    /// What may be sent now, oldest first.
    pub(super) fn sendable(&self, now: Instant) -> Vec<u64> {
        let room = IN_FLIGHT_MAX - self.in_flight.min(IN_FLIGHT_MAX);
        if room == 0 || self.items.len() == self.in_flight {
            return Vec::new();
        }
        let ready = |state| matches!(state, ItemState::Ready(from) if from.is_none_or(|from| from <= now));
        self.firsts().filter(|(_, state)| ready(*state)).map(|(position, _)| position).take(room).collect()
    }
}
