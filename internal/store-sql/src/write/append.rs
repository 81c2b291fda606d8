//! Appends: dedupe, then membership, then the next seq; all rows of all callers of a transaction together.

use super::about::{self, Targets};
use super::entries::{self, NewEntry};
use super::job::Batch;
use super::work::Work;
use crate::pack::Packed;
use crate::row::Columns;
use crate::sql::{ROWS_MAX, RowsScript, RowsSql, Values};
use lockstep_model::{ClientMsgId, Content, ConversationId, Entry, EntryId, Kind, Offset, Sent, Seq, UnixMs, UserId};
use lockstep_ports::{Append, AppendRefusal, Appended, Author};
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// [`append`](lockstep_ports::MessageLog::append).
pub(crate) struct Appends;

/// An entry to append, and the hash that tells it from others with the same `client_msg_id`.
pub(crate) struct AppendRow {
    append: Append,
    content_hash: [u8; 32],
    /// What the body says; absent if it has not the form that its kind asks for.
    content: Option<Content>,
}

/// What becomes of a row if the transaction is committed.
pub(crate) enum RowOutcome {
    New(Seq),
    Already(Sent),
    Refused(AppendRefusal),
}

/// A send that is already stored or that stands before another in the batch.
struct Earlier {
    sent: Sent,
    content_hash: [u8; 32],
}

/// Where a row stands: the send that it repeats, and the head of its conversation if its author may write there: a user
/// (absent for services) who is a member, or a service unless it is a user's feed. Also whether a block lies on it. All in
/// one row, which [`Found::take`] unpacks.
static FIND: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        5,
        "WITH want (i, client_msg_id, sender, conversation, user) AS (VALUES {rows}) \
         SELECT CAST(group_concat(concat(w.i, ' ', c.head, ' ', c.blocked, ' ', s.seq, ' ', s.sent_at, ' ', \
           s.conversation, s.entry_id, s.content_hash), '') AS BLOB) FROM want w \
         LEFT JOIN sends s ON s.client_msg_id = w.client_msg_id AND s.sender = w.sender \
         LEFT JOIN conversations c ON c.id = w.conversation AND CASE WHEN w.user IS NULL THEN c.kind <> 'feed' ELSE EXISTS \
           (SELECT 1 FROM members m WHERE m.user = w.user AND m.conversation = w.conversation AND m.left_seq IS NULL) END \
         WHERE w.i IS NOT NULL",
    )
});

const REMEMBER: (usize, &str) = (
    7,
    "INSERT OR FAIL INTO sends (client_msg_id, sender, conversation, seq, entry_id, sent_at, content_hash) \
     SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
);

static STORE: LazyLock<RowsScript<3>> =
    LazyLock::new(|| RowsScript::new([entries::INSERT, entries::MOVE_HEADS, REMEMBER]));

/// What names a send once.
type Key<'a> = (&'a ClientMsgId, &'a [u8]);

/// Whose `client_msg_id` it is, as `sends` keeps it: a device's 16 bytes, or a service's sender. Those of a service are never
/// a device's: their seventh byte is an `e`, where a UUID v7 has its version.
fn sender_key(author: &Author) -> &[u8] {
    match author {
        Author::Device { device, .. } => device.as_bytes(),
        Author::Service(name) => name.as_sender().as_bytes(),
    }
}

impl AppendRow {
    /// Hashes what makes two sends the same: the kind, after its length so that it cannot run into the body, and the
    /// body's text.
    pub(crate) fn new(append: Append) -> Self {
        let kind = append.kind.as_str();
        let mut hash = Sha256::new();
        hash.update((kind.len() as u64).to_be_bytes());
        hash.update(kind);
        hash.update(append.body.as_json());
        let content = Content::of(&append.kind, &append.body).ok();
        Self { content_hash: hash.finalize().into(), content, append }
    }

    pub(super) fn append(&self) -> &Append {
        &self.append
    }

    pub(super) fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    pub(super) fn is_message(&self) -> bool {
        self.append.kind == Kind::Message
    }

    fn key(&self) -> Key<'_> {
        (&self.append.client_msg_id, sender_key(&self.append.author))
    }

    fn entry(&self, seq: Seq) -> NewEntry<'_> {
        let append = &self.append;
        NewEntry {
            conversation: append.conversation,
            seq,
            id: append.id,
            kind: &append.kind,
            sender: append.author.as_sender(),
            sender_device: append.author.device(),
            client_msg_id: Some(&append.client_msg_id),
            body: &append.body,
            sent_at: append.sent_at,
        }
    }

    /// A row of [`REMEMBER`].
    fn bind_send(&self, seq: Seq, values: &mut Values) {
        let append = &self.append;
        values.text(append.client_msg_id.as_str()).blob(sender_key(&append.author));
        values.blob(append.conversation.as_bytes()).int(seq.get()).blob(append.id.as_bytes());
        values.int(append.sent_at.get()).blob(&self.content_hash);
    }

    /// What a row is answered whose `client_msg_id` has been used before.
    fn compare(&self, earlier: &Earlier) -> RowOutcome {
        let same = earlier.content_hash == self.content_hash && earlier.sent.conversation == self.append.conversation;
        if same { RowOutcome::Already(earlier.sent) } else { RowOutcome::Refused(AppendRefusal::DuplicateId) }
    }
}

impl Batch for Appends {
    const OPERATION: &'static str = "append";
    type Input = Vec<AppendRow>;
    type Interim = Vec<RowOutcome>;
    type Output = Vec<Result<Appended, AppendRefusal>>;

    async fn run(work: &mut Work<'_>, inputs: &[&Vec<AppendRow>]) -> Result<Vec<Vec<RowOutcome>>, sqlx::Error> {
        let rows: Vec<&AppendRow> = inputs.iter().flat_map(|batch| batch.iter()).collect();
        let mut outcomes = append(work, &rows).await?.into_iter();
        Ok(inputs.iter().map(|batch| outcomes.by_ref().take(batch.len()).collect()).collect())
    }

    /// Row by row. If none can be stored the call fails.
    async fn run_parts(
        work: &mut Work<'_>,
        rows: &Vec<AppendRow>,
        failure: sqlx::Error,
    ) -> Result<Result<Vec<RowOutcome>, sqlx::Error>, sqlx::Error> {
        let mut outcomes = Vec::with_capacity(rows.len());
        let mut any = false;
        for row in rows {
            let savepoint = work.savepoint().await?;
            let result = append(work, &[row]).await;
            let outcome = work.end_savepoint(savepoint, result).await?.ok().and_then(|mut outcomes| outcomes.pop());
            any |= outcome.is_some();
            outcomes.push(outcome.unwrap_or(RowOutcome::Refused(AppendRefusal::Failed)));
        }
        Ok(if any { Ok(outcomes) } else { Err(failure) })
    }

    fn finish(rows: Vec<AppendRow>, outcomes: Vec<RowOutcome>) -> Vec<Result<Appended, AppendRefusal>> {
        let answer = |(row, outcome): (AppendRow, RowOutcome)| match outcome {
            RowOutcome::New(seq) => Ok(Appended::New(entry(row.append, seq))),
            RowOutcome::Already(sent) => Ok(Appended::Already(sent)),
            RowOutcome::Refused(refusal) => Err(refusal),
        };
        rows.into_iter().zip(outcomes).map(answer).collect()
    }
}

fn entry(append: Append, seq: Seq) -> Entry {
    Entry {
        conversation: append.conversation,
        seq,
        id: append.id,
        kind: append.kind,
        sender: append.author.sender(),
        sender_device: append.author.device(),
        client_msg_id: Some(append.client_msg_id),
        body: append.body,
        sent_at: append.sent_at,
    }
}

async fn append(work: &mut Work<'_>, rows: &[&AppendRow]) -> Result<Vec<RowOutcome>, sqlx::Error> {
    let found = find(work, rows).await?;
    let mut targets = Targets::find(work, rows).await?;
    let outcomes = decide(rows, &found, &mut targets);
    let new = rows.iter().zip(&outcomes).filter_map(|(row, outcome)| match outcome {
        RowOutcome::New(seq) => Some((*row, *seq)),
        _ => None,
    });
    let mut new: Vec<(&AppendRow, Seq)> = new.collect();
    if !new.is_empty() {
        store(work, &mut new).await?;
    }
    Ok(outcomes)
}

/// What the database knows about a row.
#[derive(Default)]
struct Found {
    earlier: Option<Earlier>,
    /// The conversation's head, if the author may write there.
    head: Option<Seq>,
    /// Whether one of the two users of a direct conversation has blocked the other.
    blocked: bool,
}

impl Found {
    /// See [`FIND`].
    fn take(packed: &mut Packed<'_>) -> Result<Self, sqlx::Error> {
        let (head, blocked) = (packed.optional_int()?, packed.optional_int()?);
        let (seq, sent_at) = (packed.optional_int()?, packed.optional_int()?);
        let mut found = Self { earlier: None, head: head.map(Seq::new), blocked: blocked == Some(1) };
        if let (Some(seq), Some(sent_at)) = (seq.map(Seq::new), sent_at.map(UnixMs::new)) {
            let conversation = ConversationId::from_bytes(packed.bytes()?);
            let sent = Sent { conversation, seq, id: EntryId::from_bytes(packed.bytes()?), sent_at, duplicate: true };
            found.earlier = Some(Earlier { sent, content_hash: packed.bytes()? });
        }
        Ok(found)
    }
}

async fn find(work: &mut Work<'_>, rows: &[&AppendRow]) -> Result<Vec<Found>, sqlx::Error> {
    let mut found: Vec<Found> = Vec::new();
    found.resize_with(rows.len(), Found::default);
    let bind = |values: &mut Values, index: usize, row: &&AppendRow| {
        let Append { conversation, author, client_msg_id, .. } = &row.append;
        values.int(index as u64).text(client_msg_id.as_str()).blob(sender_key(author));
        values.blob(conversation.as_bytes()).optional_text(author.user().map(UserId::as_str));
    };
    let take = |row: &SqliteRow| {
        let mut packed = Packed::new(Columns::of(row).optional_blob()?.unwrap_or_default());
        while !packed.is_empty() {
            let index = packed.int()?;
            let state = Found::take(&mut packed)?;
            if let Some(found) = usize::try_from(index).ok().and_then(|index| found.get_mut(index)) {
                *found = state;
            }
        }
        Ok(())
    };
    work.fetch(&FIND, rows, bind, take).await?;
    Ok(found)
}

/// What becomes of each row, as if one came after the other.
fn decide(rows: &[&AppendRow], found: &[Found], targets: &mut Targets) -> Vec<RowOutcome> {
    let mut in_batch: HashMap<Key<'_>, Earlier> = HashMap::with_capacity(rows.len());
    let mut heads: HashMap<ConversationId, Seq> = HashMap::with_capacity(rows.len());
    let mut outcomes = Vec::with_capacity(rows.len());
    for (index, (row, found)) in rows.iter().zip(found).enumerate() {
        let Append { conversation, id, sent_at, .. } = row.append;
        if let Some(earlier) = found.earlier.as_ref().or_else(|| in_batch.get(&row.key())) {
            outcomes.push(row.compare(earlier));
        } else if found.blocked && row.append.author.user().is_some() {
            outcomes.push(RowOutcome::Refused(AppendRefusal::Blocked));
        } else if let Some(head) = found.head {
            let head = heads.entry(conversation).or_insert(head);
            if let Err(refusal) = targets.check(index, row, *head) {
                outcomes.push(RowOutcome::Refused(refusal));
                continue;
            }
            *head = head.next();
            targets.note(row, *head);
            let sent = Sent { conversation, seq: *head, id, sent_at, duplicate: true };
            in_batch.insert(row.key(), Earlier { sent, content_hash: row.content_hash });
            outcomes.push(RowOutcome::New(*head));
        } else {
            outcomes.push(RowOutcome::Refused(AppendRefusal::NotMember));
        }
    }
    outcomes
}

/// Writes the new entries, the heads, and what remembers the sends. The rows are put in the order of each table's key, so
/// that rows of one page are written together.
async fn store(work: &mut Work<'_>, new: &mut [(&AppendRow, Seq)]) -> Result<(), sqlx::Error> {
    new.sort_unstable_by_key(|(row, seq)| (row.append.conversation, *seq));
    let chunks = new.len().div_ceil(ROWS_MAX);
    let has_effects = about::has_effects(new);
    for (number, new) in (1..).zip(new.chunks(ROWS_MAX)) {
        let entries: Vec<NewEntry<'_>> = new.iter().map(|(row, seq)| row.entry(*seq)).collect();
        let heads = entries::heads(&entries);
        let mut sends: Vec<&(&AppendRow, Seq)> = new.iter().collect();
        sends.sort_unstable_by(|(one, _), (other, _)| one.key().cmp(&other.key()));
        let bind = |values: &mut Values, statement| match statement {
            0 => entries.iter().for_each(|entry| entry.bind(values)),
            1 => heads.iter().for_each(|head| head.bind(values)),
            _ => sends.iter().for_each(|(row, seq)| row.bind_send(*seq, values)),
        };
        let written = work.execute_script(&STORE, number == chunks && !has_effects, new.len(), bind).await?;
        work.moved.extend(heads.iter().map(Offset::from));
        work.tally.entries_appended += new.len() as u64;
        // Each remembered send is also a row of its table's index.
        work.tally.append_rows += written + new.len() as u64;
    }
    if has_effects {
        let written = about::store_effects(work, new).await?;
        work.tally.append_rows += written;
    }
    Ok(())
}
