//! What operators see and decide: users, connections, conversations, and how the process does. Never what users write.

use crate::api::store_failed;
use crate::{Connection, Engine};
use lockstep_model::{Code, Conversation, ConversationId, Device, DeviceId, Member, Seq, UnixMs, UserId};
use lockstep_ports::{Followed, StoreError, TopicAt, UserRecord};
use std::sync::Arc;

/// How far a device is with the conversations that it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Following {
    /// How many it follows, the feed included.
    pub conversations: u64,
    /// In how many of them there is something that it has not acknowledged.
    pub behind: u64,
}

/// What waits and lives in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Connections, those being let in included.
    pub connections: usize,
    /// Users with a live connection.
    pub users_online: usize,
    /// Consumers: connections times the topics that each consumes.
    pub consumers: usize,
    /// Sends that wait to be taken into a commit.
    pub appends_waiting: usize,
}

impl Engine {
    /// Users in the order of their ids.
    ///
    /// # Errors
    ///
    /// `try_again`; so for the others.
    pub async fn user_records(
        &self,
        prefix: String,
        after: Option<UserId>,
        count: u32,
    ) -> Result<Vec<UserRecord>, Code> {
        self.0.ports.directory.user_records(prefix, after, count).await.map_err(failed)
    }

    /// One user.
    ///
    /// # Errors
    ///
    /// `no_such_user`.
    pub async fn user_record(&self, user: &UserId) -> Result<UserRecord, Code> {
        self.0.ports.directory.user_record(user.clone()).await.map_err(failed)?.ok_or(Code::NoSuchUser)
    }

    /// Disables a user: no device of the user is let in any more, whatever it shows, and all that are connected are closed
    /// with `user_disabled`. No token of before is good again after [`enable_user`](Self::enable_user).
    ///
    /// # Errors
    ///
    /// `no_such_user`.
    pub async fn disable_user(&self, user: &UserId) -> Result<(), Code> {
        let (engine, user) = (self.clone(), user.clone());
        self.to_the_end(async move {
            let ended = engine.0.ports.directory.disable_user(user.clone(), UnixMs::now()).await.map_err(failed)?;
            let ended = ended.ok_or(Code::NoSuchUser)?;
            // After the commit: whoever comes from here on is refused by the store. Those of before are being let in, or in.
            engine.0.sign_ins.forget(&user);
            for device in &ended {
                engine.0.connections.close_device(&user, device.id, Code::UserDisabled);
            }
            engine.0.connections.close_user(&user, Code::UserDisabled);
            Ok(())
        })
        .await
    }

    /// Lets a user sign in again.
    ///
    /// # Errors
    ///
    /// `no_such_user`.
    pub async fn enable_user(&self, user: &UserId) -> Result<(), Code> {
        let is_there = self.0.ports.directory.enable_user(user.clone()).await.map_err(failed)?;
        if is_there { Ok(()) } else { Err(Code::NoSuchUser) }
    }

    /// How many live connections a user has.
    pub fn connections_of(&self, user: &UserId) -> usize {
        self.0.connections.of(user).len()
    }

    /// The live connection of a device.
    pub fn connection_of(&self, device: &Device) -> Option<Arc<Connection>> {
        self.0.connections.of(&device.user).into_iter().find(|connection| connection.device == device.id)
    }

    /// Live connections in the order of their devices' ids: at most `count` of those after `after`, of one user or of all.
    pub fn connections_after(
        &self,
        user: Option<&UserId>,
        after: Option<DeviceId>,
        count: usize,
    ) -> Vec<Arc<Connection>> {
        self.0.connections.page(user, after, count)
    }

    /// Closes the connection of a device, which may come again. False if it has none.
    ///
    /// # Errors
    ///
    /// `no_such_device`.
    pub async fn close_connection(&self, device: DeviceId) -> Result<bool, Code> {
        let device = self.device(device).await?;
        let was_live = self.connection_of(&device).is_some();
        self.0.connections.close_device(&device.user, device.id, Code::Disconnected);
        Ok(was_live)
    }

    /// How far a device is with what it follows, by the acknowledgements that are stored.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn following(&self, device: &Device) -> Result<Following, Code> {
        if device.removed_at.is_some() {
            return Ok(Following::default());
        }
        let followed = self.0.ports.directory.followed(device.user.clone(), device.id).await.map_err(failed)?;
        let behind = followed.iter().filter(|followed| is_behind(followed)).count();
        Ok(Following { conversations: followed.len() as u64, behind: behind as u64 })
    }

    /// A conversation, whoever is in it.
    ///
    /// # Errors
    ///
    /// `no_such_conversation`.
    pub async fn conversation_record(&self, conversation: ConversationId) -> Result<Conversation, Code> {
        let found = self.0.ports.directory.conversation(conversation).await.map_err(failed)?;
        found.ok_or(Code::NoSuchConversation)
    }

    /// The members of a conversation, in the order of joining.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn members_after(
        &self,
        conversation: ConversationId,
        after: Option<(Seq, UserId)>,
        count: u32,
    ) -> Result<Vec<Member>, Code> {
        self.0.ports.directory.members_of(conversation, after, count).await.map_err(failed)
    }

    /// The devices that consume a conversation in this process, in the order of their ids.
    pub fn consumers_of(&self, conversation: ConversationId) -> Vec<DeviceId> {
        let mut devices = self.0.ports.broker.devices(conversation);
        devices.sort_unstable();
        devices.dedup();
        devices
    }

    /// Where the transport's servers have the conversation's topic, and what waits there.
    pub async fn places_of(&self, conversation: ConversationId) -> Vec<TopicAt> {
        self.0.ports.broker.places(conversation).await
    }

    /// What waits and lives in this process.
    pub fn load(&self) -> Load {
        Load {
            connections: self.0.connections.count(),
            users_online: self.0.connections.users(),
            consumers: self.0.ports.broker.consumers(),
            appends_waiting: self.0.lane.waiting(),
        }
    }
}

/// Whether there is something for the device after its cursor: up to the head, or to where the user's last stay ended.
fn is_behind(followed: &Followed) -> bool {
    let end = match followed.intervals.0.last() {
        Some(last) => last.left_seq.unwrap_or(followed.bounds.head),
        None => return false,
    };
    followed.cursor.unwrap_or(Seq::ZERO) < end
}

fn failed(error: StoreError) -> Code {
    store_failed(&error)
}
