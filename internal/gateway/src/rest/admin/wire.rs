//! What stands in the answers: shared with the client of the administration.

use lockstep_engine::{Connection, Following};
use lockstep_model::{Conversation, ConversationId, Device, DeviceId, Epoch, Member, Seq, UnixMs, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminUser)]
pub struct UserRow {
    /// The id.
    pub id: UserId,
    /// What the user is called.
    pub name: Option<String>,
    /// The user's feed.
    pub feed: ConversationId,
    /// When the user was made.
    pub created_at: UnixMs,
    /// Since when the user is disabled.
    pub disabled_at: Option<UnixMs>,
    /// How many devices the user has.
    pub devices: u64,
    /// In how many conversations the user is.
    pub conversations: u64,
    /// How many of the devices are connected.
    pub connections: u64,
}

/// Some users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminUsers)]
pub struct UserPage {
    /// In the order of their ids.
    pub users: Vec<UserRow>,
    /// What to give as `cursor` for the next page; null on the last one.
    pub next: Option<String>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminDevice)]
pub struct DeviceInfo {
    /// Its id.
    pub id: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// Its name.
    pub name: String,
    /// `main` or `sub`.
    #[schema(examples("main", "sub"))]
    pub kind: String,
    /// What it says that it runs on.
    pub platform: Option<String>,
    /// Tokens of a lower generation are refused.
    pub token_generation: u64,
    /// How often it has connected or been removed.
    pub connection_generation: u64,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it last connected.
    pub seen_at: Option<UnixMs>,
    /// Since when it has no good tokens.
    pub signed_out_at: Option<UnixMs>,
    /// When it was removed.
    pub removed_at: Option<UnixMs>,
    /// Its live connection.
    pub connection: Option<ConnectionInfo>,
    /// How far it is; null in lists.
    pub following: Option<FollowingInfo>,
}

impl DeviceInfo {
    pub(super) fn new(device: Device, connection: Option<&Connection>, following: Option<Following>) -> Self {
        Self {
            id: device.id,
            user: device.user,
            name: device.name,
            kind: device.kind.as_str().to_owned(),
            platform: device.platform,
            token_generation: device.token_generation.0,
            connection_generation: device.connection_generation.0,
            created_at: device.created_at,
            seen_at: device.seen_at,
            signed_out_at: device.signed_out_at,
            removed_at: device.removed_at,
            connection: connection.map(ConnectionInfo::new),
            following: following.map(|Following { conversations, behind }| FollowingInfo { conversations, behind }),
        }
    }
}

/// How far a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminFollowing)]
pub struct FollowingInfo {
    /// How many conversations it follows, its user's feed included.
    pub conversations: u64,
    /// In how many of them there is something that it has not acknowledged.
    pub behind: u64,
}

/// A user's devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminDevices)]
pub struct DeviceList {
    /// Those that have not been removed, oldest first.
    pub devices: Vec<DeviceInfo>,
}

/// What became of a device that was removed. It is out in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRemoval)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RemovalInfo {
    /// Nothing of it is left.
    Done,
    /// Channels of it may be left; they are deleted later.
    Fenced {
        /// The addresses of the nsqds and nsqlookupds that may have some.
        pending: Vec<String>,
    },
}

/// A live connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminConnection)]
pub struct ConnectionInfo {
    /// Of which device.
    pub device: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// Its generation.
    pub generation: u64,
    /// When it was let in.
    pub connected_at: UnixMs,
    /// Through which door.
    #[schema(examples("websocket"))]
    pub door: String,
    /// From which address.
    pub address: Option<String>,
    /// What waits in front of it: entries and signals that it has not taken yet.
    pub waiting: u64,
}

impl ConnectionInfo {
    pub(super) fn new(connection: &Connection) -> Self {
        Self {
            device: connection.device,
            user: connection.user.clone(),
            generation: connection.generation.0,
            connected_at: connection.connected_at,
            door: connection.origin.door.to_owned(),
            address: connection.origin.address.map(|address| address.to_string()),
            waiting: connection.mailbox.waiting() as u64,
        }
    }
}

/// Some connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminConnections)]
pub struct ConnectionPage {
    /// In the order of their devices' ids.
    pub connections: Vec<ConnectionInfo>,
    /// What to give as `cursor` for the next page; null on the last one.
    pub next: Option<String>,
}

/// What became of a connection that was to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminClosing)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ClosingInfo {
    /// It is closed.
    Closed,
    /// The device had none.
    NotConnected,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminConversation)]
pub struct ConversationInfo {
    /// Its id.
    pub id: ConversationId,
    /// What sort it is.
    #[schema(examples("direct", "group", "room", "feed"))]
    pub kind: String,
    /// Its title.
    pub title: Option<String>,
    /// The first entry that is kept.
    pub floor: Seq,
    /// The last entry.
    pub head: Seq,
    /// How many members it has.
    pub members: u64,
    /// How many devices consume it in this process.
    pub consumers: u64,
    /// When it was made.
    pub created_at: UnixMs,
    /// When the last entry came.
    pub active_at: UnixMs,
}

impl ConversationInfo {
    pub(super) fn new(conversation: Conversation, consumers: usize) -> Self {
        Self {
            id: conversation.id,
            kind: conversation.kind.as_str().to_owned(),
            title: conversation.details.title,
            floor: conversation.bounds.floor,
            head: conversation.bounds.head,
            members: conversation.member_count,
            consumers: consumers as u64,
            created_at: conversation.created_at,
            active_at: conversation.active_at,
        }
    }
}

/// A member of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminMember)]
pub struct MemberInfo {
    /// Who it is.
    pub user: UserId,
    /// `member`, `admin` or `owner`.
    #[schema(examples("member", "admin", "owner"))]
    pub role: String,
    /// Where the stay began.
    pub joined_seq: Seq,
    /// When it began.
    pub since: UnixMs,
}

impl From<Member> for MemberInfo {
    fn from(member: Member) -> Self {
        let role = member.role.as_str().to_owned();
        Self { user: member.user, role, joined_seq: member.joined_seq, since: member.joined_at }
    }
}

/// Some members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminMembers)]
pub struct MemberPage {
    /// In the order of joining.
    pub members: Vec<MemberInfo>,
    /// What to give as `cursor` for the next page; null on the last one.
    pub next: Option<String>,
}

/// Some devices that consume a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminConsumers)]
pub struct ConsumerPage {
    /// In the order of their ids.
    pub devices: Vec<DeviceId>,
    /// What to give as `cursor` for the next page; null on the last one.
    pub next: Option<String>,
}

/// A conversation's topic on the transport's servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTopic)]
pub struct TopicInfo {
    /// The servers that have it. None if the transport is inside the process.
    pub servers: Vec<TopicServer>,
}

/// A topic on one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTopicServer)]
pub struct TopicServer {
    /// The server's address.
    pub server: String,
    /// Messages that wait for a channel.
    pub depth: u64,
    /// How many channels there are.
    pub channel_count: u64,
    /// The channels in which most waits, at most 200.
    pub channels: Vec<TopicChannelInfo>,
}

/// A channel of a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTopicChannel)]
pub struct TopicChannelInfo {
    /// Its name.
    pub name: String,
    /// Messages that wait.
    pub depth: u64,
    /// Messages that were delivered and are not finished.
    pub in_flight: u64,
    /// Consumers.
    pub clients: u64,
}

/// How the server does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminStats)]
pub struct Stats {
    /// When this was read.
    pub at: UnixMs,
    /// How long the server has been running.
    pub uptime_ms: u64,
    /// The store's identity.
    pub epoch: Epoch,
    /// Connections, those being let in included.
    pub connections: u64,
    /// Users with a live connection.
    pub users_online: u64,
    /// Consumers: connections times the conversations that each consumes.
    pub consumers: u64,
    /// Sends that wait to be taken into a commit.
    pub appends_waiting: u64,
    /// Channels of removed devices that are still to be deleted; null without NSQ.
    pub channels_pending: Option<u64>,
    /// Removals of devices that are not finished; null if that is not known.
    pub teardowns_pending: Option<u64>,
    /// The nsqds; null without NSQ.
    pub nsqds: Option<NsqdCount>,
    /// What has been counted since the start.
    pub totals: Totals,
    /// How long commits have taken since the start.
    pub commits: CommitTimes,
}

/// How many nsqds there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminNsqds)]
pub struct NsqdCount {
    /// Those that take envelopes.
    pub connected: u64,
    /// All that are configured.
    pub configured: u64,
}

/// Counts since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTotals)]
pub struct Totals {
    /// Entries that were stored.
    pub entries_appended: u64,
    /// Entries that were written to devices.
    pub entries_delivered: u64,
    /// Acknowledgements of devices, each of which may stand for many entries.
    pub acks: u64,
    /// Frames from devices.
    pub frames_in: u64,
    /// Frames to devices.
    pub frames_out: u64,
    /// Requests of REST.
    pub requests: u64,
    /// Connections that ended.
    pub closes: u64,
    /// Commits that failed.
    pub failed_commits: u64,
}

/// How long commits have taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminCommits)]
pub struct CommitTimes {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer; null if there were none.
    pub p50_ms: Option<f64>,
    /// 90 of 100 took no longer.
    pub p90_ms: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_ms: Option<f64>,
    /// The histogram that these are estimated from.
    pub buckets: Vec<Bucket>,
}

/// Commits that took no longer than this, and longer than the bucket before says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminBucket)]
pub struct Bucket {
    /// The bound; null for those beyond all bounds.
    pub up_to_ms: Option<f64>,
    /// How many.
    pub count: u64,
}

/// What is left of removals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTeardowns)]
pub struct TeardownPage {
    /// Newest first.
    pub teardowns: Vec<TeardownInfo>,
    /// What to give as `cursor` for the next page; null on the last one.
    pub next: Option<String>,
}

/// The job of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTeardown)]
pub struct TeardownInfo {
    /// The device.
    pub device: DeviceId,
    /// Whose it was.
    pub user: UserId,
    /// Why it was removed: `main`, `itself`, `signed_out`, `administrator`, `unseen` or `account_disabled`.
    pub reason: String,
    /// When it was removed.
    pub requested_at: UnixMs,
    /// How often its channels were tried to be deleted.
    pub attempts: u64,
    /// Why the last attempt did not end it.
    pub last_error: Option<String>,
    /// The servers that may have channels of it.
    pub pending: Vec<String>,
    /// When it is tried again; null if it is done.
    pub next_try_at: Option<UnixMs>,
    /// Since when nothing is left.
    pub done_at: Option<UnixMs>,
}

/// How many devices were removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRemoved)]
pub struct RemovedDevices {
    /// So many.
    pub removed: u64,
}
