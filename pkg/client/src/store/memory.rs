//! A store in memory: for tests, bots, and devices that may begin anew.

use super::{Change, HistorySource, LocalStore, State, StoreError};
use async_trait::async_trait;
use lockstep_protocol::{Body, Content, ConversationId, Cursor, Entry, Held, Kind, Offset, Seq};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Entries kept per conversation unless set otherwise. Older ones are dropped.
const HISTORY_MAX: usize = 1_000;

/// A store in memory. Its history is bounded: the oldest entries of a conversation give way.
#[derive(Debug)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    history_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    history: BTreeMap<ConversationId, BTreeMap<Seq, Entry>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_history(HISTORY_MAX)
    }
}

impl MemoryStore {
    /// An empty store that keeps 1,000 entries of each conversation.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that keeps so many entries of each conversation.
    pub fn with_history(entries_max: usize) -> Self {
        Self { inner: Mutex::default(), history_max: entries_max }
    }
}

impl Inner {
    fn apply(&mut self, change: &Change, history_max: usize) {
        let state = &mut self.state;
        match change {
            Change::Identity { user, feed } => {
                state.user = Some(user.clone());
                state.feed = Some(*feed);
            }
            Change::Epoch(epoch) => state.epoch = Some(*epoch),
            Change::Entry(entry) => {
                let cursor = Cursor { seq: entry.seq, entry: Some(entry.id) };
                state.cursors.insert(entry.conversation, cursor);
                self.keep(entry, history_max);
            }
            Change::Past(entry) => self.keep(entry, history_max),
            Change::Partial(Offset { conversation, seq }) => {
                state.partial.insert(*conversation, *seq);
            }
            Change::Filled { conversation, cursor } => {
                state.partial.remove(conversation);
                state.cursors.insert(*conversation, *cursor);
            }
            Change::PartialDropped(conversation) => {
                state.partial.remove(conversation);
                self.history.remove(conversation);
            }
            Change::Cursor { conversation, cursor } => {
                state.cursors.insert(*conversation, *cursor);
            }
            Change::Reset { conversation, cursor } => {
                self.history.remove(conversation);
                state.cursors.insert(*conversation, *cursor);
            }
            Change::Left(conversation) => {
                state.left.insert(*conversation);
            }
            Change::Joined(conversation) => {
                state.left.remove(conversation);
            }
            Change::Offsets { version, offsets } => {
                state.offsets_version = version.unwrap_or(state.offsets_version);
                offsets.iter().for_each(|offset| raise(&mut state.offsets, offset));
            }
            Change::OffsetsDropped => {
                state.offsets.clear();
                state.offsets_version = Default::default();
            }
            Change::OutboxAdded(item) => {
                if state.outbox.iter().all(|other| other.client_msg_id != item.client_msg_id) {
                    state.outbox.push(item.clone());
                }
            }
            Change::OutboxRemoved(id) => state.outbox.retain(|item| item.client_msg_id != *id),
            Change::ReadWanted(offset) => raise(&mut state.reads, offset),
            Change::ReadSettled(offset) => {
                if state.reads.get(&offset.conversation).is_some_and(|seq| *seq <= offset.seq) {
                    state.reads.remove(&offset.conversation);
                }
            }
        }
    }
}

impl Inner {
    fn keep(&mut self, entry: &Entry, history_max: usize) {
        let history = self.history.entry(entry.conversation).or_default();
        history.insert(entry.seq, entry.clone());
        erase_recalled(history, entry);
        while history.len() > history_max {
            history.pop_first();
        }
    }
}

/// What a recall withdraws does not stay: neither the message's body nor those of its edits.
fn erase_recalled(history: &mut BTreeMap<Seq, Entry>, recall: &Entry) {
    if recall.kind != Kind::Recall {
        return;
    }
    let Ok(Content::Recall { target }) = Content::of(&recall.kind, &recall.body) else { return };
    for (seq, entry) in history.range_mut(target..) {
        let is_edit = || entry.kind == Kind::Edit && content_target(entry) == Some(target);
        if *seq == target || is_edit() {
            entry.body = Body::recalled();
        }
    }
}

fn content_target(entry: &Entry) -> Option<Seq> {
    Content::of(&entry.kind, &entry.body).ok()?.target()
}

fn raise(offsets: &mut BTreeMap<ConversationId, Seq>, offset: &Offset) {
    let seq = offsets.entry(offset.conversation).or_default();
    *seq = (*seq).max(offset.seq);
}

#[async_trait]
impl LocalStore for MemoryStore {
    async fn load(&self) -> Result<State, StoreError> {
        Ok(self.inner.lock().state.clone())
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut inner = self.inner.lock();
        changes.iter().for_each(|change| inner.apply(change, self.history_max));
        Ok(())
    }

    async fn history(&self, conversation: ConversationId, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let inner = self.inner.lock();
        let Some(history) = inner.history.get(&conversation) else { return Ok(Vec::new()) };
        let mut entries: Vec<Entry> = history.values().rev().take(limit).cloned().collect();
        entries.reverse();
        Ok(entries)
    }
}

#[async_trait]
impl HistorySource for MemoryStore {
    async fn held(&self) -> Result<Vec<Held>, StoreError> {
        let inner = self.inner.lock();
        let first = |(conversation, history): (&ConversationId, &BTreeMap<Seq, Entry>)| {
            Some(Held { conversation: *conversation, from_seq: *history.first_key_value()?.0 })
        };
        Ok(inner.history.iter().filter_map(first).collect())
    }

    async fn latest(&self, conversation: ConversationId, entries: u32, to: Seq) -> Result<Option<Seq>, StoreError> {
        let inner = self.inner.lock();
        let Some(history) = inner.history.get(&conversation) else { return Ok(None) };
        Ok(history.range(..=to).rev().take(entries as usize).last().map(|(seq, _)| *seq))
    }

    async fn stretch(
        &self,
        conversation: ConversationId,
        from: Seq,
        to: Seq,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let inner = self.inner.lock();
        let Some(history) = inner.history.get(&conversation).filter(|_| from <= to) else { return Ok(Vec::new()) };
        let mut room = bytes_max;
        let mut stretch: Vec<Entry> = Vec::new();
        for entry in history.range(from..=to).map(|(_, entry)| entry) {
            let bytes = serde_json::to_string(entry).map_or(0, |json| json.len());
            if bytes > room && !stretch.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            stretch.push(entry.clone());
        }
        Ok(stretch)
    }
}
