//! The operators' part of the directory.

use crate::row::{Columns, conversation_columns};
use crate::sql::Values;
use crate::store::SqliteStore;
use crate::write::{DisableUser, EnableUser};
use async_trait::async_trait;
use lockstep_model::{Conversation, ConversationId, Device, UnixMs, UserId};
use lockstep_ports::{Admin, StoreError, UserRecord};

macro_rules! list {
    ($where:literal) => {
        concat!(
            "SELECT u.id, u.name, u.feed, u.created_at, u.disabled_at, \
               (SELECT count(*) FROM devices d WHERE d.user = u.id AND d.removed_at IS NULL), u.conversation_count \
             FROM users u WHERE ",
            $where
        )
    };
}

#[async_trait]
impl Admin for SqliteStore {
    async fn user_records(
        &self,
        prefix: String,
        after: Option<UserId>,
        count: u32,
    ) -> Result<Vec<UserRecord>, StoreError> {
        // A blob is above every text: without an end the list goes on to the last user.
        const FROM: &str = list!("u.id >= ?1 AND u.id < ifnull(?2, x'') ORDER BY u.id LIMIT ?3");
        const AFTER: &str = list!("u.id > ?1 AND u.id < ifnull(?2, x'') ORDER BY u.id LIMIT ?3");
        let after = after.filter(|after| after.as_str() >= prefix.as_str());
        let (sql, start) = match &after {
            Some(after) => (AFTER, after.as_str()),
            None => (FROM, prefix.as_str()),
        };
        let mut values = Values::new();
        values.text(start).optional_text(end_of(&prefix).as_deref()).int(count.into());
        self.ask("user_records", sql, &mut values, user_record).await
    }

    async fn user_record(&self, user: UserId) -> Result<Option<UserRecord>, StoreError> {
        const FIND: &str = list!("u.id = ?");
        let found = self.ask("user_record", FIND, Values::new().text(user.as_str()), user_record).await?;
        Ok(found.into_iter().next())
    }

    async fn disable_user(&self, user: UserId, now: UnixMs) -> Result<Option<Vec<Device>>, StoreError> {
        self.command(DisableUser { user, now }).await
    }

    async fn enable_user(&self, user: UserId) -> Result<bool, StoreError> {
        self.command(EnableUser(user)).await
    }

    async fn conversation(&self, conversation: ConversationId) -> Result<Option<Conversation>, StoreError> {
        const FIND: &str = concat!("SELECT ", conversation_columns!(), " FROM conversations c WHERE c.id = ?");
        let read = |columns: &mut Columns<'_>| columns.conversation();
        let found = self.ask("conversation", FIND, Values::new().blob(conversation.as_bytes()), read).await?;
        Ok(found.into_iter().next())
    }
}

fn user_record(columns: &mut Columns<'_>) -> Result<UserRecord, sqlx::Error> {
    Ok(UserRecord {
        id: columns.user_id()?,
        name: columns.optional_text()?.map(str::to_owned),
        feed: columns.conversation_id()?,
        created_at: columns.time()?,
        disabled_at: columns.optional_int()?.map(UnixMs::new),
        devices: columns.int()?,
        conversations: columns.int()?,
    })
}

/// The first text, in the order of bytes, after all that begin with this one; `None` if there is none. The order of bytes
/// of UTF-8 is the order of its characters.
fn end_of(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let mut next = (last..=char::MAX).skip(1);
        if let Some(next) = next.next() {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::end_of;

    #[test]
    fn where_a_prefix_ends() {
        let cases = [
            ("", None),
            ("a", Some("b")),
            ("ana", Some("anb")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ];
        for (prefix, end) in cases {
            assert_eq!(end_of(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
