//! The port of read offsets.

use crate::pack::Packed;
use crate::read::Readers;
use crate::row::Columns;
use crate::sql::RowsSql;
use crate::store::SqliteStore;
use crate::write::{Advance, Queued};
use async_trait::async_trait;
use lockstep_model::{ConversationId, Offset, OffsetsVersion, Seq, UserId};
use lockstep_ports::{Advanced, Offsets, OffsetsChange, StoreError};
use std::sync::{Arc, LazyLock};

static OFFSETS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, user, conversation) AS (VALUES {rows}) \
         SELECT w.i, o.seq FROM want w CROSS JOIN offsets o ON o.user = w.user AND o.conversation = w.conversation",
    )
});

/// One row per user, which holds all changes: one statement, so that the version and the offsets are of one moment.
static CHANGED: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, user, version) AS (VALUES {rows}) \
         SELECT w.i, u.offsets_version, CAST((SELECT group_concat(concat(o.version, ' ', o.seq, ' ', o.conversation), '') \
           FROM offsets o WHERE o.user = w.user AND o.version > w.version) AS BLOB) \
         FROM want w CROSS JOIN users u ON u.id = w.user",
    )
});

#[async_trait]
impl Offsets for SqliteStore {
    async fn advance(&self, user: UserId, conversation: ConversationId, seq: Seq) -> Result<Advanced, StoreError> {
        self.submit(Advance { user, conversation, seq }, Queued::Advance).await
    }

    async fn changed_since(
        &self,
        user: UserId,
        since: OffsetsVersion,
        count: u32,
    ) -> Result<OffsetsChange, StoreError> {
        if count == 0 {
            return Ok(OffsetsChange { version: since, offsets: vec![] });
        }
        self.offset_changes().ask(Since { user, version: since, count }).await
    }

    async fn offsets(&self, user: UserId, conversations: Vec<ConversationId>) -> Result<Vec<Offset>, StoreError> {
        let unread = |conversation| Offset { conversation, seq: Seq::ZERO };
        let mut answers: Vec<Offset> = conversations.iter().copied().map(unread).collect();
        self.readers()
            .fetch_many(
                "offsets",
                &OFFSETS,
                &conversations,
                |values, index, conversation| {
                    values.int(index as u64).text(user.as_str()).blob(conversation.as_bytes());
                },
                |row| {
                    let mut columns = Columns::of(row);
                    if let Some(answer) = answers.get_mut(columns.index()?) {
                        answer.seq = columns.seq()?;
                    }
                    Ok(())
                },
            )
            .await?;
        Ok(answers)
    }
}

/// Asks for the offsets of a user that changed after a version.
pub(crate) struct Since {
    user: UserId,
    version: OffsetsVersion,
    count: u32,
}

/// Answers [`Offsets::changed_since`] for many users.
pub(crate) async fn changed_since(readers: Arc<Readers>, asked: Vec<Since>) -> Result<Vec<OffsetsChange>, StoreError> {
    let mut answers = vec![OffsetsChange::default(); asked.len()];
    readers
        .fetch_many(
            "changed_since",
            &CHANGED,
            &asked,
            |values, index, since| {
                values.int(index as u64).text(since.user.as_str()).int(since.version.get());
            },
            |row| {
                let mut columns = Columns::of(row);
                let index = columns.index()?;
                if let (Some(answer), Some(since)) = (answers.get_mut(index), asked.get(index)) {
                    let version = OffsetsVersion::new(columns.int()?);
                    *answer = change(version, columns.optional_blob()?.unwrap_or_default(), since.count)?;
                }
                Ok(())
            },
        )
        .await?;
    Ok(answers)
}

/// The oldest changes, at most `count`, and the version up to which they are all.
fn change(newest: OffsetsVersion, packed: &[u8], count: u32) -> Result<OffsetsChange, sqlx::Error> {
    let mut packed = Packed::new(packed);
    let mut changes = Vec::new();
    while !packed.is_empty() {
        let (version, seq) = (OffsetsVersion::new(packed.int()?), Seq::new(packed.int()?));
        changes.push((version, Offset { conversation: ConversationId::from_bytes(packed.bytes()?), seq }));
    }
    changes.sort_by_key(|(version, _)| *version);
    changes.truncate(count as usize);
    let version = changes.last().map_or(newest, |(version, _)| *version);
    Ok(OffsetsChange { version, offsets: changes.into_iter().map(|(_, offset)| offset).collect() })
}
