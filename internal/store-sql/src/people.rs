//! The people's part of the directory.

use crate::row::{Columns, profile_columns, state_columns};
use crate::sql::{RowsSql, Values};
use crate::store::SqliteStore;
use crate::write::{
    ChangeProfile, ChangeState, IS_BLOCKED, PutAlias, PutBlock, PutContact, RemoveAlias, RemoveBlock, RemoveContact,
    pair,
};
use async_trait::async_trait;
use lockstep_model::{
    Alias, AliasName, AliasTarget, Block, Contact, ConversationId, MemberState, Profile, ProfileChange, StateChange,
    UnixMs, UserId,
};
use lockstep_ports::{Committed, People, PeopleRefusal, StoreError};
use sqlx::sqlite::SqliteRow;
use std::sync::LazyLock;

static PROFILES: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        2,
        concat!(
            "WITH want (i, user) AS (VALUES {rows}) SELECT w.i, ",
            profile_columns!(),
            " FROM want w CROSS JOIN users u ON u.id = w.user"
        ),
    )
});

static STATES: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        concat!(
            "WITH want (i, user, conversation) AS (VALUES {rows}) SELECT w.i, ",
            state_columns!(),
            " FROM want w CROSS JOIN member_states s ON s.user = w.user AND s.conversation = w.conversation"
        ),
    )
});

static ALIASES: LazyLock<RowsSql> = LazyLock::new(|| {
    RowsSql::new(
        3,
        "WITH want (i, namespace, external) AS (VALUES {rows}) SELECT w.i, a.user, a.conversation FROM want w \
         CROSS JOIN aliases a ON a.namespace = w.namespace AND a.external = w.external",
    )
});

type Refusable<T> = Result<Result<T, PeopleRefusal>, StoreError>;

#[async_trait]
impl People for SqliteStore {
    async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, StoreError> {
        let bind = |values: &mut Values, index: usize, user: &UserId| {
            values.int(index as u64).text(user.as_str());
        };
        let found = self.find("profiles", &PROFILES, &users, bind, |columns| columns.profile()).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn change_profile(&self, user: UserId, change: ProfileChange, now: UnixMs) -> Refusable<Committed<Profile>> {
        self.command(ChangeProfile { user, change, now }).await
    }

    async fn contacts(&self, user: UserId, after: Option<UserId>, count: u32) -> Result<Vec<Contact>, StoreError> {
        const LIST: &str =
            "SELECT user, name, created_at FROM contacts WHERE owner = ? AND user > ? ORDER BY user LIMIT ?";
        let mut values = list_after(&user, after.as_ref(), count);
        self.ask("contacts", LIST, &mut values, |columns| columns.contact()).await
    }

    async fn put_contact(
        &self,
        user: UserId,
        contact: UserId,
        name: Option<String>,
        now: UnixMs,
    ) -> Refusable<Committed<Contact>> {
        self.command(PutContact { user, contact, name, now }).await
    }

    async fn remove_contact(&self, user: UserId, contact: UserId, now: UnixMs) -> Result<Committed<()>, StoreError> {
        self.command(RemoveContact { user, contact, now }).await
    }

    async fn blocks(&self, user: UserId, after: Option<UserId>, count: u32) -> Result<Vec<Block>, StoreError> {
        const LIST: &str = "SELECT user, created_at FROM blocks WHERE owner = ? AND user > ? ORDER BY user LIMIT ?";
        let mut values = list_after(&user, after.as_ref(), count);
        self.ask("blocks", LIST, &mut values, |columns| columns.block()).await
    }

    async fn put_block(&self, user: UserId, blocked: UserId, now: UnixMs) -> Refusable<Committed<Block>> {
        self.command(PutBlock { user, blocked, now }).await
    }

    async fn remove_block(&self, user: UserId, blocked: UserId, now: UnixMs) -> Result<Committed<()>, StoreError> {
        self.command(RemoveBlock { user, blocked, now }).await
    }

    async fn is_blocked(&self, one: UserId, other: UserId) -> Result<bool, StoreError> {
        Ok(!self.ask("is_blocked", IS_BLOCKED, &mut pair(&one, &other), |_| Ok(())).await?.is_empty())
    }

    async fn member_states(
        &self,
        user: UserId,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<MemberState>, StoreError> {
        let bind = |values: &mut Values, index: usize, conversation: &ConversationId| {
            values.int(index as u64).text(user.as_str()).blob(conversation.as_bytes());
        };
        let take = |columns: &mut Columns<'_>| columns.member_state();
        let found = self.find("member_states", &STATES, &conversations, bind, take).await?;
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    async fn change_state(
        &self,
        user: UserId,
        conversation: ConversationId,
        change: StateChange,
        now: UnixMs,
    ) -> Refusable<Committed<MemberState>> {
        self.command(ChangeState { user, conversation, change, now }).await
    }

    async fn put_alias(&self, alias: Alias, now: UnixMs) -> Refusable<()> {
        self.command(PutAlias { alias, now }).await
    }

    async fn aliases(&self, names: Vec<AliasName>) -> Result<Vec<Option<AliasTarget>>, StoreError> {
        let bind = |values: &mut Values, index: usize, name: &AliasName| {
            values.int(index as u64).text(name.namespace()).text(name.external());
        };
        self.find("aliases", &ALIASES, &names, bind, |columns| columns.alias_target()).await
    }

    async fn remove_alias(&self, name: AliasName) -> Result<(), StoreError> {
        self.command(RemoveAlias(name)).await
    }
}

/// The values of a list of a user: whose, after whom, how many. No user id is empty.
fn list_after(user: &UserId, after: Option<&UserId>, count: u32) -> Values {
    let mut values = Values::new();
    values.text(user.as_str()).text(after.map_or("", UserId::as_str)).int(count.into());
    values
}

impl SqliteStore {
    /// Asks about many items a statement whose rows begin with the item's index; at most one row each.
    pub(crate) async fn find<I: Sync, T: Send>(
        &self,
        operation: &'static str,
        sql: &RowsSql,
        items: &[I],
        bind: impl Fn(&mut Values, usize, &I) + Send + Sync,
        read: impl Fn(&mut Columns<'_>) -> Result<T, sqlx::Error> + Send + Sync,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let mut found: Vec<Option<T>> = Vec::new();
        found.resize_with(items.len(), || None);
        let take = |row: &SqliteRow| {
            let mut columns = Columns::of(row);
            if let Some(place) = found.get_mut(columns.index()?) {
                *place = Some(read(&mut columns)?);
            }
            Ok(())
        };
        self.readers().fetch_many(operation, sql, items, bind, take).await?;
        Ok(found)
    }
}
