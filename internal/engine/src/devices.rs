//! Users and devices: made, listed, removed.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{
    Code, Device, DeviceChange, DeviceId, DeviceKind, Event, EventKind, UnixMs, User, UserId, limits,
};
use lockstep_ports::{Committed, DirectoryRefusal, NewDevice, StoreError};

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
        if !(1..=limits::NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            return Err(Code::BadRequest);
        }
        let (id, now) = (DeviceId::generate(), UnixMs::now());
        let device = NewDevice { id, user: user.clone(), name: name.to_owned(), kind, now };
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

    /// Removes a device: its tokens are refused from now on, and its connection is closed with `device_removed`. Removing
    /// it again changes nothing.
    ///
    /// # Errors
    ///
    /// `no_such_device`, `try_again`.
    pub async fn remove_device(&self, device: DeviceId) -> Result<Device, Code> {
        let removed = self.0.ports.directory.remove_device(device, UnixMs::now()).await;
        let removed = removed.map_err(failed)?.map_err(refused)?;
        // After the commit: whoever is let in from here on is refused by the store.
        self.0.connections.close_device(&removed.value.user, device, Code::DeviceRemoved);
        self.tell(&removed, DeviceChange::Removed);
        Ok(self.announce(removed).await)
    }

    /// Tells services of a change, unless the command only found it done: then it wrote nothing.
    fn tell(&self, committed: &Committed<Device>, change: DeviceChange) {
        if committed.entries.is_empty() {
            return;
        }
        self.0.events.emit(EventKind::Device, || {
            let Device { id, user, kind, created_at, removed_at, .. } = &committed.value;
            let at = removed_at.unwrap_or(*created_at);
            Event::Device { user: user.clone(), device: *id, kind: *kind, change, at }
        });
    }
}

fn failed(error: StoreError) -> Code {
    store_failed(&error)
}

fn refused(refusal: DirectoryRefusal) -> Code {
    match refusal {
        DirectoryRefusal::NoSuchUser => Code::NoSuchUser,
        DirectoryRefusal::NoSuchDevice | DirectoryRefusal::DeviceRemoved => Code::NoSuchDevice,
        DirectoryRefusal::OldGeneration => Code::TokenRevoked,
        DirectoryRefusal::TooManyConversations => Code::TooManyConversations,
        DirectoryRefusal::Blocked => Code::Blocked,
    }
}
