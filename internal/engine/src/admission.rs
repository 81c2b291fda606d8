//! Who is let in.

use crate::api::store_failed;
use crate::bootstrap::Unfilled;
use crate::receipts::Telling;
use crate::trace::NOWHERE;
use crate::{Connection, Engine, Origin};
use lockstep_model::{
    Code, ConversationId, Device, DeviceId, Epoch, Event, EventKind, OffsetsVersion, ReceiptSettings, Seq, StageName,
    TokenGeneration, UnixMs, UserId,
};
use lockstep_ports::{Connected, DirectoryRefusal, Mailbox, OffsetsChange};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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

/// A connection that was let in.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The connection, already in the connection map.
    pub connection: Arc<Connection>,
    /// The store's identity.
    pub epoch: Epoch,
    /// The user's feed.
    pub feed: ConversationId,
    /// Whether another device of the user is still to give it its history.
    pub unfilled: bool,
    /// The read offsets that changed since the version that the device showed.
    pub offsets: OffsetsChange,
    /// What the user lets others hear.
    pub receipts: ReceiptSettings,
}

impl Engine {
    /// Lets a device's connection in: checks the device and the token's generation, raises the connection generation,
    /// replaces an older connection. `epoch` and `offsets_version` are what the device showed, `origin` is for operators.
    ///
    /// # Errors
    ///
    /// `token_invalid`, `token_revoked`, `device_removed`, `user_disabled`, `replaced`, `overloaded`, `shutting_down`, `unavailable`.
    pub async fn connect(
        &self,
        claim: Claim,
        epoch: Option<Epoch>,
        offsets_version: OffsetsVersion,
        origin: Origin,
    ) -> Result<Admission, Code> {
        let mailbox = Mailbox::new(claim.device, self.0.config.mailbox_max);
        self.0.connections.enter(&mailbox);
        // From here on a stop closes this mailbox too; one that came before is seen now.
        let admitted = if self.0.stopping.is_cancelled() {
            Err(Code::ShuttingDown)
        } else if self.0.connections.count() > self.0.config.connections_max {
            Err(Code::Overloaded)
        } else {
            self.admit(claim, epoch, offsets_version, origin, Arc::clone(&mailbox)).await
        };
        self.0.connections.left_door(&mailbox, admitted.is_ok());
        admitted
    }

    async fn admit(
        &self,
        claim: Claim,
        epoch: Option<Epoch>,
        offsets_version: OffsetsVersion,
        origin: Origin,
        mailbox: Arc<Mailbox>,
    ) -> Result<Admission, Code> {
        let now = UnixMs::now();
        let settings_changes = self.0.settings_changes.load(Ordering::SeqCst);
        let connected = self.0.ports.directory.connect_device(claim.device, claim.token_generation, now).await;
        let mut connected: Connected = connected.map_err(unavailable)?.map_err(refused_device)?;
        if connected.device.user != claim.user {
            return Err(Code::TokenInvalid);
        }
        self.check_main(&mut connected.device).await?;
        // Versions count within an epoch.
        let since = if epoch == Some(self.epoch()) { offsets_version } else { OffsetsVersion::ZERO };
        let connection = Arc::new(Connection {
            user: claim.user,
            device: claim.device,
            kind: connected.device.kind,
            unfilled: Unfilled::of(&connected.device),
            generation: connected.generation(),
            connected_at: now,
            origin,
            mailbox,
            views: Default::default(),
            watching: Default::default(),
            blocks: Default::default(),
            receipts: Telling::new(connected.receipts),
        });
        if !self.0.connections.insert(&connection) {
            return Err(Code::Replaced);
        }
        self.0.presence.changed(&self.0.connections, &connection.user);
        // Read after the connection is in the map: what changes from here on is signalled to it.
        let offsets_max = self.0.config.conversations_per_user_max as u32 + 1;
        let offsets = self.0.ports.offsets.changed_since(connection.user.clone(), since, offsets_max);
        let offsets = match offsets.await {
            Ok(offsets) => offsets,
            Err(error) => {
                self.0.connections.withdraw(&connection);
                self.0.presence.changed(&self.0.connections, &connection.user);
                return Err(unavailable(error));
            }
        };
        let receipts = match self.settings_now(&connection, settings_changes, connected.receipts).await {
            Ok(receipts) => receipts,
            Err(code) => {
                self.0.connections.withdraw(&connection);
                self.0.presence.changed(&self.0.connections, &connection.user);
                return Err(code);
            }
        };
        self.0.events.emit(EventKind::Connect, || Event::Connect {
            user: connection.user.clone(),
            device: connection.device,
            kind: connected.device.kind,
            generation: connection.generation,
            at: now,
        });
        self.0.trace.note_of(&connection, StageName::Connected, NOWHERE, Seq::ZERO);
        let (epoch, feed, unfilled) = (self.epoch(), connected.feed, connected.device.unfilled);
        Ok(Admission { connection, epoch, feed, unfilled, offsets, receipts })
    }

    /// What the user lets others hear, now that a change reaches the connection: what was read when it came may have
    /// changed since.
    async fn settings_now(
        &self,
        connection: &Connection,
        changes_before: u64,
        read: ReceiptSettings,
    ) -> Result<ReceiptSettings, Code> {
        if self.0.settings_changes.load(Ordering::SeqCst) == changes_before {
            return Ok(read);
        }
        let settings = self.0.ports.directory.receipt_settings(connection.user.clone()).await.map_err(unavailable)?;
        let settings = settings.unwrap_or_default();
        connection.receipts.set(settings);
        Ok(settings)
    }

    /// Ends a connection's stay: nothing more reaches its mailbox. `topics` are those that its session follows, `reason` is
    /// why the server closed it, if it did. To be called once.
    pub async fn disconnect(&self, connection: &Arc<Connection>, topics: Vec<ConversationId>, reason: Option<Code>) {
        self.0.ports.broker.close(&topics, &connection.mailbox).await;
        self.0.trace.note_of(connection, StageName::Disconnected, NOWHERE, Seq::ZERO);
        self.0.events.emit(EventKind::Disconnect, || Event::Disconnect {
            user: connection.user.clone(),
            device: connection.device,
            generation: connection.generation,
            reason,
            at: UnixMs::now(),
        });
        self.0.cursors.seen.note(connection.device, UnixMs::now());
        self.leave_fillings(connection);
        self.0.presence.forget(connection);
        self.0.connections.remove(connection);
        self.0.presence.changed(&self.0.connections, &connection.user);
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.0.connections.count()
    }

    /// Checks for a REST request that the token's device is there and the token's generation is not over.
    ///
    /// # Errors
    ///
    /// `token_invalid`, `token_revoked`, `device_removed`, `user_disabled`, `try_again`.
    pub async fn authorize(&self, claim: &Claim) -> Result<Device, Code> {
        let found = self.0.ports.directory.authorize_device(claim.device, claim.token_generation).await;
        let device = found.map_err(|error| store_failed(&error))?.map_err(refused_device)?;
        if device.user == claim.user { Ok(device) } else { Err(Code::TokenInvalid) }
    }
}

fn refused_device(refusal: DirectoryRefusal) -> Code {
    match refusal {
        DirectoryRefusal::OldGeneration => Code::TokenRevoked,
        DirectoryRefusal::UserDisabled => Code::UserDisabled,
        DirectoryRefusal::NoSuchDevice | DirectoryRefusal::DeviceRemoved => Code::DeviceRemoved,
        DirectoryRefusal::NoSuchUser | DirectoryRefusal::TooManyConversations | DirectoryRefusal::Blocked => {
            Code::TokenInvalid
        }
    }
}

fn unavailable(error: lockstep_ports::StoreError) -> Code {
    store_failed(&error);
    Code::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineConfig, Ports};
    use lockstep_broker_embedded::EmbeddedBroker;
    use lockstep_model::{DeviceKind, ReceiptSettingsChange};
    use lockstep_store_sql::{SqliteOptions, SqliteStore};

    #[tokio::test]
    async fn settings_that_change_while_a_device_is_let_in_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.expect("a store");
        let (log, directory, offsets) = (Arc::new(store.clone()), Arc::new(store.clone()), Arc::new(store));
        let ports = Ports { log, directory, offsets, broker: Arc::new(EmbeddedBroker::new()), events: None };
        let engine = Engine::start(ports, EngineConfig::default());
        let user = UserId::new("ana").expect("a user");
        engine.ensure_user(user.clone()).await.expect("a user");
        let device = engine.create_device(&user, "phone", DeviceKind::Main).await.expect("a device").id;
        let mailbox = Mailbox::new(device, 10);
        let receipts = Telling::new(ReceiptSettings::default());
        // Not in the map yet: a change does not reach it.
        let generation = Default::default();
        let (views, watching, unfilled) = Default::default();
        let (connected_at, origin) = Default::default();
        let (user_of, kind) = (user.clone(), DeviceKind::Main);
        let connection = Connection {
            user: user_of,
            device,
            kind,
            unfilled,
            generation,
            connected_at,
            origin,
            mailbox,
            views,
            watching,
            blocks: Default::default(),
            receipts,
        };
        let before = engine.0.settings_changes.load(Ordering::SeqCst);
        let read = ReceiptSettings::default();
        assert_eq!(engine.settings_now(&connection, before, read).await, Ok(read));
        let hide = ReceiptSettingsChange { delivered: None, read: Some(false) };
        let hidden = engine.change_receipt_settings(&user, hide).await.expect("it is stored");
        assert_eq!(engine.settings_now(&connection, before, read).await, Ok(hidden));
        assert_eq!(connection.receipts.settings(), hidden);
    }
}
