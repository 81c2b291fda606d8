//! New entries: the rows themselves and the heads that they move.

use super::work::Work;
use crate::sql::{ROWS_MAX, RowsScript, Values};
use lockstep_model::{
    Body, ClientMsgId, ConversationId, DeviceId, Entry, EntryId, FeedChange, Kind, Offset, Sender, Seq, UnixMs,
};
use std::sync::LazyLock;

/// Stores entries. OR FAIL here and elsewhere: a failed statement is undone with its transaction or savepoint, so SQLite
/// need not be able to undo it alone, which would cost a copy of every page that it changes.
pub(super) const INSERT: (usize, &str) = (
    9,
    "INSERT OR FAIL INTO entries (conversation, seq, id, kind, sender, sender_device, client_msg_id, body, sent_at) \
     SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
);

/// Moves heads.
pub(super) const MOVE_HEADS: (usize, &str) = (
    3,
    "UPDATE OR FAIL conversations SET head = v.column2, active_at = max(active_at, v.column3) \
     FROM (VALUES {rows}) AS v WHERE id = v.column1",
);

static SCRIPT: LazyLock<RowsScript<2>> = LazyLock::new(|| RowsScript::new([INSERT, MOVE_HEADS]));

/// An entry with its place.
pub(super) struct NewEntry<'a> {
    pub(super) conversation: ConversationId,
    pub(super) seq: Seq,
    pub(super) id: EntryId,
    pub(super) kind: &'a Kind,
    pub(super) sender: &'a str,
    pub(super) sender_device: Option<DeviceId>,
    pub(super) client_msg_id: Option<&'a ClientMsgId>,
    pub(super) body: &'a Body,
    pub(super) sent_at: UnixMs,
}

impl<'a> From<&'a Entry> for NewEntry<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            conversation: entry.conversation,
            seq: entry.seq,
            id: entry.id,
            kind: &entry.kind,
            sender: entry.sender.as_str(),
            sender_device: entry.sender_device,
            client_msg_id: entry.client_msg_id.as_ref(),
            body: &entry.body,
            sent_at: entry.sent_at,
        }
    }
}

/// The entry of a feed that tells of a change, after the feed's head.
pub(super) fn feed_entry(feed: ConversationId, head: Seq, change: FeedChange, now: UnixMs) -> Entry {
    system_entry(feed, head, change.to_body(), now)
}

/// An entry that the server itself writes after a log's head.
pub(super) fn system_entry(conversation: ConversationId, head: Seq, body: Body, now: UnixMs) -> Entry {
    Entry {
        conversation,
        seq: head.next(),
        id: EntryId::generate(),
        kind: Kind::System,
        sender: Sender::server(),
        sender_device: None,
        client_msg_id: None,
        body,
        sent_at: now,
    }
}

/// Where a log ends after new entries.
pub(super) struct Head {
    conversation: ConversationId,
    seq: Seq,
    active_at: UnixMs,
}

/// The heads after entries that are sorted by conversation and seq, in the order of their table's key.
pub(super) fn heads(entries: &[NewEntry<'_>]) -> Vec<Head> {
    let stretches = entries.chunk_by(|one, next| one.conversation == next.conversation);
    let head = |stretch: &[NewEntry<'_>]| {
        let (last, _) = stretch.split_last()?;
        let active_at = stretch.iter().map(|entry| entry.sent_at).max()?;
        Some(Head { conversation: last.conversation, seq: last.seq, active_at })
    };
    stretches.filter_map(head).collect()
}

impl NewEntry<'_> {
    /// A row of [`INSERT`].
    pub(super) fn bind(&self, values: &mut Values) {
        let device = self.sender_device.as_ref().map(|device| device.as_bytes().as_slice());
        values.blob(self.conversation.as_bytes()).int(self.seq.get()).blob(self.id.as_bytes());
        values.text(self.kind.as_str()).text(self.sender).optional_blob(device);
        values.optional_text(self.client_msg_id.map(ClientMsgId::as_str));
        values.text(self.body.as_json()).int(self.sent_at.get());
    }
}

impl Head {
    /// A row of [`MOVE_HEADS`].
    pub(super) fn bind(&self, values: &mut Values) {
        values.blob(self.conversation.as_bytes()).int(self.seq.get()).int(self.active_at.get());
    }
}

impl From<&Head> for Offset {
    fn from(head: &Head) -> Self {
        Self { conversation: head.conversation, seq: head.seq }
    }
}

/// Stores system entries and moves their heads. Says how many rows were written.
pub(super) async fn insert(work: &mut Work<'_>, entries: &[Entry]) -> Result<u64, sqlx::Error> {
    let mut written = 0;
    let mut entries: Vec<NewEntry<'_>> = entries.iter().map(NewEntry::from).collect();
    entries.sort_unstable_by_key(|entry| (entry.conversation, entry.seq));
    for entries in entries.chunks(ROWS_MAX) {
        let heads = heads(entries);
        let bind = |values: &mut Values, statement| match statement {
            0 => entries.iter().for_each(|entry| entry.bind(values)),
            _ => heads.iter().for_each(|head| head.bind(values)),
        };
        written += work.execute_script(&SCRIPT, false, entries.len(), bind).await?;
        work.moved.extend(heads.iter().map(Offset::from));
    }
    Ok(written)
}
