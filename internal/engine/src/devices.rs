//! Users and devices: made, listed, renamed.

use crate::Engine;
use crate::api::store_failed;
use crate::removals::refused as refused_removal;
use lockstep_model::{
    Code, Device, DeviceChange, DeviceId, DeviceKind, Event, EventKind, UnixMs, User, UserId, limits,
};
use lockstep_ports::{Committed, DeviceRename, DirectoryRefusal, NewDevice, StoreError};

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

    /// Gives a device another name, for a device of its user: each may name itself, a main device all of them.
    ///
    /// # Errors
    ///
    /// `bad_request` (a name that is empty or too long), `no_such_device`, `forbidden`, `device_removed`, `try_again`.
    pub async fn rename_device(&self, device: DeviceId, by: DeviceId, name: &str) -> Result<Device, Code> {
        check_name(name)?;
        let rename = DeviceRename { device, by, name: name.to_owned(), now: UnixMs::now() };
        let renamed = self.0.ports.directory.rename_device(rename).await.map_err(failed)?.map_err(refused_removal)?;
        Ok(self.announce(renamed).await)
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

pub(crate) fn check_name(name: &str) -> Result<(), Code> {
    if is_device_name(name) { Ok(()) } else { Err(Code::BadRequest) }
}

/// Whether a device may be called so.
pub fn is_device_name(name: &str) -> bool {
    (1..=limits::NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control)
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
