//! Read offsets: the maximum wins, and every one that moves gets the user's next version.

use super::job::Batch;
use super::work::Work;
use crate::row::Columns;
use crate::sql::RowsSql;
use lockstep_model::{ConversationId, OffsetsVersion, Seq, UserId};
use lockstep_ports::Advanced;
use std::collections::HashMap;
use std::sync::LazyLock;

/// All advances of a transaction.
pub(crate) struct Advances;

/// [`advance`](lockstep_ports::Offsets::advance).
pub(crate) struct Advance {
    pub(crate) user: UserId,
    pub(crate) conversation: ConversationId,
    pub(crate) seq: Seq,
}

static CURRENT: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, user, conversation) AS (VALUES {rows}) \
         SELECT w.i, u.offsets_version, o.seq FROM want w CROSS JOIN users u ON u.id = w.user \
         LEFT JOIN offsets o ON o.user = w.user AND o.conversation = w.conversation",
    )
});

static RAISE: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        4,
        "INSERT INTO offsets (user, conversation, seq, version) \
         SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL \
         ON CONFLICT (user, conversation) DO UPDATE SET seq = excluded.seq, version = excluded.version",
    )
});

static RAISE_VERSIONS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(2, "UPDATE users SET offsets_version = v.column2 FROM (VALUES {rows}) AS v WHERE id = v.column1")
});

impl Batch for Advances {
    const OPERATION: &'static str = "advance";
    type Input = Advance;
    type Interim = Advanced;
    type Output = Advanced;

    async fn run(work: &mut Work<'_>, inputs: &[&Advance]) -> Result<Vec<Advanced>, sqlx::Error> {
        let mut state = current(work, inputs).await?;
        let advanced: Vec<Advanced> = inputs.iter().map(|advance| state.advance(advance)).collect();
        state.store(work).await?;
        Ok(advanced)
    }

    fn finish(_: Advance, advanced: Advanced) -> Advanced {
        advanced
    }
}

/// Where the users of a transaction stand while its advances are taken one after the other.
#[derive(Default)]
struct State<'a> {
    /// Users that do not exist are missing: their offsets do not move.
    versions: HashMap<&'a UserId, u64>,
    offsets: HashMap<(&'a UserId, ConversationId), Seq>,
    moved: HashMap<(&'a UserId, ConversationId), u64>,
}

async fn current<'a>(work: &mut Work<'_>, inputs: &[&'a Advance]) -> Result<State<'a>, sqlx::Error> {
    let mut state = State::default();
    let bind = |values: &mut crate::sql::Values, index: usize, advance: &&Advance| {
        values.int(index as u64).text(advance.user.as_str()).blob(advance.conversation.as_bytes());
    };
    let take = |row: &sqlx::sqlite::SqliteRow| {
        let mut columns = Columns::of(row);
        if let Some(advance) = inputs.get(columns.index()?) {
            state.versions.insert(&advance.user, columns.int()?);
            let seq = columns.optional_int()?.map_or(Seq::ZERO, Seq::new);
            state.offsets.insert((&advance.user, advance.conversation), seq);
        }
        Ok(())
    };
    work.fetch(&CURRENT, inputs, bind, take).await?;
    Ok(state)
}

impl<'a> State<'a> {
    fn advance(&mut self, advance: &'a Advance) -> Advanced {
        let key = (&advance.user, advance.conversation);
        let (Some(version), Some(offset)) = (self.versions.get_mut(key.0), self.offsets.get_mut(&key)) else {
            return Advanced { seq: Seq::ZERO, version: OffsetsVersion::ZERO, moved: false };
        };
        let moved = advance.seq > *offset;
        if moved {
            *offset = advance.seq;
            *version += 1;
            self.moved.insert(key, *version);
        }
        Advanced { seq: *offset, version: OffsetsVersion::new(*version), moved }
    }

    async fn store(self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        let rows: Vec<(&UserId, ConversationId, Seq, u64)> = self
            .moved
            .into_iter()
            .filter_map(|(key, version)| Some((key.0, key.1, *self.offsets.get(&key)?, version)))
            .collect();
        let raised = RAISE
            .execute(work.connection().await?, &rows, |values, (user, conversation, seq, version)| {
                values.text(user.as_str()).blob(conversation.as_bytes()).int(seq.get()).int(*version);
            })
            .await?;
        let mut versions: HashMap<&UserId, u64> = HashMap::new();
        for (user, _, _, version) in rows {
            let newest = versions.entry(user).or_default();
            *newest = version.max(*newest);
        }
        let versions: Vec<(&UserId, u64)> = versions.into_iter().collect();
        let users = RAISE_VERSIONS
            .execute(work.connection().await?, &versions, |values, (user, version)| {
                values.text(user.as_str()).int(*version);
            })
            .await?;
        // Each offset is a row of the table and one of its index by version.
        work.tally.offset_rows += 2 * raised + users;
        Ok(())
    }
}
