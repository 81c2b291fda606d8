//! Users and devices: made, listed, removed.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{
    Code, Device, DeviceChange, DeviceId, DeviceKind, Event, EventKind, UnixMs, User, UserId, limits,
};
use lockstep_ports::{ChannelDeletion, Committed, DirectoryRefusal, NewDevice, StoreError};

/// A device that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The device.
    pub device: Device,
    /// What became of its channels.
    pub channels: ChannelDeletion,
}

impl Engine {
    /// Makes a user, or finds the one that is there.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn ensure_user(&self, user: UserId) -> Result<User, Code> {
        self.0.ports.directory.ensure_user(user, UnixMs::now()).await.map_err(failed)
    }

    /// Makes a device.
    ///
    /// # Errors
    ///
    /// `bad_request` (a name that is empty or too long), `no_such_user`, `try_again`.
    pub async fn create_device(&self, user: &UserId, name: &str, kind: DeviceKind) -> Result<Device, Code> {
        self.make_device(user, name, kind, false).await
    }

    /// Makes a device that is to be filled by a main device of the user.
    ///
    /// # Errors
    ///
    /// As [`Engine::create_device`].
    pub async fn create_unfilled_device(&self, user: &UserId, name: &str, kind: DeviceKind) -> Result<Device, Code> {
        self.make_device(user, name, kind, true).await
    }

    async fn make_device(&self, user: &UserId, name: &str, kind: DeviceKind, unfilled: bool) -> Result<Device, Code> {
        check_name(name)?;
        let (id, now) = (DeviceId::generate(), UnixMs::now());
        let device = NewDevice { id, user: user.clone(), name: name.to_owned(), kind, unfilled, now };
        let created = self.0.ports.directory.create_device(device).await.map_err(failed)?.map_err(refused)?;
        self.tell(&created, DeviceChange::Added);
        Ok(self.announce(created).await)
    }

    /// Finds a device, removed ones too.
    ///
    /// # Errors
    ///
    /// `no_such_device`, `try_again`.
    pub async fn device(&self, device: DeviceId) -> Result<Device, Code> {
        self.0.ports.directory.device(device).await.map_err(failed)?.ok_or(Code::NoSuchDevice)
    }

    /// The devices of a user, oldest first.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn devices_of(&self, user: &UserId) -> Result<Vec<Device>, Code> {
        self.0.ports.directory.devices_of(user.clone()).await.map_err(failed)
    }

    /// Removes a device: its tokens are refused from now on, its connection is closed with `device_removed`, and its
    /// channels are deleted, for which servers are waited for some seconds. Removing it again changes nothing but deletes
    /// channels that were left.
    ///
    /// # Errors
    ///
    /// `no_such_device`, `try_again`.
    pub async fn remove_device(&self, device: DeviceId) -> Result<Removal, Code> {
        let engine = self.clone();
        self.to_the_end(async move { engine.remove(device).await }).await
    }

    async fn remove(&self, device: DeviceId) -> Result<Removal, Code> {
        let removed = self.0.ports.directory.remove_device(device, UnixMs::now()).await;
        let removed = removed.map_err(failed)?.map_err(refused)?;
        // After the commit: whoever is let in from here on is refused by the store.
        self.0.connections.close_device(&removed.value.user, device, Code::DeviceRemoved);
        self.tell(&removed, DeviceChange::Removed);
        self.forget_sign_ins(&removed.value);
        self.forget_filling(&removed.value.user, device);
        let removed = self.announce(removed).await;
        let channels = self.delete_channels(&removed).await;
        Ok(Removal { device: removed, channels })
    }

    /// Deletes the channels of a device that is closed and will not be let in again.
    pub(crate) async fn delete_channels(&self, removed: &Device) -> ChannelDeletion {
        let topics = match self.0.ports.directory.followed(removed.user.clone(), removed.id).await {
            Ok(followed) => followed.into_iter().map(|row| row.conversation).collect(),
            Err(error) => {
                // The transport's servers know most of them.
                store_failed(&error);
                vec![]
            }
        };
        let channels = self.0.ports.broker.delete_channels(removed.id, &topics).await;
        if let ChannelDeletion::Pending { servers } = &channels {
            tracing::warn!(device = %removed.id, ?servers, "a removed device may have channels left; they are deleted later");
        }
        channels
    }

    /// Tells services of a change, unless the command only found it done: then it wrote nothing.
    pub(crate) fn tell(&self, committed: &Committed<Device>, change: DeviceChange) {
        if !committed.entries.is_empty() {
            self.tell_of(&committed.value, change);
        }
    }

    /// Tells services of a change.
    pub(crate) fn tell_of(&self, device: &Device, change: DeviceChange) {
        self.0.events.emit(EventKind::Device, || {
            let Device { id, user, kind, created_at, removed_at, .. } = device;
            let at = removed_at.unwrap_or(*created_at);
            Event::Device { user: user.clone(), device: *id, kind: *kind, change, at }
        });
    }
}

/// What people call a device.
pub(crate) fn check_name(name: &str) -> Result<(), Code> {
    let fits = (1..=limits::NAME_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(Code::BadRequest) }
}

fn failed(error: StoreError) -> Code {
    store_failed(&error)
}

fn refused(refusal: DirectoryRefusal) -> Code {
    match refusal {
        DirectoryRefusal::NoSuchUser => Code::NoSuchUser,
        DirectoryRefusal::NoSuchDevice | DirectoryRefusal::DeviceRemoved => Code::NoSuchDevice,
        DirectoryRefusal::OldGeneration => Code::TokenRevoked,
        DirectoryRefusal::UserDisabled => Code::UserDisabled,
        DirectoryRefusal::TooManyConversations => Code::TooManyConversations,
        DirectoryRefusal::Blocked => Code::Blocked,
    }
}
