//! The port of read offsets.

use crate::read::failed;
use crate::row::Columns;
use crate::sql::{RowsSql, Values};
use crate::store::SqliteStore;
use crate::write::{Advance, Queued};
use async_trait::async_trait;
use lockstep_model::{ConversationId, Offset, OffsetsVersion, Seq, UserId};
use lockstep_ports::{Advanced, Offsets, OffsetsChange, StoreError};
use sqlx::sqlite::SqliteRow;
use std::sync::LazyLock;

static OFFSETS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, user, conversation) AS (VALUES {rows}) \
         SELECT w.i, o.seq FROM want w CROSS JOIN offsets o ON o.user = w.user AND o.conversation = w.conversation",
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
        const OPERATION: &str = "changed_since";
        // One statement, so that the version and the offsets are of one moment. The version stands in one row without
        // an offset if nothing changed.
        const CHANGED: &str = "SELECT u.offsets_version, o.version, o.conversation, o.seq FROM users u \
             LEFT JOIN offsets o ON o.user = u.id AND o.version > ?2 WHERE u.id = ?1 ORDER BY o.version LIMIT ?3";
        if count == 0 {
            return Ok(OffsetsChange { version: since, offsets: vec![] });
        }
        let mut values = Values::new();
        values.text(user.as_str()).int(since.get()).int(count.into());
        let rows = self.readers().fetch(OPERATION, CHANGED, &mut values).await?;
        change(&rows).map_err(|error| failed(OPERATION, error))
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

fn change(rows: &[SqliteRow]) -> Result<OffsetsChange, sqlx::Error> {
    let mut change = OffsetsChange::default();
    for row in rows {
        let mut columns = Columns::of(row);
        change.version = OffsetsVersion::new(columns.int()?);
        if let Some(version) = columns.optional_int()? {
            change.version = OffsetsVersion::new(version);
            change.offsets.push(Offset { conversation: columns.conversation_id()?, seq: columns.seq()? });
        }
    }
    Ok(change)
}
