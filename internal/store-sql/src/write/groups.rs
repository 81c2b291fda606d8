//! Groups and rooms: made, changed. What all commands about them begin and end with.

use super::conversations::{self, Stay};
use super::entries;
use super::job::Command;
use super::people;
use super::work::Work;
use crate::row::{Columns, conversation_columns};
use crate::sql::{self, Values};
use lockstep_model::{
    Conversation, ConversationKind, Details, DetailsChange, Entry, LogChange, Role, Seq, UnixMs, UserId,
};
use lockstep_ports::{Actor, Committed, GroupRefusal, NewGroup};

/// [`create_group`](lockstep_ports::Groups::create_group).
pub(crate) struct CreateGroup(pub(crate) NewGroup);

/// [`change_details`](lockstep_ports::Groups::change_details).
pub(crate) struct ChangeDetails {
    pub(crate) actor: Actor,
    pub(crate) change: DetailsChange,
}

/// The conversation that a command is about, and who gives it.
pub(super) struct Place {
    pub(super) conversation: Conversation,
    /// The actor's; absent if it is no member.
    pub(super) role: Option<Role>,
    pub(super) now: UnixMs,
    /// What is written into logs, not stored yet.
    pub(super) entries: Vec<Entry>,
}

impl Place {
    /// Looks at the conversation in the transaction.
    pub(super) async fn find(work: &mut Work<'_>, actor: &Actor) -> Result<Option<Self>, sqlx::Error> {
        const FIND: &str = concat!(
            "SELECT ",
            conversation_columns!(),
            ", m.role FROM conversations c LEFT JOIN members m INDEXED BY members_by_user \
               ON m.user = ?2 AND m.conversation = c.id AND m.left_seq IS NULL WHERE c.id = ?1 AND c.kind <> 'feed'"
        );
        let mut values = Values::new();
        values.blob(actor.conversation.as_bytes()).text(actor.user.as_str());
        let rows = sql::fetch(work.connection().await?, FIND, &mut values).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut columns = Columns::of(row);
        let (conversation, role) = (columns.conversation()?, columns.optional_role()?);
        Ok(Some(Self { conversation, role, now: actor.now, entries: Vec::new() }))
    }

    /// The same, for what only members may do, and only in groups and rooms.
    pub(super) async fn of_member(
        work: &mut Work<'_>,
        actor: &Actor,
    ) -> Result<Result<(Self, Role), GroupRefusal>, sqlx::Error> {
        let Some(place) = Self::find(work, actor).await? else { return Ok(Err(GroupRefusal::NoSuchConversation)) };
        Ok(match place.role {
            None => Err(GroupRefusal::NoSuchConversation),
            Some(_) if place.conversation.kind == ConversationKind::Direct => Err(GroupRefusal::Direct),
            Some(role) => Ok((place, role)),
        })
    }

    /// Writes a change into the conversation's log, and says where.
    pub(super) fn write(&mut self, change: &LogChange) -> Seq {
        let Conversation { id, bounds, active_at, .. } = &mut self.conversation;
        self.entries.push(entries::system_entry(*id, bounds.head, change.to_body(), self.now));
        bounds.head = bounds.head.next();
        *active_at = self.now.max(*active_at);
        bounds.head
    }

    /// Stores what was written.
    pub(super) async fn finish<T>(self, work: &mut Work<'_>, value: T) -> Result<Committed<T>, sqlx::Error> {
        work.tally.group_rows += entries::insert(work, &self.entries).await?;
        Ok(Committed { value, entries: self.entries })
    }

    /// The same, for those who want to see the conversation.
    pub(super) async fn finish_shown(self, work: &mut Work<'_>) -> Result<Committed<Conversation>, sqlx::Error> {
        let conversation = self.conversation.clone();
        self.finish(work, conversation).await
    }
}

impl Command for CreateGroup {
    const OPERATION: &'static str = "create_group";
    type Output = Result<Committed<Conversation>, GroupRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let NewGroup { conversation: new, avatar, custom, history } = &self.0;
        if let Some(value) = conversations::find(work, new.id).await? {
            return Ok(Ok(Committed { value, entries: vec![] }));
        }
        let Some((creator, others)) = new.members.split_first() else { return Ok(Err(GroupRefusal::NoSuchUser)) };
        let Some(joining) = conversations::joining(work, new.id, &new.members).await? else {
            return Ok(Err(GroupRefusal::NoSuchUser));
        };
        if people::block(work, &joining, creator).await? {
            return Ok(Err(GroupRefusal::Blocked));
        }
        if joining.iter().any(|user| !user.has_room(work)) {
            return Ok(Err(GroupRefusal::TooManyConversations));
        }
        if new.members.len() as u64 > members_max(work, new.kind) {
            return Ok(Err(GroupRefusal::TooManyMembers));
        }
        let (title, avatar, custom, history) = (new.title.clone(), avatar.clone(), custom.clone(), *history);
        let details = Details { title: title.clone(), avatar: avatar.clone(), custom: custom.clone(), history };
        let conversation = conversations::made(new, details);
        conversations::insert(work, &conversation).await?;
        let stay = Stay { joined: Seq::ZERO, visible_from: Seq::new(1), now: new.now };
        let role = |user: &conversations::Joining| if user.user == *creator { Role::Owner } else { Role::Member };
        conversations::insert_members(work, new.id, stay, &joining, role).await?;
        let mut place = Place { conversation, role: Some(Role::Owner), now: new.now, entries: Vec::new() };
        place.write(&LogChange::Created { by: creator.clone(), kind: new.kind, title, avatar, history, custom });
        for change in LogChange::members_added(creator, others) {
            place.write(&change);
        }
        place.entries.extend(joining.iter().map(|user| user.added(new.id, new.kind, new.now)));
        place.finish_shown(work).await.map(Ok)
    }
}

impl Command for ChangeDetails {
    const OPERATION: &'static str = "change_details";
    type Output = Result<Committed<Conversation>, GroupRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let (mut place, role) = match Place::of_member(work, &self.actor).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !role.manages() {
            return Ok(Err(GroupRefusal::Forbidden));
        }
        let change = self.change.clone().beyond(&place.conversation.details);
        if change.is_empty() {
            return place.finish_shown(work).await.map(Ok);
        }
        change.clone().apply(&mut place.conversation.details);
        const CHANGE: &str = "UPDATE conversations SET title = ?, avatar = ?, custom = ?, history = ? WHERE id = ?";
        let mut values = Values::new();
        conversations::bind_details(&mut values, &place.conversation.details);
        values.blob(place.conversation.id.as_bytes());
        work.tally.group_rows += sql::execute(work.connection().await?, CHANGE, &mut values).await?;
        place.write(&LogChange::Changed { by: self.actor.user.clone(), change });
        place.finish_shown(work).await.map(Ok)
    }
}

/// How many members a conversation may have.
pub(super) fn members_max(work: &Work<'_>, kind: ConversationKind) -> u64 {
    let max = match kind {
        ConversationKind::Room => work.options.room_members_max,
        ConversationKind::Direct | ConversationKind::Group | ConversationKind::Feed => work.options.group_members_max,
    };
    u64::from(max)
}

/// Changes the count of a conversation's members.
pub(super) async fn count_members(work: &mut Work<'_>, place: &mut Place, count: u64) -> Result<(), sqlx::Error> {
    const COUNT: &str = "UPDATE conversations SET member_count = ? WHERE id = ?";
    place.conversation.member_count = count;
    let mut values = Values::new();
    values.int(count).blob(place.conversation.id.as_bytes());
    work.tally.group_rows += sql::execute(work.connection().await?, COUNT, &mut values).await?;
    Ok(())
}

/// The role of a member of the conversation.
pub(super) async fn role_of(work: &mut Work<'_>, place: &Place, user: &UserId) -> Result<Option<Role>, sqlx::Error> {
    const FIND: &str = "SELECT role FROM members INDEXED BY members_by_user \
         WHERE user = ?1 AND conversation = ?2 AND left_seq IS NULL";
    let mut values = Values::new();
    values.text(user.as_str()).blob(place.conversation.id.as_bytes());
    let rows = sql::fetch(work.connection().await?, FIND, &mut values).await?;
    rows.first().map_or(Ok(None), |row| Columns::of(row).optional_role())
}
