//! A store in memory: for tests, bots, and devices that may begin anew.

use super::{Change, LocalStore, State, StoreError};
use async_trait::async_trait;
use lockstep_protocol::{Body, Content, ConversationId, Cursor, Entry, Kind, Offset, Seq};
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
                let history = self.history.entry(entry.conversation).or_default();
                history.insert(entry.seq, entry.clone());
                erase_recalled(history, entry);
                while history.len() > history_max {
                    history.pop_first();
                }
            }
            Change::Cursor { conversation, cursor } => {
                state.cursors.insert(*conversation, *cursor);
            }
            Change::Reset { conversation, cursor } => {
                self.history.remove(conversation);
                state.cursors.insert(*conversation, *cursor);
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
