//! Entries about earlier ones: edits, recalls, reactions, answers and mentions.
//!
//! A batch of plain messages passes through here without a statement. For others one statement finds what they are about,
//! and what they cause is written in the same transaction: a recall erases the body of its message and of the message's
//! edits.

use super::append::AppendRow;
use super::work::Work;
use crate::row::Columns;
use crate::sql::{RowsScript, RowsSql, Values};
use lockstep_model::{Content, ConversationId, Role, Seq, UserId};
use lockstep_ports::AppendRefusal;
use sqlx::sqlite::SqliteRow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// The messages that rows are about, as far as their authors may see them: what any of the stays shows, as in
/// `Intervals::view`. A service (no user) sees all. With each comes the author's role, if the author
/// is a member.
static TARGETS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        4,
        "WITH want (i, conversation, target, user) AS (VALUES {rows}) \
         SELECT w.i, e.sender, e.recalled, \
           (SELECT m.role FROM members m INDEXED BY members_by_user \
             WHERE m.user = w.user AND m.conversation = w.conversation AND m.left_seq IS NULL) \
         FROM want w \
         CROSS JOIN conversations c ON c.id = w.conversation \
         CROSS JOIN entries e ON e.conversation = w.conversation AND e.seq = w.target \
         WHERE e.kind = 'message' AND e.seq >= c.floor AND (w.user IS NULL OR \
           EXISTS (SELECT 1 FROM members m INDEXED BY members_by_user \
             WHERE m.user = w.user AND m.conversation = w.conversation \
               AND m.visible_from_seq <= w.target AND (m.left_seq IS NULL OR m.left_seq >= w.target)))",
    )
});

/// The messages that recalls are about, where retention has taken the message and some of its edits still stand: these are as
/// good as the message, whose sender is theirs too. The author has to see one of them: each of the author's stays is asked for
/// the first that it shows, so that a message with any number of edits costs no more than one with a few.
static LEFT_EDITS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        4,
        "WITH want (i, conversation, target, user) AS (VALUES {rows}) \
         SELECT w.i, e.sender, e.recalled, \
           (SELECT m.role FROM members m INDEXED BY members_by_user \
             WHERE m.user = w.user AND m.conversation = w.conversation AND m.left_seq IS NULL) \
         FROM want w \
         CROSS JOIN conversations c ON c.id = w.conversation AND c.floor > w.target \
         CROSS JOIN entries e ON e.conversation = w.conversation AND e.seq = iif(w.user IS NULL, \
           (SELECT d.seq FROM edits d WHERE d.conversation = w.conversation AND d.target = w.target \
             AND d.seq >= c.floor ORDER BY d.seq LIMIT 1), \
           (SELECT min((SELECT d.seq FROM edits d WHERE d.conversation = w.conversation AND d.target = w.target \
               AND d.seq >= max(m.visible_from_seq, c.floor) AND d.seq <= ifnull(m.left_seq, c.head) \
               ORDER BY d.seq LIMIT 1)) \
             FROM members m INDEXED BY members_by_user WHERE m.user = w.user AND m.conversation = w.conversation))",
    )
});

static ADD_EDITS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "INSERT INTO edits (conversation, target, seq) \
         SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
    )
});

/// Only members are mentioned: for anybody else it is a name in a text.
static ADD_MENTIONS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "INSERT INTO mentions (conversation, seq, user) SELECT v.column1, v.column2, v.column3 \
         FROM (VALUES {rows}) AS v WHERE EXISTS (SELECT 1 FROM members m WHERE m.user = v.column3 \
           AND m.conversation = v.column1 AND m.left_seq IS NULL)",
    )
});

/// What recalls do: to their messages, to those messages' edits, to their mentions.
static ERASE: LazyLock<RowsScript<3>> = LazyLock::new(|| {
    RowsScript::new([
        (
            2,
            "UPDATE entries SET body = '{\"type\":\"recalled\"}', recalled = 1 WHERE (conversation, seq) IN \
               (SELECT column1, column2 FROM (VALUES {rows}))",
        ),
        (
            2,
            "UPDATE entries SET body = '{\"type\":\"recalled\"}', recalled = 1 WHERE (conversation, seq) IN \
               (SELECT e.conversation, e.seq FROM (VALUES {rows}) AS v CROSS JOIN edits e \
                ON e.conversation = v.column1 AND e.target = v.column2)",
        ),
        (2, "DELETE FROM mentions WHERE (conversation, seq) IN (SELECT column1, column2 FROM (VALUES {rows}))"),
    ])
});

/// A place in a log.
type Place = (ConversationId, Seq);

/// What is known of a message that others are about.
struct Target {
    sender: String,
    recalled: bool,
    /// What the row's author is in the conversation.
    role: Option<Role>,
}

/// The messages that the rows of a batch are about.
#[derive(Default)]
pub(super) struct Targets {
    /// Of rows, by their index in the batch.
    found: HashMap<usize, Target>,
    /// Those of the batch itself; kept only if some row asks for a target.
    new: HashMap<Place, String>,
    recalled: HashSet<Place>,
    any: bool,
}

impl Targets {
    /// Finds what the rows are about. Without any that is about something, nothing is asked.
    pub(super) async fn find(work: &mut Work<'_>, rows: &[&AppendRow]) -> Result<Self, sqlx::Error> {
        let about = rows.iter().enumerate().filter_map(|(index, row)| Some((index, *row, row.content()?.target()?)));
        let mut about: Vec<(usize, &AppendRow, Seq)> = about.collect();
        let mut targets = Self { any: !about.is_empty(), ..Self::default() };
        let bind = |values: &mut Values, _: usize, (index, row, target): &(usize, &AppendRow, Seq)| {
            values.int(*index as u64).blob(row.append().conversation.as_bytes()).int(target.get());
            values.optional_text(row.append().author.user().map(UserId::as_str));
        };
        work.fetch(&TARGETS, &about, bind, |row: &SqliteRow| targets.take(row)).await?;
        about.retain(|(index, row, _)| {
            matches!(row.content(), Some(Content::Recall { .. })) && !targets.found.contains_key(index)
        });
        work.fetch(&LEFT_EDITS, &about, bind, |row: &SqliteRow| targets.take(row)).await?;
        Ok(targets)
    }

    fn take(&mut self, row: &SqliteRow) -> Result<(), sqlx::Error> {
        let mut columns = Columns::of(row);
        let index = columns.index()?;
        let (sender, recalled) = (columns.text()?.to_owned(), columns.flag()?);
        let role = columns.optional_text()?.and_then(Role::from_text);
        self.found.insert(index, Target { sender, recalled, role });
        Ok(())
    }

    /// Whether a row may be appended to a log that ends at `head`, as far as what it is about goes.
    pub(super) fn check(&self, index: usize, row: &AppendRow, head: Seq) -> Result<(), AppendRefusal> {
        let Some(content) = row.content() else { return Err(AppendRefusal::BadContent) };
        if content.reply_to().is_some_and(|reply_to| reply_to > head) {
            return Err(AppendRefusal::NoSuchTarget);
        }
        let Some(seq) = content.target() else { return Ok(()) };
        let place = (row.append().conversation, seq);
        let found = self.found.get(&index).map(|target| (target.sender.as_str(), target.recalled, target.role));
        // Nobody knows of a message of this batch yet but its sender, whatever roles others have.
        let found = found.or_else(|| Some((self.new.get(&place)?.as_str(), false, None)));
        let (sender, recalled, role) = found.ok_or(AppendRefusal::NoSuchTarget)?;
        let own = sender == row.append().author.as_sender();
        let may = match content {
            Content::Edit { .. } => own,
            Content::Recall { .. } => own || role.is_some_and(may_recall_others),
            _ => true,
        };
        if !may {
            return Err(AppendRefusal::NotYours);
        }
        if recalled || self.recalled.contains(&place) { Err(AppendRefusal::Recalled) } else { Ok(()) }
    }

    /// Notes a row that will be appended, for those after it.
    pub(super) fn note(&mut self, row: &AppendRow, seq: Seq) {
        if !self.any {
            return;
        }
        let append = row.append();
        match row.content() {
            Some(Content::Recall { target }) => {
                self.recalled.insert((append.conversation, *target));
            }
            _ if row.is_message() => {
                self.new.insert((append.conversation, seq), append.author.as_sender().to_owned());
            }
            _ => {}
        }
    }
}

/// Whether a member of this role may recall what others have said.
fn may_recall_others(role: Role) -> bool {
    role >= Role::Admin
}

/// Whether the rows have something to write beside the entries.
pub(super) fn has_effects(new: &[(&AppendRow, Seq)]) -> bool {
    new.iter().any(|(row, _)| match row.content() {
        Some(Content::Edit { .. } | Content::Recall { .. }) => true,
        Some(content) => !content.mentions().is_empty(),
        None => false,
    })
}

/// Writes what the rows cause beside their entries, and says how many rows that were. In this order, so that a recall finds
/// what came before it in the same batch; nothing that comes after a recall is about its message.
pub(super) async fn store_effects(work: &mut Work<'_>, new: &[(&AppendRow, Seq)]) -> Result<u64, sqlx::Error> {
    let mut edits = Vec::new();
    let mut mentions: Vec<(ConversationId, Seq, &UserId)> = Vec::new();
    let mut recalls: Vec<Place> = Vec::new();
    for (row, seq) in new {
        let conversation = row.append().conversation;
        match row.content() {
            Some(Content::Edit { target, .. }) => edits.push((conversation, *target, *seq)),
            Some(Content::Recall { target }) => recalls.push((conversation, *target)),
            Some(Content::Message { mentions: named, .. }) => {
                mentions.extend(named.iter().map(|user| (conversation, *seq, user)));
            }
            _ => {}
        }
    }
    let mut written = ADD_EDITS
        .execute(work.connection().await?, &edits, |values, (conversation, target, seq)| {
            values.blob(conversation.as_bytes()).int(target.get()).int(seq.get());
        })
        .await?;
    written += ADD_MENTIONS
        .execute(work.connection().await?, &mentions, |values, (conversation, seq, user)| {
            values.blob(conversation.as_bytes()).int(seq.get()).text(user.as_str());
        })
        .await?;
    for recalls in recalls.chunks(crate::sql::ROWS_MAX) {
        let bind = |values: &mut Values, _: usize| {
            recalls.iter().for_each(|(conversation, target)| {
                values.blob(conversation.as_bytes()).int(target.get());
            });
        };
        written += work.execute_script(&ERASE, false, recalls.len(), bind).await?;
    }
    Ok(written)
}
