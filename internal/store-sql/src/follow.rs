//! What devices follow: the first question of every connection.

use crate::pack::Packed;
use crate::read::Readers;
use crate::row::Columns;
use crate::sql::RowsSql;
use lockstep_model::{Bounds, ConversationId, DeviceId, Interval, Intervals, Seq, UnixMs, UserId};
use lockstep_ports::{Followed, StoreError};
use std::cmp::Reverse;
use std::sync::{Arc, LazyLock};

/// One row per device, which holds all stays of its user, those that are over too.
static FOLLOWED: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, user, device) AS (VALUES {rows}) \
         SELECT w.i, CAST((SELECT group_concat(concat(c.id, c.floor, ' ', c.head, ' ', c.active_at, ' ', \
             c.kind = 'feed', ' ', c.member_count, ' ', k.seq, ' ', m.joined_seq, ' ', m.left_seq, ' ', \
             max(m.visible_from_seq, ifnull(s.delete_before, 0)), ' '), '') \
           FROM members m JOIN conversations c ON c.id = m.conversation \
           LEFT JOIN cursors k ON k.device = w.device AND k.conversation = c.id \
           LEFT JOIN member_states s ON s.user = m.user AND s.conversation = m.conversation \
           WHERE m.user = w.user) AS BLOB) \
         FROM want w WHERE w.i IS NOT NULL",
    )
});

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

fn stays(packed: &[u8], receipts_members_max: u64) -> Result<Vec<Stay>, sqlx::Error> {
    let mut packed = Packed::new(packed);
    let mut stays = Vec::new();
    while !packed.is_empty() {
        let conversation = ConversationId::from_bytes(packed.bytes()?);
        let bounds = Bounds { floor: Seq::new(packed.int()?), head: Seq::new(packed.int()?) };
        let active_at = UnixMs::new(packed.int()?);
        let feed = packed.int()? == 1;
        let is_small = packed.int()? <= receipts_members_max && !feed;
        let cursor = packed.optional_int()?.map(Seq::new);
        let interval = Interval {
            joined_seq: Seq::new(packed.int()?),
            left_seq: packed.optional_int()?.map(Seq::new),
            visible_from_seq: Seq::new(packed.int()?),
        };
        let followed = Followed { conversation, bounds, active_at, cursor, intervals: Intervals(vec![]), is_small };
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
