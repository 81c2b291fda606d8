//! New conversations, and users who become members.

use super::entries;
use super::job::Command;
use super::people;
use super::work::Work;
use crate::row::{Columns, conversation_columns};
use crate::sql::{self, RowsSql, Values};
use lockstep_model::{
    Bounds, Conversation, ConversationId, ConversationKind, Details, Entry, FeedChange, History, Role, Seq, UnixMs,
    UserId,
};
use lockstep_ports::{Committed, DirectoryRefusal, NewConversation, STAYS_MAX};
use std::sync::LazyLock;

/// [`create_conversation`](lockstep_ports::Directory::create_conversation).
pub(crate) struct CreateConversation(pub(crate) NewConversation);

static USERS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, user, conversation) AS (VALUES {rows}) \
         SELECT w.i, u.feed, c.head, u.conversation_count, EXISTS (SELECT 1 FROM members m \
             WHERE m.user = w.user AND m.conversation = w.conversation AND m.left_seq IS NULL), \
           (SELECT count(*) FROM members m WHERE m.user = w.user AND m.conversation = w.conversation) FROM want w \
         CROSS JOIN users u ON u.id = w.user CROSS JOIN conversations c ON c.id = u.feed",
    )
});

static INSERT_MEMBERS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        6,
        "INSERT INTO members (conversation, joined_seq, user, visible_from_seq, role, joined_at) \
         SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
    )
});

static COUNT_CONVERSATION: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        1,
        "UPDATE users SET conversation_count = conversation_count + 1 \
         FROM (VALUES {rows}) AS v WHERE id = v.column1",
    )
});

/// Leaves a user one stay less than are kept, all of which are over: those that show the most entries, so that nobody who puts
/// others in and out again takes from them what an earlier stay showed.
static FORGET_STAYS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (user, conversation, kept) AS (VALUES {rows}) DELETE FROM members WHERE (conversation, joined_seq, user) IN \
         (SELECT conversation, joined_seq, user FROM (SELECT m.conversation, m.joined_seq, m.user, w.kept, \
            row_number() OVER (PARTITION BY m.user \
              ORDER BY m.left_seq - max(m.visible_from_seq, c.floor) DESC, m.joined_seq DESC) AS turn \
            FROM want w CROSS JOIN members m INDEXED BY members_by_user \
              ON m.user = w.user AND m.conversation = w.conversation \
            CROSS JOIN conversations c ON c.id = w.conversation) WHERE turn > kept)",
    )
});

/// What has to be known of a user who becomes a member.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub(super) user: UserId,
    feed: ConversationId,
    feed_head: Seq,
    conversations: u64,
    pub(super) is_member: bool,
    stays: u64,
}

impl Joining {
    /// Whether the user may be in one more conversation.
    pub(super) fn has_room(&self, work: &Work<'_>) -> bool {
        self.conversations < u64::from(work.options.conversations_per_user_max)
    }

    /// The entry of the user's feed that tells of the conversation.
    pub(super) fn added(&self, conversation: ConversationId, kind: ConversationKind, now: UnixMs) -> Entry {
        let change = FeedChange::ConversationAdded { conversation, kind };
        entries::feed_entry(self.feed, self.feed_head, change, now)
    }
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
        let Some(joining) = joining(work, new.id, &new.members).await? else {
            return Ok(Err(DirectoryRefusal::NoSuchUser));
        };
        if new.kind == ConversationKind::Direct && people::is_blocked(work, &new.members).await? {
            return Ok(Err(DirectoryRefusal::Blocked));
        }
        if joining.iter().any(|user| !user.has_room(work)) {
            return Ok(Err(DirectoryRefusal::TooManyConversations));
        }
        let details = Details { title: new.title.clone(), avatar: None, custom: None, history: History::All };
        let conversation = made(new, details);
        insert(work, &conversation).await?;
        let stay = Stay { joined: Seq::ZERO, visible_from: Seq::new(1), now: new.now };
        insert_members(work, new.id, stay, &joining, |_| Role::Member).await?;
        let told: Vec<Entry> = joining.iter().map(|user| user.added(new.id, new.kind, new.now)).collect();
        entries::insert(work, &told).await?;
        Ok(Ok(Committed { value: conversation, entries: told }))
    }
}

/// A conversation as it is once it is made, without entries.
pub(super) fn made(new: &NewConversation, details: Details) -> Conversation {
    Conversation {
        id: new.id,
        kind: new.kind,
        details,
        member_count: new.members.len() as u64,
        bounds: Bounds { floor: Seq::new(1), head: Seq::ZERO },
        created_at: new.now,
        active_at: new.now,
    }
}

pub(super) async fn find(work: &mut Work<'_>, id: ConversationId) -> Result<Option<Conversation>, sqlx::Error> {
    const FIND: &str = concat!("SELECT ", conversation_columns!(), " FROM conversations c WHERE c.id = ?");
    let rows = sql::fetch(work.connection().await?, FIND, Values::new().blob(id.as_bytes())).await?;
    rows.first().map(|row| Columns::of(row).conversation()).transpose()
}

/// The users in the order in which they are named; `None` if one does not exist.
pub(super) async fn joining(
    work: &mut Work<'_>,
    conversation: ConversationId,
    users: &[UserId],
) -> Result<Option<Vec<Joining>>, sqlx::Error> {
    let mut found: Vec<Option<Joining>> = vec![None; users.len()];
    let bind = |values: &mut Values, index: usize, user: &UserId| {
        values.int(index as u64).text(user.as_str()).blob(conversation.as_bytes());
    };
    let take = |row: &sqlx::sqlite::SqliteRow| {
        let mut columns = Columns::of(row);
        let index = columns.index()?;
        if let (Some(place), Some(user)) = (found.get_mut(index), users.get(index)) {
            let (feed, feed_head, conversations) = (columns.conversation_id()?, columns.seq()?, columns.int()?);
            let (is_member, stays) = (columns.flag()?, columns.int()?);
            *place = Some(Joining { user: user.clone(), feed, feed_head, conversations, is_member, stays });
        }
        Ok(())
    };
    work.fetch(&USERS, users, bind, take).await?;
    Ok(found.into_iter().collect())
}

/// Stores a conversation without members and entries.
pub(super) async fn insert(work: &mut Work<'_>, conversation: &Conversation) -> Result<(), sqlx::Error> {
    const INSERT: &str = "INSERT INTO conversations \
         (id, kind, title, avatar, custom, history, member_count, created_at, active_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let Conversation { id, kind, details, member_count, created_at, active_at, .. } = conversation;
    let mut values = Values::new();
    values.blob(id.as_bytes()).text(kind.as_str());
    bind_details(&mut values, details);
    values.int(*member_count).int(created_at.get()).int(active_at.get());
    work.tally.group_rows += sql::execute(work.connection().await?, INSERT, &mut values).await?;
    Ok(())
}

/// `title, avatar, custom, history`
pub(super) fn bind_details(values: &mut Values, details: &Details) {
    let custom = details.custom.as_ref().map(|custom| custom.to_json());
    values.optional_text(details.title.as_deref()).optional_text(details.avatar.as_deref());
    values.optional_text(custom.as_deref()).text(&details.history.to_text());
}

/// How a stay begins.
#[derive(Clone, Copy)]
pub(super) struct Stay {
    pub(super) joined: Seq,
    pub(super) visible_from: Seq,
    pub(super) now: UnixMs,
}

/// Stores the stays of new members and counts the conversation for them. Who has had as many stays as are kept loses one
/// of those that show the fewest entries.
pub(super) async fn insert_members(
    work: &mut Work<'_>,
    conversation: ConversationId,
    stay: Stay,
    joining: &[Joining],
    role: impl Fn(&Joining) -> Role + Send + Sync,
) -> Result<(), sqlx::Error> {
    let kept = STAYS_MAX - 1;
    let crowded: Vec<&Joining> = joining.iter().filter(|user| user.stays > kept).collect();
    let forgotten = FORGET_STAYS
        .execute(work.connection().await?, &crowded, |values, member| {
            values.text(member.user.as_str()).blob(conversation.as_bytes()).int(kept);
        })
        .await?;
    let members = INSERT_MEMBERS
        .execute(work.connection().await?, joining, |values, member| {
            values.blob(conversation.as_bytes()).int(stay.joined.get()).text(member.user.as_str());
            values.int(stay.visible_from.get()).text(role(member).as_str()).int(stay.now.get());
        })
        .await?;
    let users = COUNT_CONVERSATION
        .execute(work.connection().await?, joining, |values, member| {
            values.text(member.user.as_str());
        })
        .await?;
    work.tally.group_rows += forgotten + members + users;
    Ok(())
}
