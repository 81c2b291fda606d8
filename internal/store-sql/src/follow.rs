//! What devices follow: the first question of every connection.

use crate::pack::Packed;
use crate::read::Readers;
use crate::row::Columns;
use crate::sql::{RowsSql, Values};
use lockstep_model::{Bounds, ConversationId, DeviceId, Interval, Intervals, Seq, UnixMs, UserId};
use lockstep_ports::{ENDED_STAYS_MAX, Followed, StoreError};
use sqlx::sqlite::SqliteRow;
use std::cmp::Reverse;
use std::sync::{Arc, LazyLock};

/// Stays `m` packed into one value.
macro_rules! packed_stays {
    () => {
        "CAST((SELECT group_concat(concat(c.id, c.floor, ' ', c.head, ' ', c.active_at, ' ', \
             c.kind = 'feed', ' ', c.blocked, ' ', c.member_count, ' ', k.seq, ' ', m.joined_seq, ' ', m.left_seq, ' ', \
             max(m.visible_from_seq, ifnull(s.delete_before, 0)), ' '), '') "
    };
}

/// What belongs to stays `m` of a user in the row `w`.
macro_rules! joined_stays {
    () => {
        " JOIN conversations c ON c.id = m.conversation \
           LEFT JOIN cursors k ON k.device = w.device AND k.conversation = c.id \
           LEFT JOIN member_states s ON s.user = w.user AND s.conversation = m.conversation "
    };
}

/// One row per device. Of the stays that are over only the last ones are looked at, however many a user has had, and of these
/// those count that the device has not acknowledged to their end.
static FOLLOWED: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        concat!(
            "WITH want (i, user, device) AS (VALUES {rows}) SELECT w.i, ",
            packed_stays!(),
            "FROM (SELECT conversation, joined_seq, left_seq, visible_from_seq FROM members \
                 WHERE user = w.user AND left_seq IS NULL \
               UNION ALL SELECT e.* FROM (SELECT conversation, joined_seq, left_seq, visible_from_seq \
                 FROM members INDEXED BY members_ended \
                 WHERE user = w.user AND left_seq IS NOT NULL ORDER BY left_at DESC, conversation DESC, joined_seq DESC \
                 LIMIT 10000) e \
                 LEFT JOIN cursors o ON o.device = w.device AND o.conversation = e.conversation \
                 WHERE e.left_seq > ifnull(o.seq, 0)) m",
            joined_stays!(),
            ") AS BLOB) FROM want w WHERE w.i IS NOT NULL",
        ),
    )
});

/// One row per conversation, with all stays.
static FOLLOWED_IN: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        4,
        concat!(
            "WITH want (i, user, device, conversation) AS (VALUES {rows}) SELECT w.i, ",
            packed_stays!(),
            "FROM members m",
            joined_stays!(),
            "WHERE m.user = w.user AND m.conversation = w.conversation) AS BLOB) FROM want w WHERE w.i IS NOT NULL",
        ),
    )
});

const _: () = assert!(ENDED_STAYS_MAX == 10_000, "the LIMIT of FOLLOWED");

/// A stay of a user in a conversation.
struct Stay {
    feed: bool,
    followed: Followed,
    interval: Interval,
}

/// Answers [`Directory::followed`](lockstep_ports::Directory::followed) for many devices.
pub(crate) async fn followed(
    readers: Arc<Readers>,
    devices: Vec<(UserId, DeviceId)>,
    receipts_members_max: u64,
) -> Result<Vec<Vec<Followed>>, StoreError> {
    let mut answers: Vec<Vec<Followed>> = vec![vec![]; devices.len()];
    readers
        .fetch_many(
            "followed",
            &FOLLOWED,
            &devices,
            |values, index, (user, device)| {
                values.int(index as u64).text(user.as_str()).blob(device.as_bytes());
            },
            |row| {
                let mut columns = Columns::of(row);
                if let Some(answer) = answers.get_mut(columns.index()?) {
                    *answer = merged(stays(columns.optional_blob()?.unwrap_or_default(), receipts_members_max)?);
                }
                Ok(())
            },
        )
        .await?;
    Ok(answers)
}

/// Answers [`Groups::followed_in`](lockstep_ports::Groups::followed_in).
pub(crate) async fn followed_in(
    readers: &Readers,
    user: &UserId,
    device: DeviceId,
    conversations: &[ConversationId],
    receipts_members_max: u64,
) -> Result<Vec<Followed>, StoreError> {
    let mut found = Vec::new();
    let bind = |values: &mut Values, index: usize, conversation: &ConversationId| {
        values.int(index as u64).text(user.as_str()).blob(device.as_bytes()).blob(conversation.as_bytes());
    };
    let take = |row: &SqliteRow| {
        let mut columns = Columns::of(row);
        columns.index()?;
        found.extend(merged(stays(columns.optional_blob()?.unwrap_or_default(), receipts_members_max)?));
        Ok(())
    };
    readers.fetch_many("followed_in", &FOLLOWED_IN, conversations, bind, take).await?;
    Ok(found)
}

fn stays(packed: &[u8], receipts_members_max: u64) -> Result<Vec<Stay>, sqlx::Error> {
    let mut packed = Packed::new(packed);
    let mut stays = Vec::new();
    while !packed.is_empty() {
        let conversation = ConversationId::from_bytes(packed.bytes()?);
        let bounds = Bounds { floor: Seq::new(packed.int()?), head: Seq::new(packed.int()?) };
        let active_at = UnixMs::new(packed.int()?);
        let feed = packed.int()? == 1;
        let blocked = packed.int()? == 1;
        let tells_receipts = packed.int()? <= receipts_members_max && !feed && !blocked;
        let cursor = packed.optional_int()?.map(Seq::new);
        let interval = Interval {
            joined_seq: Seq::new(packed.int()?),
            left_seq: packed.optional_int()?.map(Seq::new),
            visible_from_seq: Seq::new(packed.int()?),
        };
        let intervals = Intervals(vec![]);
        let followed = Followed { conversation, bounds, active_at, cursor, intervals, tells_receipts };
        stays.push(Stay { feed, followed, interval });
    }
    Ok(stays)
}

/// The feed first, then the conversations lately active, each with all stays.
fn merged(mut stays: Vec<Stay>) -> Vec<Followed> {
    stays.sort_by_key(|stay| {
        let Stay { feed, followed, interval } = stay;
        (Reverse((*feed, followed.active_at, followed.conversation)), interval.joined_seq)
    });
    let mut merged: Vec<Followed> = Vec::with_capacity(stays.len());
    for Stay { followed, interval, .. } in stays {
        match merged.last_mut() {
            Some(last) if last.conversation == followed.conversation => last.intervals.0.push(interval),
            _ => merged.push(Followed { intervals: Intervals(vec![interval]), ..followed }),
        }
    }
    merged
}
