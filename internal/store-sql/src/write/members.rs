//! Members of groups and rooms: invited, joining, leaving, removed, given a role.

use super::conversations::{self, Joining, Stay};
use super::entries;
use super::groups::{Place, count_members, members_max, role_of};
use super::job::Command;
use super::people;
use super::users::feed_of;
use super::work::Work;
use crate::row::Columns;
use crate::sql::{self, Values};
use lockstep_model::{Conversation, ConversationKind, FeedChange, LogChange, Role, UserId};
use lockstep_ports::{Actor, Committed, ENDED_STAYS_MAX, GroupRefusal};

/// [`add_members`](lockstep_ports::Groups::add_members).
pub(crate) struct AddMembers {
    pub(crate) actor: Actor,
    pub(crate) users: Vec<UserId>,
}

/// [`join`](lockstep_ports::Groups::join).
pub(crate) struct Join(pub(crate) Actor);

/// [`leave`](lockstep_ports::Groups::leave).
pub(crate) struct Leave(pub(crate) Actor);

/// [`remove_member`](lockstep_ports::Groups::remove_member).
pub(crate) struct RemoveMember {
    pub(crate) actor: Actor,
    pub(crate) member: UserId,
}

/// [`set_role`](lockstep_ports::Groups::set_role).
pub(crate) struct SetRole {
    pub(crate) actor: Actor,
    pub(crate) member: UserId,
    pub(crate) role: Role,
}

type Refusable<T> = Result<Result<T, GroupRefusal>, sqlx::Error>;

impl Command for AddMembers {
    const OPERATION: &'static str = "add_members";
    type Output = Result<Committed<Vec<UserId>>, GroupRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let (mut place, role) = match Place::of_member(work, &self.actor).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !role.manages() {
            return Ok(Err(GroupRefusal::Forbidden));
        }
        let Some(mut joining) = conversations::joining(work, place.conversation.id, &self.users).await? else {
            return Ok(Err(GroupRefusal::NoSuchUser));
        };
        joining.retain(|user| !user.is_member);
        if people::block(work, &joining, &self.actor.user).await? {
            return Ok(Err(GroupRefusal::Blocked));
        }
        let added: Vec<UserId> = joining.iter().map(|user| user.user.clone()).collect();
        let changes = LogChange::members_added(&self.actor.user, &added);
        if let Err(refusal) = begin_stays(work, &mut place, &joining, Role::Member, &changes).await? {
            return Ok(Err(refusal));
        }
        place.finish(work, added).await.map(Ok)
    }
}

impl Command for Join {
    const OPERATION: &'static str = "join";
    type Output = Result<Committed<Conversation>, GroupRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let Self(actor) = self;
        let Some(mut place) = Place::find(work, actor).await? else {
            return Ok(Err(GroupRefusal::NoSuchConversation));
        };
        if place.role.is_some() {
            return place.finish_shown(work).await.map(Ok);
        }
        if place.conversation.kind != ConversationKind::Room {
            return Ok(Err(GroupRefusal::NoSuchConversation));
        }
        let Some(joining) =
            conversations::joining(work, place.conversation.id, std::slice::from_ref(&actor.user)).await?
        else {
            return Ok(Err(GroupRefusal::NoSuchUser));
        };
        let member = actor.user.clone();
        let mut changes = vec![LogChange::MemberJoined { member: member.clone() }];
        let mut role = Role::Member;
        // Without an owner a room could never be looked after again.
        if place.conversation.member_count == 0 {
            role = Role::Owner;
            changes.push(LogChange::OwnerChanged { by: member.clone(), member });
        }
        if let Err(refusal) = begin_stays(work, &mut place, &joining, role, &changes).await? {
            return Ok(Err(refusal));
        }
        place.finish_shown(work).await.map(Ok)
    }
}

/// Makes users members who are none, if the bounds allow it: they see what the conversation shows to newcomers.
async fn begin_stays(
    work: &mut Work<'_>,
    place: &mut Place,
    joining: &[Joining],
    role: Role,
    changes: &[LogChange],
) -> Refusable<()> {
    if joining.is_empty() {
        return Ok(Ok(()));
    }
    let Conversation { id, kind, member_count, bounds, ref details, .. } = place.conversation;
    if joining.iter().any(|user| !user.has_room(work)) {
        return Ok(Err(GroupRefusal::TooManyConversations));
    }
    let count = member_count + joining.len() as u64;
    if count > members_max(work, kind) {
        return Ok(Err(GroupRefusal::TooManyMembers));
    }
    let now = place.now;
    let stay = Stay { joined: bounds.head, visible_from: details.history.first_visible(bounds.head), now };
    conversations::insert_members(work, id, stay, joining, |_| role).await?;
    count_members(work, place, count).await?;
    for change in changes {
        place.write(change);
    }
    place.entries.extend(joining.iter().map(|user| user.added(id, kind, now)));
    Ok(Ok(()))
}

impl Command for Leave {
    const OPERATION: &'static str = "leave";
    type Output = Result<Committed<()>, GroupRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let Self(actor) = self;
        let (mut place, role) = match Place::of_member(work, actor).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if role == Role::Owner
            && let Some(member) = successor(work, &place, &actor.user).await?
        {
            give_role(work, &place, &member, Role::Owner).await?;
            place.write(&LogChange::OwnerChanged { by: actor.user.clone(), member });
        }
        let change = LogChange::MemberLeft { member: actor.user.clone() };
        end_stay(work, &mut place, &actor.user, &change).await?;
        place.finish(work, ()).await.map(Ok)
    }
}

impl Command for RemoveMember {
    const OPERATION: &'static str = "remove_member";
    type Output = Result<Committed<()>, GroupRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let (mut place, role) = match Place::of_member(work, &self.actor).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !role.manages() {
            return Ok(Err(GroupRefusal::Forbidden));
        }
        match role_of(work, &place, &self.member).await? {
            None => return Ok(Err(GroupRefusal::NoSuchMember)),
            Some(other) if !role.may_remove(other) => return Ok(Err(GroupRefusal::Forbidden)),
            Some(_) => {}
        }
        let change = LogChange::MemberRemoved { by: self.actor.user.clone(), member: self.member.clone() };
        end_stay(work, &mut place, &self.member, &change).await?;
        place.finish(work, ()).await.map(Ok)
    }
}

/// Forgets the ended stays of a user beyond so many, a few at a time: one that ends pays for those of before.
const FORGET_ENDED: &str = "DELETE FROM members WHERE (conversation, joined_seq, user) IN \
     (SELECT conversation, joined_seq, user FROM members INDEXED BY members_ended WHERE user = ?1 AND left_seq IS NOT NULL \
      ORDER BY left_at DESC, conversation DESC, joined_seq DESC LIMIT 8 OFFSET ?2)";

/// Ends a stay with the entry that tells of it, which is the last that the member sees.
async fn end_stay(
    work: &mut Work<'_>,
    place: &mut Place,
    user: &UserId,
    change: &LogChange,
) -> Result<(), sqlx::Error> {
    const END: &str =
        "UPDATE members SET left_seq = ?, left_at = ? WHERE user = ? AND conversation = ? AND left_seq IS NULL";
    const COUNT: &str = "UPDATE users SET conversation_count = conversation_count - 1 WHERE id = ?";
    let id = place.conversation.id;
    let left = place.write(change);
    let mut values = Values::new();
    values.int(left.get()).int(place.now.get()).text(user.as_str()).blob(id.as_bytes());
    work.tally.group_rows += sql::execute(work.connection().await?, END, &mut values).await?;
    work.tally.group_rows += sql::execute(work.connection().await?, COUNT, Values::new().text(user.as_str())).await?;
    let mut values = Values::new();
    values.text(user.as_str()).int(ENDED_STAYS_MAX);
    work.tally.group_rows += sql::execute(work.connection().await?, FORGET_ENDED, &mut values).await?;
    let count = place.conversation.member_count.saturating_sub(1);
    count_members(work, place, count).await?;
    if let Some((feed, head)) = feed_of(work, user).await? {
        let change = FeedChange::ConversationRemoved { conversation: id };
        place.entries.push(entries::feed_entry(feed, head, change, place.now));
    }
    Ok(())
}

impl Command for SetRole {
    const OPERATION: &'static str = "set_role";
    type Output = Result<Committed<()>, GroupRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let (mut place, own) = match Place::of_member(work, &self.actor).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if own != Role::Owner {
            return Ok(Err(GroupRefusal::Forbidden));
        }
        let Some(role) = role_of(work, &place, &self.member).await? else {
            return Ok(Err(GroupRefusal::NoSuchMember));
        };
        if role == self.role {
            return place.finish(work, ()).await.map(Ok);
        }
        // The owner's own role changes only by handing over, so that there is always one.
        if self.member == self.actor.user {
            return Ok(Err(GroupRefusal::Forbidden));
        }
        let (by, member) = (self.actor.user.clone(), self.member.clone());
        give_role(work, &place, &member, self.role).await?;
        if self.role == Role::Owner {
            give_role(work, &place, &by, Role::Admin).await?;
            place.write(&LogChange::OwnerChanged { by, member });
        } else {
            place.write(&LogChange::RoleChanged { by, member, role: self.role });
        }
        place.finish(work, ()).await.map(Ok)
    }
}

async fn give_role(work: &mut Work<'_>, place: &Place, user: &UserId, role: Role) -> Result<(), sqlx::Error> {
    const GIVE: &str = "UPDATE members SET role = ? WHERE user = ? AND conversation = ? AND left_seq IS NULL";
    let mut values = Values::new();
    values.text(role.as_str()).text(user.as_str()).blob(place.conversation.id.as_bytes());
    work.tally.group_rows += sql::execute(work.connection().await?, GIVE, &mut values).await?;
    Ok(())
}

/// The first member but one.
pub(crate) const SUCCESSOR: &str = "SELECT user FROM members INDEXED BY members_now \
     WHERE conversation = ?1 AND left_seq IS NULL AND user <> ?2 ORDER BY joined_seq, user LIMIT 1";

/// Who takes over from an owner that leaves: the first admin, else the first member.
async fn successor(work: &mut Work<'_>, place: &Place, owner: &UserId) -> Result<Option<UserId>, sqlx::Error> {
    const ADMIN: &str = "SELECT user FROM members INDEXED BY members_with_role \
         WHERE conversation = ?1 AND role = 'admin' AND role <> 'member' AND left_seq IS NULL \
         ORDER BY joined_seq, user LIMIT 1";
    let id = place.conversation.id;
    let admins = sql::fetch(work.connection().await?, ADMIN, Values::new().blob(id.as_bytes())).await?;
    if let Some(row) = admins.first() {
        return Columns::of(row).user_id().map(Some);
    }
    let mut values = Values::new();
    values.blob(id.as_bytes()).text(owner.as_str());
    let members = sql::fetch(work.connection().await?, SUCCESSOR, &mut values).await?;
    members.first().map(|row| Columns::of(row).user_id()).transpose()
}
