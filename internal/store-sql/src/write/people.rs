//! Profiles, contacts and blocks.

use super::conversations::Joining;
use super::entries;
use super::job::Command;
use super::users::feed_of;
use super::work::Work;
use crate::row::{Columns, profile_columns};
use crate::sql::{self, RowsSql, Values};
use lockstep_model::{
    Block, Contact, ConversationId, Entry, EntryId, Kind, PersonalChange, Profile, ProfileChange, Sender, UnixMs,
    UserId, limits,
};
use lockstep_ports::{Committed, PeopleRefusal};
use sqlx::sqlite::SqliteRow;
use std::sync::LazyLock;

/// [`change_profile`](lockstep_ports::People::change_profile).
pub(crate) struct ChangeProfile {
    pub(crate) user: UserId,
    pub(crate) change: ProfileChange,
    pub(crate) now: UnixMs,
}

/// [`put_contact`](lockstep_ports::People::put_contact).
pub(crate) struct PutContact {
    pub(crate) user: UserId,
    pub(crate) contact: UserId,
    pub(crate) name: Option<String>,
    pub(crate) now: UnixMs,
}

/// [`remove_contact`](lockstep_ports::People::remove_contact).
pub(crate) struct RemoveContact {
    pub(crate) user: UserId,
    pub(crate) contact: UserId,
    pub(crate) now: UnixMs,
}

/// [`put_block`](lockstep_ports::People::put_block).
pub(crate) struct PutBlock {
    pub(crate) user: UserId,
    pub(crate) blocked: UserId,
    pub(crate) now: UnixMs,
}

/// [`remove_block`](lockstep_ports::People::remove_block).
pub(crate) struct RemoveBlock {
    pub(crate) user: UserId,
    pub(crate) blocked: UserId,
    pub(crate) now: UnixMs,
}

const PROFILE: &str = concat!("SELECT ", profile_columns!(), " FROM users u WHERE u.id = ?");

impl Command for ChangeProfile {
    const OPERATION: &'static str = "change_profile";
    type Output = Result<Committed<Profile>, PeopleRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        let rows = sql::fetch(work.connection().await?, PROFILE, Values::new().text(self.user.as_str())).await?;
        let Some(row) = rows.first() else { return Ok(Err(PeopleRefusal::NoSuchUser)) };
        let before = Columns::of(row).profile()?;
        let ProfileChange { name, avatar, custom } = self.change.clone();
        let after = Profile {
            id: before.id.clone(),
            name: name.unwrap_or_else(|| before.name.clone()),
            avatar: avatar.unwrap_or_else(|| before.avatar.clone()),
            custom: custom.unwrap_or_else(|| before.custom.clone()),
        };
        if after == before {
            return Ok(Ok(Committed { value: after, entries: vec![] }));
        }
        const STORE: &str = "UPDATE users SET name = ?, avatar = ?, custom = ? WHERE id = ?";
        let mut values = Values::new();
        values.optional_text(after.name.as_deref()).optional_text(after.avatar.as_deref());
        values.text(after.custom.as_json()).text(self.user.as_str());
        sql::execute(work.connection().await?, STORE, &mut values).await?;
        let entries = tell(work, &self.user, &PersonalChange::Profile(&after), self.now).await?;
        Ok(Ok(Committed { value: after, entries }))
    }
}

/// Gives a user a name who has none and never had a device.
pub(super) async fn give_name(
    work: &mut Work<'_>,
    user: &UserId,
    name: &str,
    now: UnixMs,
) -> Result<Vec<Entry>, sqlx::Error> {
    const GIVE: &str = "UPDATE users SET name = ?1 WHERE id = ?2 AND name IS NULL \
         AND NOT EXISTS (SELECT 1 FROM devices WHERE user = ?2)";
    let given = sql::execute(work.connection().await?, GIVE, Values::new().text(name).text(user.as_str())).await?;
    if given == 0 {
        return Ok(vec![]);
    }
    let rows = sql::fetch(work.connection().await?, PROFILE, Values::new().text(user.as_str())).await?;
    let Some(row) = rows.first() else { return Ok(vec![]) };
    let profile = Columns::of(row).profile()?;
    tell(work, user, &PersonalChange::Profile(&profile), now).await
}

impl Command for PutContact {
    const OPERATION: &'static str = "put_contact";
    type Output = Result<Committed<Contact>, PeopleRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const FIND: &str = "SELECT user, name, created_at FROM contacts WHERE owner = ? AND user = ?";
        let before = sql::fetch(work.connection().await?, FIND, &mut pair(&self.user, &self.contact)).await?;
        let before = before.first().map(|row| Columns::of(row).contact()).transpose()?;
        let created_at = before.as_ref().map_or(self.now, |contact| contact.created_at);
        let contact = Contact { user: self.contact.clone(), name: self.name.clone(), created_at };
        if before.as_ref() == Some(&contact) {
            return Ok(Ok(Committed { value: contact, entries: vec![] }));
        }
        const COUNT: &str = "SELECT count(*) FROM contacts WHERE owner = ?";
        if before.is_none()
            && let Some(refusal) = refused(work, &self.user, &self.contact, COUNT).await?
        {
            return Ok(Err(refusal));
        }
        const PUT: &str = "INSERT INTO contacts (owner, user, name, created_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET name = excluded.name";
        let mut values = pair(&self.user, &self.contact);
        values.optional_text(contact.name.as_deref()).int(created_at.get());
        sql::execute(work.connection().await?, PUT, &mut values).await?;
        let change = PersonalChange::Contact(&self.contact, Some(&contact));
        let entries = tell(work, &self.user, &change, self.now).await?;
        Ok(Ok(Committed { value: contact, entries }))
    }
}

impl Command for RemoveContact {
    const OPERATION: &'static str = "remove_contact";
    type Output = Committed<()>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const REMOVE: &str = "DELETE FROM contacts WHERE owner = ? AND user = ?";
        let removed = sql::execute(work.connection().await?, REMOVE, &mut pair(&self.user, &self.contact)).await?;
        let change = PersonalChange::Contact(&self.contact, None);
        let entries = if removed > 0 { tell(work, &self.user, &change, self.now).await? } else { vec![] };
        Ok(Committed { value: (), entries })
    }
}

impl Command for PutBlock {
    const OPERATION: &'static str = "put_block";
    type Output = Result<Committed<Block>, PeopleRefusal>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const FIND: &str = "SELECT user, created_at FROM blocks WHERE owner = ? AND user = ?";
        let before = sql::fetch(work.connection().await?, FIND, &mut pair(&self.user, &self.blocked)).await?;
        if let Some(row) = before.first() {
            return Ok(Ok(Committed { value: Columns::of(row).block()?, entries: vec![] }));
        }
        const COUNT: &str = "SELECT count(*) FROM blocks WHERE owner = ?";
        if let Some(refusal) = refused(work, &self.user, &self.blocked, COUNT).await? {
            return Ok(Err(refusal));
        }
        const PUT: &str = "INSERT INTO blocks (owner, user, created_at) VALUES (?, ?, ?)";
        let mut values = pair(&self.user, &self.blocked);
        sql::execute(work.connection().await?, PUT, values.int(self.now.get())).await?;
        mark_direct(work, &self.user, &self.blocked).await?;
        let entries = tell(work, &self.user, &PersonalChange::Block(&self.blocked, true), self.now).await?;
        Ok(Ok(Committed { value: Block { user: self.blocked.clone(), created_at: self.now }, entries }))
    }
}

impl Command for RemoveBlock {
    const OPERATION: &'static str = "remove_block";
    type Output = Committed<()>;

    async fn run(&self, work: &mut Work<'_>) -> Result<Self::Output, sqlx::Error> {
        const REMOVE: &str = "DELETE FROM blocks WHERE owner = ? AND user = ?";
        let removed = sql::execute(work.connection().await?, REMOVE, &mut pair(&self.user, &self.blocked)).await?;
        if removed == 0 {
            return Ok(Committed { value: (), entries: vec![] });
        }
        mark_direct(work, &self.user, &self.blocked).await?;
        let entries = tell(work, &self.user, &PersonalChange::Block(&self.blocked, false), self.now).await?;
        Ok(Committed { value: (), entries })
    }
}

pub(crate) fn pair(owner: &UserId, user: &UserId) -> Values {
    let mut values = Values::new();
    values.text(owner.as_str()).text(user.as_str());
    values
}

/// Why one more row about another user cannot be made. `count` counts those that the owner has.
async fn refused(
    work: &mut Work<'_>,
    owner: &UserId,
    user: &UserId,
    count: &'static str,
) -> Result<Option<PeopleRefusal>, sqlx::Error> {
    if owner == user || feed_of(work, user).await?.is_none() || feed_of(work, owner).await?.is_none() {
        return Ok(Some(PeopleRefusal::NoSuchUser));
    }
    let rows = sql::fetch(work.connection().await?, count, Values::new().text(owner.as_str())).await?;
    let count = rows.first().map(|row| Columns::of(row).int()).transpose()?.unwrap_or_default();
    Ok((count >= limits::CONTACTS_MAX as u64).then_some(PeopleRefusal::TooMany))
}

pub(crate) const IS_BLOCKED: &str = "SELECT 1 FROM blocks WHERE (owner, user) IN (VALUES (?1, ?2), (?2, ?1))";

/// Whether one of two users has blocked the other.
pub(super) async fn is_blocked(work: &mut Work<'_>, users: &[UserId]) -> Result<bool, sqlx::Error> {
    let [one, other] = users else { return Ok(false) };
    Ok(!sql::fetch(work.connection().await?, IS_BLOCKED, &mut pair(one, other)).await?.is_empty())
}

/// Which of some users have blocked another.
static BLOCKERS: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        2,
        "WITH want (owner, user) AS (VALUES {rows}) \
         SELECT b.owner FROM want w CROSS JOIN blocks b ON b.owner = w.owner AND b.user = w.user",
    )
});

/// Whether one of some users has blocked another.
pub(super) async fn block(work: &mut Work<'_>, owners: &[Joining], user: &UserId) -> Result<bool, sqlx::Error> {
    let bind = |values: &mut Values, _: usize, owner: &Joining| {
        values.text(owner.user.as_str()).text(user.as_str());
    };
    let mut found = false;
    let take = |_: &SqliteRow| {
        found = true;
        Ok(())
    };
    work.fetch(&BLOCKERS, owners, bind, take).await?;
    Ok(found)
}

/// Repeats in the direct conversation of two users whether one has blocked the other. It may not be there.
async fn mark_direct(work: &mut Work<'_>, one: &UserId, other: &UserId) -> Result<(), sqlx::Error> {
    let blocked = is_blocked(work, &[one.clone(), other.clone()]).await?;
    const MARK: &str = "UPDATE conversations SET blocked = ? WHERE id = ?";
    let direct = ConversationId::direct(one, other);
    let mut values = Values::new();
    values.int(blocked.into()).blob(direct.as_bytes());
    sql::execute(work.connection().await?, MARK, &mut values).await.map(drop)
}

/// Writes what concerns a user alone into the user's feed.
pub(super) async fn tell(
    work: &mut Work<'_>,
    user: &UserId,
    change: &PersonalChange<'_>,
    now: UnixMs,
) -> Result<Vec<Entry>, sqlx::Error> {
    let Some((feed, head)) = feed_of(work, user).await? else { return Ok(vec![]) };
    let entries = vec![Entry {
        conversation: feed,
        seq: head.next(),
        id: EntryId::generate(),
        kind: Kind::System,
        sender: Sender::server(),
        sender_device: None,
        client_msg_id: None,
        body: change.to_body(),
        sent_at: now,
    }];
    entries::insert(work, &entries).await?;
    Ok(entries)
}
