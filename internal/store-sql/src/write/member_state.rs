//! What a user keeps about a conversation.

use super::job::Command;
use super::people::tell;
use super::work::Work;
use crate::row::{Columns, state_columns};
use crate::sql::{self, Values};
use lockstep_model::{ConversationId, MemberState, PersonalChange, StateChange, UnixMs, UserId};
use lockstep_ports::{Committed, PeopleRefusal};

/// [`change_state`](lockstep_ports::People::change_state).
pub(crate) struct ChangeState {
    pub(crate) user: UserId,
    pub(crate) conversation: ConversationId,
    pub(crate) change: StateChange,
    pub(crate) now: UnixMs,
}

impl Command for ChangeState {
    const OPERATION: &'static str = "change_state";
    type Output = Result<Committed<MemberState>, PeopleRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        // One row if the user is or was a member.
        const FIND: &str = concat!(
            "SELECT c.head, max(m.left_seq IS NULL), ",
            state_columns!(),
            " FROM conversations c CROSS JOIN members m INDEXED BY members_by_user ON m.user = ?2 AND m.conversation = c.id \
             LEFT JOIN member_states s ON s.user = ?2 AND s.conversation = c.id \
             WHERE c.id = ?1 AND c.kind <> 'feed' GROUP BY c.id"
        );
        let mut values = Values::new();
        values.blob(self.conversation.as_bytes()).text(self.user.as_str());
        let rows = sql::fetch(work.connection().await?, FIND, &mut values).await?;
        let Some(row) = rows.first() else { return Ok(Err(PeopleRefusal::NoSuchConversation)) };
        let mut columns = Columns::of(row);
        let (head, is_member) = (columns.seq()?, columns.flag()?);
        let only_archived = StateChange { archived: self.change.archived, ..StateChange::default() };
        if !is_member && self.change != only_archived {
            return Ok(Err(PeopleRefusal::NoSuchConversation));
        }
        let before = columns.member_state()?;
        let after = before.changed(self.change, head.next());
        if after == before {
            return Ok(Ok(Committed { value: after, entries: vec![] }));
        }
        store(work, &self.user, self.conversation, after).await?;
        let change = PersonalChange::State(self.conversation, after);
        let entries = tell(work, &self.user, &change, self.now).await?;
        Ok(Ok(Committed { value: after, entries }))
    }
}

async fn store(
    work: &mut Work<'_>,
    user: &UserId,
    conversation: ConversationId,
    state: MemberState,
) -> Result<(), sqlx::Error> {
    const PUT: &str = "INSERT OR REPLACE INTO member_states \
         (user, conversation, pinned, archived, muted_until, marked_unread, delete_before) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let MemberState { pinned, archived, muted_until, marked_unread, delete_before } = state;
    let mut values = Values::new();
    values.text(user.as_str()).blob(conversation.as_bytes()).int(pinned.into()).int(archived.into());
    values.int(muted_until.get()).int(marked_unread.into()).int(delete_before.get());
    sql::execute(work.connection().await?, PUT, &mut values).await.map(drop)
}
