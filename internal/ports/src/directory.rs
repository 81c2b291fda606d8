//! Users, devices, conversations and who is in them.

use crate::{Accounts, Admin, DeviceRefusal, Groups, Links, Messages, People, Reads, Services, StoreError, Teardowns};
use async_trait::async_trait;
use lockstep_model::{
    Bounds, ConnectionGeneration, Conversation, ConversationId, ConversationKind, Device, DeviceId, DeviceKind, Entry,
    Intervals, Member, MemberState, ReceiptSettings, Role, Seq, TokenGeneration, UnixMs, User, UserId, limits,
};

/// Who is there, and who is in which conversation. [`Services`], [`Accounts`], [`Links`], [`Admin`], [`Groups`], [`Messages`],
/// [`People`], [`Reads`] and [`Teardowns`] are parts of it.
///
/// Every command is one commit, durable on return. Commands that members have to hear of write system entries into the
/// users' feeds in the same commit and return them in [`Committed::entries`], in the order to publish. **Cancellation**:
/// a dropped future may or may not have taken effect; every command may be given again.
#[async_trait]
pub trait Directory: Services + Accounts + Links + Admin + Groups + Messages + People + Reads + Teardowns {
    /// Makes a user and the user's feed, or finds the one that is there.
    async fn ensure_user(&self, user: UserId, now: UnixMs) -> Result<User, StoreError>;

    /// Finds a user.
    async fn user(&self, user: UserId) -> Result<Option<User>, StoreError>;

    /// Makes a device for an existing user. Feed: `device_linked`.
    async fn create_device(&self, device: NewDevice)
    -> Result<Result<Committed<Device>, DirectoryRefusal>, StoreError>;

    /// Finds a device, removed ones too.
    async fn device(&self, device: DeviceId) -> Result<Option<Device>, StoreError>;

    /// The devices of a user that have not been removed, oldest first.
    async fn devices_of(&self, user: UserId) -> Result<Vec<Device>, StoreError>;

    /// Which of these devices are gone: removed, or never there. In the order asked; any number may be asked for.
    async fn gone(&self, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, StoreError>;

    /// Which of these devices have no business in the conversation beside them: their user is no member now. In the order asked,
    /// without devices that are gone; any number may be asked for.
    async fn strays(
        &self,
        places: Vec<(DeviceId, ConversationId)>,
    ) -> Result<Vec<(DeviceId, ConversationId)>, StoreError>;

    /// The one statement of a connect: checks that the device is there, that its user is not disabled and that the token's
    /// generation is not below the device's, raises the connection generation, marks the device seen.
    async fn connect_device(
        &self,
        device: DeviceId,
        token_generation: TokenGeneration,
        now: UnixMs,
    ) -> Result<Result<Connected, DirectoryRefusal>, StoreError>;

    /// A device has its history: it is not unfilled any more. The same again changes nothing.
    async fn fill_device(&self, device: DeviceId) -> Result<(), StoreError>;

    /// The one statement of a request: finds the device if it is there, its user is not disabled, and the token's generation
    /// is not below the device's.
    async fn authorize_device(
        &self,
        device: DeviceId,
        token_generation: TokenGeneration,
    ) -> Result<Result<Device, DirectoryRefusal>, StoreError>;

    /// Gives a device another name, for a device of its user: each may name itself, a main device all of them. Feed:
    /// `device_renamed`. The name that it has changes nothing and returns no entries.
    async fn rename_device(&self, rename: DeviceRename)
    -> Result<Result<Committed<Device>, DeviceRefusal>, StoreError>;

    /// Makes a conversation with its members, all of whom must exist, in which nobody has a role: a direct one. Groups
    /// and rooms are made by [`Groups::create_group`]. One that exists is returned as it is, without entries; a new one is
    /// refused if one of the two has blocked the other. Feeds of the members: `conversation_added`.
    async fn create_conversation(
        &self,
        conversation: NewConversation,
    ) -> Result<Result<Committed<Conversation>, DirectoryRefusal>, StoreError>;

    /// The stays of a user in a conversation and what its log holds; `None` if there is no such conversation. A user who
    /// never was a member has no stays.
    async fn membership(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Option<(Intervals, Bounds)>, StoreError>;

    /// The members of a conversation now, in order of joining, at most `count` after the place `after`: who joins again
    /// stands at the end, and moves nobody else's place.
    async fn members_of(
        &self,
        conversation: ConversationId,
        after: Option<(Seq, UserId)>,
        count: u32,
    ) -> Result<Vec<Member>, StoreError>;

    /// The conversations that a user is or was in, the feed not among them, most recently active first: at most `count`
    /// of those that come after `after` in that order. One that the user has left shows what it was then (I11): it ends
    /// with the stay, was active at that time, and has no details and no members.
    async fn conversations_of(
        &self,
        user: UserId,
        after: Option<(UnixMs, ConversationId)>,
        count: u32,
    ) -> Result<Vec<ListedConversation>, StoreError>;

    /// All that a connecting device follows: the user's feed first, then its conversations, most recently active first,
    /// those that the user has left too, each with the device's stored cursor. One query. Left out are stays
    /// that ended at or below that cursor: who goes on below it asks [`Groups::followed_in`]. Of those that ended, the last
    /// [`ENDED_STAYS_MAX`] are looked at.
    async fn followed(&self, user: UserId, device: DeviceId) -> Result<Vec<Followed>, StoreError>;

    /// Raises stored cursors, one row each; lower ones and rows of removed devices change nothing. Not urgent: may be
    /// committed together with other work. A cursor that a crash takes only makes the next delivery begin earlier.
    async fn store_cursors(&self, cursors: Vec<CursorRow>) -> Result<(), StoreError>;

    /// Lowers stored cursors of a device that shows that it has less; rows that are absent or not above these change
    /// nothing. Durable on return: else a later connect that shows nothing would go on above what the device has.
    async fn lower_cursors(&self, cursors: Vec<CursorRow>) -> Result<(), StoreError>;
}

/// Stays of a user in one conversation that are kept. Who joins once more loses the one that shows the fewest entries, of
/// several the oldest: what that one showed is hidden.
pub const STAYS_MAX: u64 = 100;

/// Stays of a user that are over and kept, those that ended last. When one more ends, the one that ended first is forgotten:
/// what it showed is hidden.
pub const ENDED_STAYS_MAX: u64 = limits::CONVERSATIONS_PER_USER_MAX as u64;

/// What a command did, and the entries to publish about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<T> {
    /// What it made or changed.
    pub value: T,
    /// What it wrote into logs.
    pub entries: Vec<Entry>,
}

/// Why a command was refused. Nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryRefusal {
    /// A named user does not exist.
    #[error("there is no such user")]
    NoSuchUser,
    /// The device does not exist.
    #[error("there is no such device")]
    NoSuchDevice,
    /// The device has been removed.
    #[error("the device has been removed")]
    DeviceRemoved,
    /// The device's user is disabled.
    #[error("the user is disabled")]
    UserDisabled,
    /// The token is of an older generation than the device's.
    #[error("the token's generation is over")]
    OldGeneration,
    /// A member is already in as many conversations as are allowed.
    #[error("a member is in too many conversations")]
    TooManyConversations,
    /// One of the two users of a direct conversation has blocked the other.
    #[error("one of the users has blocked the other")]
    Blocked,
}

/// A device to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// Its id.
    pub id: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// What people call it.
    pub name: String,
    /// What it is to its user.
    pub kind: DeviceKind,
    /// Whether another device of the user is to give it its history.
    pub unfilled: bool,
    /// The time.
    pub now: UnixMs,
}

/// Another name of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRename {
    /// The device.
    pub device: DeviceId,
    /// The device that wants it.
    pub by: DeviceId,
    /// The name.
    pub name: String,
    /// The time.
    pub now: UnixMs,
}

/// A conversation to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConversation {
    /// Its id: [`ConversationId::direct`] for direct ones.
    pub id: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Its title.
    pub title: Option<String>,
    /// Its members, without repetition.
    pub members: Vec<UserId>,
    /// The time.
    pub now: UnixMs,
}

/// A device that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The device, with its new connection generation.
    pub device: Device,
    /// Its user's feed.
    pub feed: ConversationId,
    /// What its user lets others hear.
    pub receipts: ReceiptSettings,
}

impl Connected {
    /// The generation of the connection that is being made.
    pub fn generation(&self) -> ConnectionGeneration {
        self.device.connection_generation
    }
}

/// A conversation as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedConversation {
    /// The conversation.
    pub conversation: Conversation,
    /// The user's role; absent if the user is no member now.
    pub role: Option<Role>,
    /// For direct ones, the other user.
    pub peer: Option<UserId>,
    /// What the user keeps about it.
    pub state: MemberState,
}

/// A conversation that a device follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Which.
    pub conversation: ConversationId,
    /// What its log holds.
    pub bounds: Bounds,
    /// What the user may see of it.
    pub intervals: Intervals,
    /// The device's stored cursor; absent if it has none.
    pub cursor: Option<Seq>,
    /// When the last entry came.
    pub active_at: UnixMs,
    /// Whether receipts are told there: it has few members, is no feed, and no block stands in it.
    pub tells_receipts: bool,
}

/// A cursor to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorRow {
    /// The device.
    pub device: DeviceId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The place.
    pub seq: Seq,
}
