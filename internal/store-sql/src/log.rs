//! The log port.

use crate::pack::{Packed, packed_entry};
use crate::row::Columns;
use crate::sql::RowsSql;
use crate::store::SqliteStore;
use crate::write::{AppendRow, Queued, RaiseFloor};
use async_trait::async_trait;
use lockstep_model::{Bounds, ConversationId, Entry, Epoch, Offset, Seq};
use lockstep_ports::{Append, AppendRefusal, Appended, HeadMark, MessageLog, Range, StoreError};
use std::sync::LazyLock;

/// One row per range, which holds all its entries. Above the floor there are no gaps, so a count of entries is a stretch
/// of the key.
static RANGES: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        4,
        concat!(
            "WITH want (i, conversation, first, count) AS (VALUES {rows}) \
             SELECT w.i, CAST((SELECT group_concat(",
            packed_entry!(),
            ", '') FROM entries e WHERE e.conversation = c.id \
               AND e.seq >= max(w.first, c.floor) AND e.seq < max(w.first, c.floor) + w.count) AS BLOB) \
             FROM want w CROSS JOIN conversations c ON c.id = w.conversation",
        ),
    )
});

static BOUNDS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        2,
        "WITH want (i, conversation) AS (VALUES {rows}) \
         SELECT w.i, c.floor, c.head FROM want w CROSS JOIN conversations c ON c.id = w.conversation",
    )
});

#[async_trait]
impl MessageLog for SqliteStore {
    fn epoch(&self) -> Epoch {
        self.store_epoch()
    }

    async fn append(&self, batch: Vec<Append>) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        if batch.is_empty() {
            return Ok(vec![]);
        }
        let rows = batch.into_iter().map(AppendRow::new).collect();
        self.submit(rows, Queued::Append).await
    }

    async fn ranges(&self, ranges: Vec<Range>) -> Result<Vec<Vec<Entry>>, StoreError> {
        let mut answers: Vec<Vec<Entry>> = vec![vec![]; ranges.len()];
        self.readers()
            .fetch_many(
                "ranges",
                &RANGES,
                &ranges,
                |values, index, range| {
                    values.int(index as u64).blob(range.conversation.as_bytes());
                    values.int(range.from.get()).int(range.count.min(Range::COUNT_MAX).into());
                },
                |row| {
                    let mut columns = Columns::of(row);
                    let index = columns.index()?;
                    if let (Some(answer), Some(range)) = (answers.get_mut(index), ranges.get(index)) {
                        let mut packed = Packed::new(columns.optional_blob()?.unwrap_or_default());
                        while !packed.is_empty() {
                            answer.push(packed.entry(range.conversation)?);
                        }
                    }
                    Ok(())
                },
            )
            .await?;
        // The query reads along the key, so this finds them sorted, which SQL promises only where it is asked to sort.
        for answer in &mut answers {
            answer.sort_by_key(|entry| entry.seq);
        }
        Ok(answers)
    }

    async fn bounds(&self, conversations: Vec<ConversationId>) -> Result<Vec<Option<Bounds>>, StoreError> {
        let mut answers = vec![None; conversations.len()];
        self.readers()
            .fetch_many(
                "bounds",
                &BOUNDS,
                &conversations,
                |values, index, conversation| {
                    values.int(index as u64).blob(conversation.as_bytes());
                },
                |row| {
                    let mut columns = Columns::of(row);
                    if let Some(answer) = answers.get_mut(columns.index()?) {
                        *answer = Some(columns.bounds()?);
                    }
                    Ok(())
                },
            )
            .await?;
        Ok(answers)
    }

    fn mark(&self) -> HeadMark {
        self.moved_heads().mark()
    }

    fn moved_since(&self, mark: HeadMark) -> Option<Vec<Offset>> {
        self.moved_heads().since(mark)
    }

    async fn raise_floor(&self, conversation: ConversationId, floor: Seq) -> Result<(), StoreError> {
        self.command(RaiseFloor { conversation, floor }).await
    }
}
