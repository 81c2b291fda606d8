//! The reads' part of the directory: what is unread, and how far others have got.

use crate::row::Columns;
use crate::sql::{RowsSql, Values};
use crate::store::SqliteStore;
use crate::write::ChangeReceiptSettings;
use async_trait::async_trait;
use lockstep_model::{
    ConversationId, Member, Receipt, ReceiptSettings, ReceiptSettingsChange, Seq, UnixMs, Unread, UnreadTotal, UserId,
    limits, unread,
};
use lockstep_ports::{Committed, Directory, Reads, SCANNED_MAX, StoreError, TOTALLED_MAX};
use std::sync::LazyLock;

/// Whether an entry `e` counts as unread for the user of `w`: it is a message of another that was not recalled, and one of
/// the stays shows its place.
macro_rules! counts {
    () => {
        "e.kind = 'message' AND e.sender <> w.user AND e.recalled = 0 AND EXISTS \
           (SELECT 1 FROM members m INDEXED BY members_by_user \
            WHERE m.user = w.user AND m.conversation = e.conversation \
            AND m.visible_from_seq <= e.seq AND (m.left_seq IS NULL OR m.left_seq >= e.seq))"
    };
}

/// Whether an entry `e` mentions the user of `w`.
macro_rules! mentions {
    () => {
        "EXISTS (SELECT 1 FROM mentions x WHERE x.conversation = e.conversation AND x.seq = e.seq AND x.user = w.user)"
    };
}

/// Where the unread entries of a user `w` in a conversation `c` begin: after the read offset `o`, what is hidden by the
/// state `s` or gone, and what none of the stays that have not ended there shows. The head if no stay is left.
macro_rules! below {
    () => {
        "max(ifnull(o.seq, 0), ifnull(s.delete_before, 0) - 1, c.floor - 1, ifnull((SELECT min(b.visible_from_seq) \
           FROM members b INDEXED BY members_by_user WHERE b.user = w.user AND b.conversation = c.id \
           AND (b.left_seq IS NULL OR b.left_seq > ifnull(o.seq, 0))) - 1, c.head))"
    };
}

/// Counts one beyond the bound (a LIMIT cannot take the bound from a row), and says whether more entries follow than are
/// looked at. Entries that may be looked at are dealt out to the conversations, those with the fewest first: where `before`
/// are dealt out and the other ones cannot all have as many as the next one wants, these share what is left.
static UNREAD: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        4,
        concat!(
            "WITH want (i, user, conversation, scanned) AS (VALUES {rows}), \
             known AS MATERIALIZED (SELECT w.*, ifnull(o.seq, 0) AS read, ifnull(s.marked_unread, 0) AS marked, ",
            below!(),
            " AS below, (SELECT CASE WHEN count(*) > count(m.left_seq) THEN c.head ELSE max(m.left_seq) END \
                 FROM members m INDEXED BY members_by_user \
                 WHERE m.user = w.user AND m.conversation = w.conversation) AS head \
               FROM want w CROSS JOIN conversations c ON c.id = w.conversation \
               LEFT JOIN offsets o ON o.user = w.user AND o.conversation = w.conversation \
               LEFT JOIN member_states s ON s.user = w.user AND s.conversation = w.conversation), \
             spans AS (SELECT i, scanned, max(0, min(head - below, scanned)) AS span FROM known WHERE head IS NOT NULL), \
             dealt AS (SELECT scanned, span, sum(span) OVER turn - span AS before, \
                 count(*) OVER () + 1 - row_number() OVER turn AS others \
               FROM spans WINDOW turn AS (ORDER BY span, i ROWS UNBOUNDED PRECEDING)), \
             share AS MATERIALIZED (SELECT (scanned - before) / others AS entries FROM dealt \
               WHERE before + span * others > scanned ORDER BY others DESC LIMIT 1) \
             SELECT w.i, w.read, w.head, w.marked, \
               (SELECT count(*) FROM (SELECT 1 FROM entries e WHERE e.conversation = w.conversation \
                 AND e.seq > w.below AND e.seq <= w.below + w.scanned AND ",
            counts!(),
            " LIMIT 1000)), \
               (SELECT count(*) FROM (SELECT 1 FROM mentions x \
                 CROSS JOIN entries e ON e.conversation = x.conversation AND e.seq = x.seq \
                 WHERE x.conversation = w.conversation AND x.user = w.user \
                 AND x.seq > w.below AND x.seq <= w.below + w.scanned AND ",
            counts!(),
            " LIMIT 1000)), w.head > w.below + w.scanned FROM \
               (SELECT i, user, conversation, read, head, marked, below, \
                  ifnull((SELECT entries FROM share), scanned) AS scanned FROM known) w WHERE w.head IS NOT NULL"
        ),
    )
});

/// Over the conversations that may hold something, the most recently active first.
const TOTAL: &str = concat!(
    "WITH mine AS (SELECT w.user, c.id, ",
    below!(),
    " AS below FROM members w INDEXED BY members_by_user JOIN conversations c ON c.id = w.conversation \
       LEFT JOIN offsets o ON o.user = w.user AND o.conversation = w.conversation \
       LEFT JOIN member_states s ON s.user = w.user AND s.conversation = w.conversation \
       WHERE w.user = ?1 AND w.left_seq IS NULL AND c.kind <> 'feed' AND c.head > ifnull(o.seq, 0) \
       AND ifnull(s.archived, 0) = 0 AND ifnull(s.muted_until, 0) <= ?2 ORDER BY c.active_at DESC LIMIT ?3), \
     found AS (SELECT ",
    counts!(),
    " AS counted, ",
    mentions!(),
    " AS mentioned FROM mine w CROSS JOIN entries e ON e.conversation = w.id AND e.seq > w.below LIMIT ?4) \
     SELECT ifnull(sum(counted), 0), ifnull(sum(counted AND mentioned), 0), count(*), (SELECT count(*) FROM mine), \
       (SELECT count(*) FROM member_states s JOIN members m INDEXED BY members_by_user \
         ON m.user = s.user AND m.conversation = s.conversation AND m.left_seq IS NULL \
         WHERE s.user = ?1 AND s.marked_unread = 1 AND s.archived = 0 AND s.muted_until <= ?2) FROM found"
);

static RECEIPTS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, user, conversation) AS (VALUES {rows}) \
         SELECT w.i, CASE WHEN u.tells_delivered AND c.blocked = 0 THEN ifnull((SELECT max(k.seq) FROM devices d \
             CROSS JOIN cursors k ON k.device = d.id AND k.conversation = w.conversation WHERE d.user = w.user), 0) END, \
           CASE WHEN u.tells_read AND c.blocked = 0 THEN ifnull((SELECT o.seq FROM offsets o \
             WHERE o.user = w.user AND o.conversation = w.conversation), 0) END \
         FROM want w CROSS JOIN users u ON u.id = w.user CROSS JOIN conversations c ON c.id = w.conversation",
    )
});

const _: () = assert!(limits::UNREAD_MAX + 1 == 1_000, "the LIMIT of UNREAD");

#[async_trait]
impl Reads for SqliteStore {
    async fn unread(&self, user: UserId, conversations: Vec<ConversationId>) -> Result<Vec<Unread>, StoreError> {
        let bind = |values: &mut Values, index: usize, conversation: &ConversationId| {
            values.int(index as u64).text(user.as_str()).blob(conversation.as_bytes());
            values.int(SCANNED_MAX);
        };
        let take = |columns: &mut Columns<'_>| {
            let (read, head, marked) = (columns.seq()?, columns.seq()?, columns.flag()?);
            let (found, mentions, more) = (columns.int()?, columns.int()?, columns.flag()?);
            Ok((read, head, marked, found, mentions, more))
        };
        let found = self.find("unread", &UNREAD, &conversations, bind, take).await?;
        let counted = conversations.into_iter().zip(found).filter_map(|(conversation, found)| {
            let (read, head, marked, found, mentions, more) = found?;
            let counted = unread(conversation, read, head, found, mentions, marked);
            Some(Unread { more: counted.more || more, ..counted })
        });
        Ok(counted.collect())
    }

    async fn unread_total(&self, user: UserId, now: UnixMs) -> Result<UnreadTotal, StoreError> {
        let mut values = Values::new();
        values.text(user.as_str()).int(now.get()).int(TOTALLED_MAX).int(SCANNED_MAX);
        let read = |columns: &mut Columns<'_>| {
            let (unread, mentions) = (columns.int()?, columns.int()?);
            let (scanned, conversations) = (columns.int()?, columns.int()?);
            let cut = scanned >= SCANNED_MAX || conversations >= TOTALLED_MAX;
            Ok(UnreadTotal {
                unread: unread.min(limits::UNREAD_MAX),
                more: cut || unread > limits::UNREAD_MAX,
                mentions: mentions.min(limits::UNREAD_MAX),
                marked: columns.int()?,
            })
        };
        let totals = self.ask("unread_total", TOTAL, &mut values, read).await?;
        Ok(totals.into_iter().next().unwrap_or_default())
    }

    async fn receipts(
        &self,
        conversation: ConversationId,
        after: Option<(Seq, UserId)>,
        count: u32,
    ) -> Result<Vec<(Seq, Receipt)>, StoreError> {
        let members = self.members_of(conversation, after, count).await?;
        let bind = |values: &mut Values, index: usize, member: &Member| {
            values.int(index as u64).text(member.user.as_str()).blob(conversation.as_bytes());
        };
        let take = |columns: &mut Columns<'_>| Ok((columns.optional_int()?, columns.optional_int()?));
        let found = self.find("receipts", &RECEIPTS, &members, bind, take).await?;
        let told = members.into_iter().zip(found).map(|(member, found)| {
            let (delivered, read) = found.unwrap_or_default();
            let (delivered, read) = (delivered.map(Seq::new), read.map(Seq::new));
            (member.joined_seq, Receipt { user: member.user, delivered, read })
        });
        Ok(told.collect())
    }

    async fn tells_receipts(&self, conversation: ConversationId) -> Result<bool, StoreError> {
        const FIND: &str =
            "SELECT 1 FROM conversations WHERE id = ? AND member_count <= ? AND kind <> 'feed' AND blocked = 0";
        let mut values = Values::new();
        values.blob(conversation.as_bytes()).int(self.receipts_members_max());
        Ok(!self.ask("tells_receipts", FIND, &mut values, |_| Ok(())).await?.is_empty())
    }

    async fn receipt_settings(&self, user: UserId) -> Result<Option<ReceiptSettings>, StoreError> {
        const FIND: &str = "SELECT tells_delivered, tells_read FROM users WHERE id = ?";
        let mut values = Values::new();
        values.text(user.as_str());
        let found = self.ask("receipt_settings", FIND, &mut values, |columns| columns.receipt_settings()).await?;
        Ok(found.into_iter().next())
    }

    async fn change_receipt_settings(
        &self,
        user: UserId,
        change: ReceiptSettingsChange,
        now: UnixMs,
    ) -> Result<Option<Committed<ReceiptSettings>>, StoreError> {
        self.command(ChangeReceiptSettings { user, change, now }).await
    }
}
