//! The port of questions about messages.

use crate::row::Columns;
use crate::sql::{RowsSql, Values};
use crate::store::SqliteStore;
use async_trait::async_trait;
use lockstep_model::{Bounds, ConversationId, ConversationKind, Retention, Seq, UnixMs, UserId};
use lockstep_ports::{Expired, Messages, StoreError};
use sqlx::sqlite::SqliteRow;
use std::sync::LazyLock;

/// Direct conversations that both users are members of, and where no block stands between them.
static PEERS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        2,
        "WITH want (i, conversation) AS (VALUES {rows}) SELECT w.i FROM want w \
         WHERE (SELECT count(*) FROM members m WHERE m.conversation = w.conversation AND m.left_seq IS NULL) = 2 \
           AND (SELECT c.blocked FROM conversations c WHERE c.id = w.conversation) = 0",
    )
});

/// What one look has found of a conversation.
struct Look {
    conversation: ConversationId,
    kind: ConversationKind,
    bounds: Bounds,
    young: Seq,
    needed: Option<Seq>,
}

#[async_trait]
impl Messages for SqliteStore {
    async fn direct_peers(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<UserId>, StoreError> {
        let mut found = vec![false; others.len()];
        let bind = |values: &mut Values, index: usize, other: &UserId| {
            values.int(index as u64).blob(ConversationId::direct(&user, other).as_bytes());
        };
        let take = |row: &SqliteRow| {
            if let Some(found) = found.get_mut(Columns::of(row).index()?) {
                *found = true;
            }
            Ok(())
        };
        self.readers().fetch_many("direct_peers", &PEERS, &others, bind, take).await?;
        Ok(others.into_iter().zip(found).filter_map(|(other, found)| found.then_some(other)).collect())
    }

    async fn is_heard(&self, user: UserId, conversation: ConversationId) -> Result<bool, StoreError> {
        const FIND: &str = "SELECT 1 FROM members m JOIN conversations c ON c.id = m.conversation \
             WHERE m.user = ? AND m.conversation = ? AND m.left_seq IS NULL AND c.blocked = 0";
        let mut values = Values::new();
        values.text(user.as_str()).blob(conversation.as_bytes());
        Ok(!self.ask("is_heard", FIND, &mut values, |_| Ok(())).await?.is_empty())
    }

    async fn expired(
        &self,
        retention: Retention,
        now: UnixMs,
        after: Option<ConversationId>,
        count: u32,
    ) -> Result<Expired, StoreError> {
        // For each the first of its oldest entries that is younger than its kind allows. Of a feed also the first entry that
        // a device of its user has not acknowledged.
        const LOOK: &str = "SELECT c.id, c.kind, c.floor, c.head, ifnull( \
               (SELECT min(e.seq) FROM entries e WHERE e.conversation = c.id AND e.seq >= c.floor \
                  AND e.seq < c.floor + ?3 AND e.sent_at >= CASE c.kind \
                    WHEN 'direct' THEN ?4 WHEN 'group' THEN ?5 WHEN 'room' THEN ?6 ELSE ?7 END), \
               c.floor + ?3), \
             CASE WHEN c.kind = 'feed' THEN \
               (SELECT min(ifnull(k.seq, 0)) + 1 FROM users u JOIN devices d ON d.user = u.id \
                LEFT JOIN cursors k ON k.device = d.id AND k.conversation = c.id \
                WHERE u.feed = c.id AND d.removed_at IS NULL) END \
             FROM conversations c WHERE c.id > ?1 ORDER BY c.id LIMIT ?2";
        let oldest = |kind| {
            let age_max = retention.of(kind).age_max;
            age_max.map_or(0, |age| now.get().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
        };
        let mut values = Values::new();
        values.blob(after.as_ref().map_or(&[][..], |after| after.as_bytes()));
        values.int(count.into()).int(Expired::ENTRIES_MAX);
        for kind in [ConversationKind::Direct, ConversationKind::Group, ConversationKind::Room, ConversationKind::Feed]
        {
            values.int(oldest(kind));
        }
        let looks = self.ask("expired", LOOK, &mut values, look).await?;
        let next = looks.last().filter(|_| looks.len() >= count as usize).map(|look| look.conversation);
        let floor = |look: &Look| {
            let floor = retention.of(look.kind).floor(look.bounds, look.young, look.needed)?;
            let most = Seq::new(look.bounds.floor.get() + Expired::ENTRIES_MAX);
            Some((look.conversation, floor.min(most)))
        };
        Ok(Expired { floors: looks.iter().filter_map(floor).collect(), next })
    }
}

fn look(columns: &mut Columns<'_>) -> Result<Look, sqlx::Error> {
    let (conversation, kind) = (columns.conversation_id()?, columns.conversation_kind()?);
    let (bounds, young) = (columns.bounds()?, columns.seq()?);
    Ok(Look { conversation, kind, bounds, young, needed: columns.optional_int()?.map(Seq::new) })
}
