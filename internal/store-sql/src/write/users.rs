//! Users and their feeds.

use super::job::Command;
use super::work::Work;
use crate::row::Columns;
use crate::sql::{self, Values};
use lockstep_model::{ConversationId, ConversationKind, Seq, UnixMs, User, UserId};

/// [`ensure_user`](lockstep_ports::Directory::ensure_user).
pub(crate) struct EnsureUser {
    pub(crate) user: UserId,
    pub(crate) now: UnixMs,
}

impl Command for EnsureUser {
    const OPERATION: &'static str = "ensure_user";
    type Output = User;

    async fn run(&self, work: &mut Work<'_>) -> Result<User, sqlx::Error> {
        const FIND: &str = "SELECT id, feed, created_at FROM users WHERE id = ?";
        let found = sql::fetch(work.connection().await?, FIND, Values::new().text(self.user.as_str())).await?;
        if let Some(row) = found.first() {
            return Columns::of(row).user();
        }
        create(work, &self.user, self.now).await
    }
}

/// Makes a user who is not there, and the user's feed.
pub(super) async fn create(work: &mut Work<'_>, id: &UserId, created_at: UnixMs) -> Result<User, sqlx::Error> {
    let user = User { id: id.clone(), feed: ConversationId::generate(), created_at };
    let (feed, kind, now) = (user.feed.as_bytes(), ConversationKind::Feed.as_str(), created_at.get());
    const FEED: &str = "INSERT INTO conversations (id, kind, created_at, active_at) VALUES (?, ?, ?, ?)";
    sql::execute(work.connection().await?, FEED, Values::new().blob(feed).text(kind).int(now).int(now)).await?;
    const USER: &str = "INSERT INTO users (id, feed, created_at) VALUES (?, ?, ?)";
    sql::execute(work.connection().await?, USER, Values::new().text(user.id.as_str()).blob(feed).int(now)).await?;
    const MEMBER: &str = "INSERT INTO members (conversation, joined_seq, user, visible_from_seq) VALUES (?, 0, ?, 1)";
    sql::execute(work.connection().await?, MEMBER, Values::new().blob(feed).text(user.id.as_str())).await?;
    Ok(user)
}

/// Whether a user is there and disabled.
pub(super) async fn is_disabled(work: &mut Work<'_>, user: &UserId) -> Result<bool, sqlx::Error> {
    const FIND: &str = "SELECT 1 FROM users WHERE id = ? AND disabled_at IS NOT NULL";
    let rows = sql::fetch(work.connection().await?, FIND, Values::new().text(user.as_str())).await?;
    Ok(!rows.is_empty())
}

/// A user's feed and its head.
pub(super) async fn feed_of(work: &mut Work<'_>, user: &UserId) -> Result<Option<(ConversationId, Seq)>, sqlx::Error> {
    const FEED: &str = "SELECT c.id, c.head FROM users u JOIN conversations c ON c.id = u.feed WHERE u.id = ?";
    let rows = sql::fetch(work.connection().await?, FEED, Values::new().text(user.as_str())).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut columns = Columns::of(row);
    Ok(Some((columns.conversation_id()?, columns.seq()?)))
}
