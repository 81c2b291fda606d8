//! New entries: the rows themselves and the heads that they move.

use super::work::Work;
use crate::sql::RowsSql;
use lockstep_model::{
    Body, ClientMsgId, ConversationId, DeviceId, Entry, EntryId, FeedChange, Kind, Offset, Sender, Seq, UnixMs,
};
use std::collections::HashMap;
use std::sync::LazyLock;

// OR FAIL here and elsewhere: a failed statement is undone with its transaction or savepoint, so SQLite need not be able
// to undo it alone, which would cost a copy of every page that it changes.
static INSERT: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        9,
        "INSERT OR FAIL INTO entries (conversation, seq, id, kind, sender, sender_device, client_msg_id, body, sent_at) \
         SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
    )
});

static MOVE_HEADS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "UPDATE OR FAIL conversations SET head = v.column2, active_at = max(active_at, v.column3) \
         FROM (VALUES {rows}) AS v WHERE id = v.column1",
    )
});

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
    Entry {
        conversation: feed,
        seq: head.next(),
        id: EntryId::generate(),
        kind: Kind::System,
        sender: Sender::server(),
        sender_device: None,
        client_msg_id: None,
        body: change.to_body(),
        sent_at: now,
    }
}

/// Stores entries, those of a conversation in seq order, and moves the heads. Returns the number of rows written.
pub(super) async fn insert(work: &mut Work<'_>, entries: &[NewEntry<'_>]) -> Result<u64, sqlx::Error> {
    let inserted = INSERT
        .execute(work.connection, entries, |values, entry| {
            let device = entry.sender_device.as_ref().map(|device| device.as_bytes().as_slice());
            values.blob(entry.conversation.as_bytes()).int(entry.seq.get()).blob(entry.id.as_bytes());
            values.text(entry.kind.as_str()).text(entry.sender).optional_blob(device);
            values.optional_text(entry.client_msg_id.map(ClientMsgId::as_str));
            values.text(entry.body.as_json()).int(entry.sent_at.get());
        })
        .await?;
    let mut heads: HashMap<ConversationId, (Seq, UnixMs)> = HashMap::with_capacity(entries.len());
    for entry in entries {
        let (head, active_at) = heads.entry(entry.conversation).or_default();
        *head = entry.seq;
        *active_at = entry.sent_at.max(*active_at);
    }
    let mut heads: Vec<_> = heads.into_iter().collect();
    // In the order of the table's key, so that the pages are visited one after the other.
    heads.sort_unstable_by_key(|(conversation, _)| *conversation);
    let moved = MOVE_HEADS
        .execute(work.connection, &heads, |values, (conversation, (head, active_at))| {
            values.blob(conversation.as_bytes()).int(head.get()).int(active_at.get());
        })
        .await?;
    work.moved.extend(heads.iter().map(|&(conversation, (seq, _))| Offset { conversation, seq }));
    Ok(inserted + moved)
}
