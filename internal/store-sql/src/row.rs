//! From columns to the model's types. What a disk holds may be wrong: nothing here panics.

use lockstep_model::{
    AliasTarget, Block, Bounds, ConnectionGeneration, Contact, Conversation, ConversationId, ConversationKind, Custom,
    CustomObject, Details, Device, DeviceId, DeviceKind, History, Interval, Link, LinkId, Member, MemberState, Profile,
    ReceiptSettings, Role, Scope, SecretHash, Seq, Service, ServiceName, TokenGeneration, UnixMs, User, UserId,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A row whose columns are taken from left to right.
pub(crate) struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
}

/// The columns that [`Columns::device`] takes.
macro_rules! device_columns {
    () => {
        "id, user, name, kind, token_generation, connection_generation, created_at, seen_at, removed_at, \
         signed_out_at, platform, unfilled, public_key"
    };
}
pub(crate) use device_columns;

/// The columns that [`Columns::conversation`] takes, of a table named `c`.
macro_rules! conversation_columns {
    () => {
        "c.id, c.kind, c.title, c.avatar, c.custom, c.history, c.member_count, c.floor, c.head, c.created_at, c.active_at"
    };
}
pub(crate) use conversation_columns;

/// The columns that [`Columns::service`] takes.
macro_rules! service_columns {
    () => {
        "name, scopes, generation, previous_until, created_at, rotated_at, revoked_at"
    };
}
pub(crate) use service_columns;

/// The columns that [`Columns::link`] takes.
macro_rules! link_columns {
    () => {
        "id, name, platform, address, public_key, created_at, expires_at"
    };
}
pub(crate) use link_columns;

/// The columns that [`Columns::profile`] takes, of a table named `u`.
macro_rules! profile_columns {
    () => {
        "u.id, u.name, u.avatar, u.custom"
    };
}
pub(crate) use profile_columns;

/// The columns that [`Columns::member_state`] takes, of a table named `s`.
macro_rules! state_columns {
    () => {
        "s.pinned, s.archived, s.muted_until, s.marked_unread, s.delete_before"
    };
}
pub(crate) use state_columns;

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    fn take<T: sqlx::Decode<'r, sqlx::Sqlite>>(&mut self) -> Result<T> {
        self.next += 1;
        // Tables are STRICT, so the type need not be asked of every value again.
        self.row.try_get_unchecked(self.next - 1)
    }

    pub(crate) fn int(&mut self) -> Result<u64> {
        u64::try_from(self.take::<i64>()?).map_err(|_| invalid("a number"))
    }

    pub(crate) fn optional_int(&mut self) -> Result<Option<u64>> {
        self.take::<Option<i64>>()?.map(|number| u64::try_from(number).map_err(|_| invalid("a number"))).transpose()
    }

    pub(crate) fn index(&mut self) -> Result<usize> {
        usize::try_from(self.take::<i64>()?).map_err(|_| invalid("an index"))
    }

    pub(crate) fn flag(&mut self) -> Result<bool> {
        Ok(self.take::<i64>()? != 0)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take::<&[u8]>()?.try_into().map_err(|_| invalid("an id or hash"))
    }

    pub(crate) fn optional_blob(&mut self) -> Result<Option<&'r [u8]>> {
        self.take()
    }

    pub(crate) fn text(&mut self) -> Result<&'r str> {
        self.take()
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<&'r str>> {
        self.take()
    }

    pub(crate) fn seq(&mut self) -> Result<Seq> {
        self.int().map(Seq::new)
    }

    pub(crate) fn time(&mut self) -> Result<UnixMs> {
        self.int().map(UnixMs::new)
    }

    pub(crate) fn conversation_id(&mut self) -> Result<ConversationId> {
        self.bytes().map(ConversationId::from_bytes)
    }

    pub(crate) fn user_id(&mut self) -> Result<UserId> {
        UserId::new(self.text()?).map_err(|error| sqlx::Error::Decode(error.into()))
    }

    pub(crate) fn optional_user_id(&mut self) -> Result<Option<UserId>> {
        self.optional_text()?
            .map(|text| UserId::new(text).map_err(|error| sqlx::Error::Decode(error.into())))
            .transpose()
    }

    pub(crate) fn optional_device_id(&mut self) -> Result<Option<DeviceId>> {
        let bytes = self.optional_blob()?.map(|bytes| bytes.try_into().map_err(|_| invalid("an id")));
        Ok(bytes.transpose()?.map(DeviceId::from_bytes))
    }

    pub(crate) fn secret_hash(&mut self) -> Result<SecretHash> {
        self.bytes().map(SecretHash)
    }

    /// See [`link_columns`].
    pub(crate) fn link(&mut self) -> Result<Link> {
        Ok(Link {
            id: LinkId::from_bytes(self.bytes()?),
            name: self.optional_text()?.map(str::to_owned),
            platform: self.optional_text()?.map(str::to_owned),
            address: self.text()?.to_owned(),
            public_key: self.optional_text()?.map(str::to_owned),
            created_at: self.time()?,
            expires_at: self.time()?,
        })
    }

    pub(crate) fn bounds(&mut self) -> Result<Bounds> {
        Ok(Bounds { floor: self.seq()?, head: self.seq()? })
    }

    pub(crate) fn interval(&mut self) -> Result<Interval> {
        Ok(Interval {
            joined_seq: self.seq()?,
            left_seq: self.optional_int()?.map(Seq::new),
            visible_from_seq: self.seq()?,
        })
    }

    pub(crate) fn conversation_kind(&mut self) -> Result<ConversationKind> {
        ConversationKind::from_text(self.text()?).ok_or_else(|| invalid("a conversation's kind"))
    }

    /// `id, feed, created_at`
    pub(crate) fn user(&mut self) -> Result<User> {
        Ok(User { id: self.user_id()?, feed: self.conversation_id()?, created_at: self.time()? })
    }

    /// See [`device_columns`].
    pub(crate) fn device(&mut self) -> Result<Device> {
        Ok(Device {
            id: DeviceId::from_bytes(self.bytes()?),
            user: self.user_id()?,
            name: self.text()?.to_owned(),
            kind: DeviceKind::from_text(self.text()?).ok_or_else(|| invalid("a device's kind"))?,
            token_generation: TokenGeneration(self.int()?),
            connection_generation: ConnectionGeneration(self.int()?),
            created_at: self.time()?,
            seen_at: self.optional_int()?.map(UnixMs::new),
            removed_at: self.optional_int()?.map(UnixMs::new),
            signed_out_at: self.optional_int()?.map(UnixMs::new),
            platform: self.optional_text()?.map(str::to_owned),
            unfilled: self.flag()?,
            public_key: self.optional_text()?.map(str::to_owned),
        })
    }

    /// See [`service_columns`].
    pub(crate) fn service(&mut self) -> Result<Service> {
        let name = ServiceName::new(self.text()?).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let scopes: Vec<Scope> = (self.text()?.split_ascii_whitespace())
            .map(|scope| scope.parse().map_err(|_| invalid("a scope")))
            .collect::<Result<_>>()?;
        Ok(Service {
            name,
            scopes,
            generation: TokenGeneration(self.int()?),
            previous_until: self.time()?,
            created_at: self.time()?,
            rotated_at: self.optional_int()?.map(UnixMs::new),
            revoked_at: self.optional_int()?.map(UnixMs::new),
        })
    }

    /// See [`profile_columns`].
    pub(crate) fn profile(&mut self) -> Result<Profile> {
        let id = self.user_id()?;
        let (name, avatar) = (self.optional_text()?.map(str::to_owned), self.optional_text()?.map(str::to_owned));
        Ok(Profile { id, name, avatar, custom: Custom::from_stored(self.text()?.to_owned()) })
    }

    /// `user, name, created_at`
    pub(crate) fn contact(&mut self) -> Result<Contact> {
        let (user, name) = (self.user_id()?, self.optional_text()?.map(str::to_owned));
        Ok(Contact { user, name, created_at: self.time()? })
    }

    /// `user, created_at`
    pub(crate) fn block(&mut self) -> Result<Block> {
        Ok(Block { user: self.user_id()?, created_at: self.time()? })
    }

    /// See [`state_columns`]. All are NULL where nothing is kept.
    pub(crate) fn member_state(&mut self) -> Result<MemberState> {
        let mut number = || Ok::<_, sqlx::Error>(self.optional_int()?.unwrap_or_default());
        Ok(MemberState {
            pinned: number()? != 0,
            archived: number()? != 0,
            muted_until: UnixMs::new(number()?),
            marked_unread: number()? != 0,
            delete_before: Seq::new(number()?),
        })
    }

    /// `tells_delivered, tells_read`
    pub(crate) fn receipt_settings(&mut self) -> Result<ReceiptSettings> {
        Ok(ReceiptSettings { delivered: self.flag()?, read: self.flag()? })
    }

    /// `user, conversation`, of which one is NULL.
    pub(crate) fn alias_target(&mut self) -> Result<AliasTarget> {
        match (self.optional_user_id()?, self.optional_blob()?) {
            (Some(user), _) => Ok(AliasTarget::User(user)),
            (None, bytes) => {
                let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| invalid("an alias"))?;
                Ok(AliasTarget::Conversation(ConversationId::from_bytes(bytes)))
            }
        }
    }

    /// See [`conversation_columns`].
    pub(crate) fn conversation(&mut self) -> Result<Conversation> {
        Ok(Conversation {
            id: self.conversation_id()?,
            kind: ConversationKind::from_text(self.text()?).ok_or_else(|| invalid("a conversation's kind"))?,
            details: self.details()?,
            member_count: self.int()?,
            bounds: self.bounds()?,
            created_at: self.time()?,
            active_at: self.time()?,
        })
    }

    /// `title, avatar, custom, history`
    fn details(&mut self) -> Result<Details> {
        let (title, avatar, custom) = (self.optional_text()?, self.optional_text()?, self.optional_text()?);
        Ok(Details {
            title: title.map(str::to_owned),
            avatar: avatar.map(str::to_owned),
            custom: custom
                .map(|json| CustomObject::from_json(json).ok_or_else(|| invalid("a custom object")))
                .transpose()?,
            history: History::from_text(self.text()?).ok_or_else(|| invalid("a history"))?,
        })
    }

    pub(crate) fn optional_role(&mut self) -> Result<Option<Role>> {
        self.optional_text()?.map(|text| Role::from_text(text).ok_or_else(|| invalid("a role"))).transpose()
    }

    /// `user, role, joined_seq, joined_at`
    pub(crate) fn member(&mut self) -> Result<Member> {
        let user = self.user_id()?;
        let role = self.optional_role()?.ok_or_else(|| invalid("a role"))?;
        Ok(Member { user, role, joined_seq: self.seq()?, joined_at: self.time()? })
    }
}

fn invalid(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("the database holds something that is not {what}").into())
}
