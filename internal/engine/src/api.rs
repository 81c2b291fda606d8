//! The handle that doors hold.

use crate::EngineConfig;
use lockstep_model::{
    Ask, Body, ClientMsgId, Code, ConnectionGeneration, Conversation, ConversationId, Device, DeviceId, DeviceKind, Epoch,
    OffsetsVersion, SendOutcome, Seq, SharedEntry, Skip, Target, TokenGeneration, UnixMs, User, UserId,
};
use lockstep_ports::{
    Author, Broker, Directory, ListedConversation, Mailbox, MessageLog, Offsets, OffsetsChange,
};
use std::sync::Arc;

/// What the engine stands on.
#[derive(Clone)]
pub struct Ports {
    /// The log.
    pub log: Arc<dyn MessageLog>,
    /// Users, devices, conversations.
    pub directory: Arc<dyn Directory>,
    /// Read offsets.
    pub offsets: Arc<dyn Offsets>,
    /// The transport of live entries.
    pub broker: Arc<dyn Broker>,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose token it is.
    pub user: UserId,
    /// Of which device.
    pub device: DeviceId,
    /// Of which generation.
    pub token_generation: TokenGeneration,
}

/// One live connection of a device.
#[derive(Debug)]
pub struct Connection {
    /// Whose it is.
    pub user: UserId,
    /// Of which device.
    pub device: DeviceId,
    /// The highest of a device wins.
    pub generation: ConnectionGeneration,
    /// Where the connection's task is reached.
    pub mailbox: Arc<Mailbox>,
}

/// A connection that was let in.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The connection, already in the connection map.
    pub connection: Arc<Connection>,
    /// The store's identity.
    pub epoch: Epoch,
    /// The user's feed.
    pub feed: ConversationId,
    /// The read offsets that changed since the version that the device showed.
    pub offsets: OffsetsChange,
}

/// Which part of a conversation's history is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// The newest.
    Latest,
    /// The newest of those below this place.
    Before(Seq),
    /// The oldest of those above this place.
    After(Seq),
}

/// A stretch of a conversation's history, in seq order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The entries.
    pub entries: Vec<SharedEntry>,
    /// The log's floor.
    pub floor: Seq,
    /// The log's head.
    pub head: Seq,
}

/// The handle of the engine: cheap to clone, shared by all doors.
#[derive(Clone)]
pub struct Engine {}

#[allow(unused_variables, missing_docs)]
impl Engine {
    /// Starts the engine's tasks.
    pub fn start(ports: Ports, config: EngineConfig) -> Self { todo!() }
    /// Stops in order: closes all connections with `shutting_down`, waits until they are gone, stores what is batched.
    pub async fn stop(&self) { todo!() }

    // Connections (used by the WebSocket door).
    pub async fn connect(&self, claim: Claim, offsets_version: OffsetsVersion) -> Result<Admission, Code> { todo!() }
    pub fn ask(&self, connection: &Arc<Connection>, ask: Ask) { todo!() }
    pub async fn disconnect(&self, connection: &Arc<Connection>, topics: Vec<ConversationId>) { todo!() }
    pub fn connections(&self) -> usize { todo!() }

    // Requests (used by REST; `authorize` first).
    /// Checks that the claimed device is there and its token generation is not over.
    pub async fn authorize(&self, claim: &Claim) -> Result<Device, Code> { todo!() }
    pub async fn send(&self, author: Author, target: Target, client_msg_id: ClientMsgId, body: Body) -> SendOutcome { todo!() }
    /// `no_such_conversation` if the user never was a member. Obeys membership intervals and floor.
    pub async fn history(&self, user: &UserId, conversation: ConversationId, slice: Slice, count: u32) -> Result<HistoryPage, Code> { todo!() }
    pub async fn conversations(&self, user: &UserId, after: Option<(UnixMs, ConversationId)>, count: u32) -> Result<Vec<ListedConversation>, Code> { todo!() }
    pub async fn members(&self, user: &UserId, conversation: ConversationId, after: Option<UserId>, count: u32) -> Result<Vec<UserId>, Code> { todo!() }
    /// Makes a group of the creator and the named members.
    pub async fn create_group(&self, creator: &UserId, title: Option<String>, members: Vec<UserId>) -> Result<Conversation, Code> { todo!() }
    /// The direct conversation of two users, made if need be. `no_such_user`, or `bad_request` with oneself.
    pub async fn open_direct(&self, user: &UserId, peer: &UserId) -> Result<Conversation, Code> { todo!() }

    // Administration (used by the Unix socket).
    pub async fn ensure_user(&self, user: UserId) -> Result<User, Code> { todo!() }
    pub async fn create_device(&self, user: &UserId, name: &str, kind: DeviceKind) -> Result<Device, Code> { todo!() }
    pub async fn device(&self, device: DeviceId) -> Result<Device, Code> { todo!() }
    pub async fn devices_of(&self, user: &UserId) -> Result<Vec<Device>, Code> { todo!() }
    /// Removes a device and closes its connection with `device_removed`. Repeating it changes nothing.
    pub async fn remove_device(&self, device: DeviceId) -> Result<Device, Code> { todo!() }
}
