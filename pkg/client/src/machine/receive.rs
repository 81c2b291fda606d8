//! What the server delivers: entries in order and once, skips, resets, read offsets.

use super::Machine;
use super::staged::Output;
use crate::{Change, DisconnectReason, Event, State};
use lockstep_protocol::{ConversationId, Cursor, Entry, Epoch, Kind, Offset, OffsetsVersion, Seq, SkipReason, UserId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// What the device has. Changes that are staged count as had; [`Replica::revert`] takes them back.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) user: Option<UserId>,
    pub(super) feed: Option<ConversationId>,
    pub(super) epoch: Option<Epoch>,
    pub(super) cursors: BTreeMap<ConversationId, Cursor>,
    /// The conversations that the user has left.
    pub(super) left: BTreeSet<ConversationId>,
    /// Up to where conversations are stored that are being filled. They have no cursor.
    pub(super) partial: BTreeMap<ConversationId, Seq>,
    pub(super) offsets_version: OffsetsVersion,
    /// What the server has said, stored or not: a read offset that it has need not be sent.
    pub(super) offsets: BTreeMap<ConversationId, Seq>,
    /// What stood there when the store last answered.
    undo: Undo,
}

#[derive(Debug, Default)]
struct Undo {
    cursors: HashMap<ConversationId, Option<Cursor>>,
    left: HashMap<ConversationId, bool>,
    partial: HashMap<ConversationId, Option<Seq>>,
    identity: Option<(Option<UserId>, Option<ConversationId>)>,
    epoch: Option<Option<Epoch>>,
    offsets_version: Option<OffsetsVersion>,
}

/// What a seq is to the device.
enum Place {
    /// It has it.
    Old,
    /// It is the next, or the first of its conversation.
    Next,
    /// Something is missing before it.
    Gap { expected: Seq },
}

impl Replica {
    pub(super) fn new(state: State) -> Self {
        let State { user, feed, epoch, cursors, left, partial, offsets_version, offsets, .. } = state;
        Self { user, feed, epoch, cursors, left, partial, offsets_version, offsets, undo: Undo::default() }
    }

    fn place(&self, conversation: ConversationId, seq: Seq) -> Place {
        let cursor = self.cursors.get(&conversation).map(|cursor| cursor.seq);
        match cursor.or_else(|| self.partial.get(&conversation).copied()) {
            // The server decides where a conversation begins that the device has nothing of.
            None => Place::Next,
            Some(stored) if seq <= stored => Place::Old,
            Some(stored) if seq == stored.next() => Place::Next,
            Some(stored) => Place::Gap { expected: stored.next() },
        }
    }

    pub(super) fn move_cursor(&mut self, conversation: ConversationId, cursor: Cursor) {
        let before = self.cursors.insert(conversation, cursor);
        self.undo.cursors.entry(conversation).or_insert(before);
    }

    /// Up to where a conversation is in the store. What is staged is not there yet.
    pub(super) fn stored(&self, conversation: ConversationId) -> Option<Seq> {
        let cursor = self.cursors.get(&conversation).map(|cursor| cursor.seq);
        match self.undo.cursors.get(&conversation) {
            Some(before) => before.map(|before| before.seq).min(cursor),
            None => cursor,
        }
    }

    pub(super) fn set_partial(&mut self, conversation: ConversationId, seq: Option<Seq>) {
        let before = match seq {
            Some(seq) => self.partial.insert(conversation, seq),
            None => self.partial.remove(&conversation),
        };
        self.undo.partial.entry(conversation).or_insert(before);
    }

    fn set_left(&mut self, conversation: ConversationId, left: bool) {
        let before = if left { !self.left.insert(conversation) } else { self.left.remove(&conversation) };
        self.undo.left.entry(conversation).or_insert(before);
    }

    pub(super) fn set_identity(&mut self, user: UserId, feed: ConversationId) {
        let before = (self.user.replace(user), self.feed.replace(feed));
        self.undo.identity.get_or_insert(before);
    }

    pub(super) fn set_epoch(&mut self, epoch: Epoch) {
        let before = self.epoch.replace(epoch);
        self.undo.epoch.get_or_insert(before);
    }

    fn set_offsets_version(&mut self, version: OffsetsVersion) {
        let before = std::mem::replace(&mut self.offsets_version, version);
        self.undo.offsets_version.get_or_insert(before);
    }

    pub(super) fn drop_offsets(&mut self) {
        self.set_offsets_version(OffsetsVersion::ZERO);
        self.offsets.clear();
    }

    /// The store has it all.
    pub(super) fn settle(&mut self) {
        self.undo = Undo::default();
    }

    /// The store has nothing of what came since it last answered.
    pub(super) fn revert(&mut self) {
        let Undo { cursors, left, partial, identity, epoch, offsets_version } = std::mem::take(&mut self.undo);
        for (conversation, before) in cursors {
            match before {
                Some(cursor) => self.cursors.insert(conversation, cursor),
                None => self.cursors.remove(&conversation),
            };
        }
        for (conversation, before) in left {
            if before {
                self.left.insert(conversation)
            } else {
                self.left.remove(&conversation)
            };
        }
        for (conversation, before) in partial {
            match before {
                Some(seq) => self.partial.insert(conversation, seq),
                None => self.partial.remove(&conversation),
            };
        }
        if let Some((user, feed)) = identity {
            (self.user, self.feed) = (user, feed);
        }
        self.epoch = epoch.unwrap_or(self.epoch);
        self.offsets_version = offsets_version.unwrap_or(self.offsets_version);
    }
}

impl Machine {
    pub(super) fn handle_entry(&mut self, now: Instant, entry: Entry) {
        let Entry { conversation, seq, id, .. } = entry;
        if !self.is_live() {
            return;
        }
        // A duplicate is acknowledged too, with its own seq: the server waits for it, and has delivered no more.
        let bytes = entry.body.as_json().len();
        let ack = Output::Ack { connection: self.connection, conversation, seq, bytes, at: now };
        match self.replica.place(conversation, seq) {
            Place::Old => {
                self.counters.duplicates += 1;
                self.staged.push(ack);
            }
            Place::Next => {
                self.counters.entries += 1;
                // The log delivers what is filled.
                self.end_partial(conversation, None);
                self.replica.move_cursor(conversation, Cursor { seq, entry: Some(id) });
                self.staged.change(Change::Entry(entry.clone()));
                self.note_membership(&entry);
                self.event(Event::Entry(entry));
                self.staged.push(ack);
            }
            Place::Gap { expected } => self.handle_gap(now, conversation, expected, seq),
        }
    }

    /// What the feed says of conversations that the user has left or joined.
    fn note_membership(&mut self, entry: &Entry) {
        if Some(entry.conversation) != self.replica.feed || entry.kind != Kind::System {
            return;
        }
        let left = match &*entry.body.type_name() {
            "conversation_removed" => true,
            "conversation_added" => false,
            _ => return,
        };
        let conversation = entry.body.text_field("conversation").and_then(|id| id.parse().ok());
        let Some(conversation) = conversation.filter(|id| self.replica.left.contains(id) != left) else { return };
        self.replica.set_left(conversation, left);
        self.staged.change(if left { Change::Left(conversation) } else { Change::Joined(conversation) });
    }

    pub(super) fn handle_skip(
        &mut self,
        now: Instant,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        reason: SkipReason,
    ) {
        if let Place::Gap { expected } = self.replica.place(conversation, from) {
            return self.handle_gap(now, conversation, expected, from);
        }
        if matches!(self.replica.place(conversation, to), Place::Old) {
            return;
        }
        let is_filled = self.replica.cursors.contains_key(&conversation);
        if !is_filled && matches!(reason, SkipReason::Bootstrap | SkipReason::NotHeld) {
            self.handle_unheld(conversation, to);
        } else {
            self.end_partial(conversation, None);
            let cursor = Cursor { seq: to, entry: None };
            self.replica.move_cursor(conversation, cursor);
            self.staged.change(Change::Cursor { conversation, cursor });
        }
        self.event(Event::Skip { conversation, from, to, reason });
    }

    pub(super) fn handle_gap(&mut self, now: Instant, conversation: ConversationId, expected: Seq, got: Seq) {
        self.counters.gaps += 1;
        self.disconnect(now, DisconnectReason::Gap { conversation, expected, got });
    }

    pub(super) fn handle_reset(&mut self, conversation: ConversationId, floor: Seq, head: Seq) {
        // The cursor stays, before the floor, so that a connection lost right now does not leave a hole: the next one
        // shows it.
        let cursor = Cursor { seq: floor.previous(), entry: None };
        self.drop_partial(conversation);
        self.note_not_held(conversation);
        self.replica.move_cursor(conversation, cursor);
        self.staged.change(Change::Reset { conversation, cursor });
        self.event(Event::Reset { conversation, floor, head });
    }

    pub(super) fn handle_offsets(&mut self, version: Option<OffsetsVersion>, offsets: Vec<Offset>) {
        // An older version is told again after a break; offsets merge by maximum, so only the version must not sink.
        let version = version.map(|version| version.max(self.replica.offsets_version));
        if let Some(version) = version {
            self.replica.set_offsets_version(version);
        }
        for Offset { conversation, seq } in &offsets {
            let known = self.replica.offsets.entry(*conversation).or_default();
            *known = (*known).max(*seq);
        }
        self.staged.change(Change::Offsets { version, offsets: offsets.clone() });
        if !offsets.is_empty() {
            self.event(Event::Offsets(offsets));
        }
    }
}
