//! New conversations and their members.

use super::entries;
use super::job::Command;
use super::people;
use super::work::Work;
use crate::row::{Columns, conversation_columns};
use crate::sql::{self, RowsSql, Values};
use lockstep_model::{Bounds, Conversation, ConversationId, ConversationKind, Entry, FeedChange, Seq, UserId};
use lockstep_ports::{Committed, DirectoryRefusal, NewConversation};
use std::sync::LazyLock;

/// [`create_conversation`](lockstep_ports::Directory::create_conversation).
pub(crate) struct CreateConversation(pub(crate) NewConversation);

static USERS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        2,
        "WITH want (i, user) AS (VALUES {rows}) \
         SELECT w.i, u.feed, c.head, u.conversation_count FROM want w \
         CROSS JOIN users u ON u.id = w.user CROSS JOIN conversations c ON c.id = u.feed",
    )
});

static INSERT_MEMBERS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        2,
        "INSERT INTO members (conversation, joined_seq, user, visible_from_seq) \
         SELECT column1, 0, column2, 1 FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
    )
});

static COUNT_CONVERSATION: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        1,
        "UPDATE users SET conversation_count = conversation_count + 1 \
         FROM (VALUES {rows}) AS v WHERE id = v.column1",
    )
});

/// What has to be known of a user who becomes a member.
#[derive(Clone, Copy)]
struct Joining {
    feed: ConversationId,
    feed_head: Seq,
    conversations: u64,
}

impl Command for CreateConversation {
    const OPERATION: &'static str = "create_conversation";
    type Output = Result<Committed<Conversation>, DirectoryRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let new = &self.0;
        // A direct conversation that both sides open, or the command given again.
        if let Some(value) = find(work, new.id).await? {
            return Ok(Ok(Committed { value, entries: vec![] }));
        }
        let Some(joining) = joining(work, &new.members).await? else {
            return Ok(Err(DirectoryRefusal::NoSuchUser));
        };
        if new.kind == ConversationKind::Direct && people::is_blocked(work, &new.members).await? {
            return Ok(Err(DirectoryRefusal::Blocked));
        }
        if joining.iter().any(|user| user.conversations >= u64::from(work.conversations_per_user_max)) {
            return Ok(Err(DirectoryRefusal::TooManyConversations));
        }
        let conversation = Conversation {
            id: new.id,
            kind: new.kind,
            title: new.title.clone(),
            bounds: Bounds { floor: Seq::new(1), head: Seq::ZERO },
            created_at: new.now,
            active_at: new.now,
        };
        store(work, &conversation, &new.members).await?;
        let change = FeedChange::ConversationAdded { conversation: new.id, kind: new.kind };
        let told = joining.iter().map(|user| entries::feed_entry(user.feed, user.feed_head, change, new.now));
        let told: Vec<Entry> = told.collect();
        entries::insert(work, &told).await?;
        Ok(Ok(Committed { value: conversation, entries: told }))
    }
}

async fn find(work: &mut Work<'_>, id: ConversationId) -> Result<Option<Conversation>, sqlx::Error> {
    const FIND: &str = concat!("SELECT ", conversation_columns!(), " FROM conversations c WHERE c.id = ?");
    let rows = sql::fetch(work.connection().await?, FIND, Values::new().blob(id.as_bytes())).await?;
    rows.first().map(|row| Columns::of(row).conversation()).transpose()
}

/// The users in the order of the members; `None` if one does not exist.
async fn joining(work: &mut Work<'_>, members: &[UserId]) -> Result<Option<Vec<Joining>>, sqlx::Error> {
    let mut found: Vec<Option<Joining>> = vec![None; members.len()];
    let bind = |values: &mut Values, index: usize, user: &UserId| {
        values.int(index as u64).text(user.as_str());
    };
    let take = |row: &sqlx::sqlite::SqliteRow| {
        let mut columns = Columns::of(row);
        if let Some(place) = found.get_mut(columns.index()?) {
            let (feed, feed_head) = (columns.conversation_id()?, columns.seq()?);
            *place = Some(Joining { feed, feed_head, conversations: columns.int()? });
        }
        Ok(())
    };
    work.fetch(&USERS, members, bind, take).await?;
    Ok(found.into_iter().collect())
}

async fn store(work: &mut Work<'_>, conversation: &Conversation, members: &[UserId]) -> Result<(), sqlx::Error> {
    const INSERT: &str = "INSERT INTO conversations (id, kind, title, created_at, active_at) VALUES (?, ?, ?, ?, ?)";
    let mut values = Values::new();
    values.blob(conversation.id.as_bytes()).text(conversation.kind.as_str());
    values.optional_text(conversation.title.as_deref());
    values.int(conversation.created_at.get()).int(conversation.active_at.get());
    sql::execute(work.connection().await?, INSERT, &mut values).await?;
    INSERT_MEMBERS
        .execute(work.connection().await?, members, |values, user| {
            values.blob(conversation.id.as_bytes()).text(user.as_str());
        })
        .await?;
    COUNT_CONVERSATION
        .execute(work.connection().await?, members, |values, user| {
            values.text(user.as_str());
        })
        .await?;
    Ok(())
}
