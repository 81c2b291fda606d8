//! Removals of devices: by whom, and what follows at once. The [worker](crate::teardowns) does the rest.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{Code, Device, DeviceChange, DeviceId, TeardownReason, UnixMs, UserId};
use lockstep_ports::{ChannelDeletion, Committed, DeviceRefusal, DeviceRemoval, Remover};

/// Devices that are looked at in one query for unseen ones.
const UNSEEN_PER_QUERY: u32 = 64;

/// A device that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The device.
    pub device: Device,
    /// What became of its channels.
    pub channels: ChannelDeletion,
}

impl Engine {
    /// Removes a device for an administrator: its tokens are refused from now on, its connection is closed with
    /// `device_removed`, and its channels are deleted, for which servers are waited for some seconds. What is left then is
    /// a stored job's, which goes on until it is done. Removing it again changes nothing but tries that at once.
    ///
    /// # Errors
    ///
    /// `no_such_device`, `last_main`, `try_again`.
    pub async fn remove_device(&self, device: DeviceId) -> Result<Removal, Code> {
        self.remove(device, Remover::Administrator).await
    }

    /// Removes a device for a device of its user: a main device removes any, as long as a main device stays, a sub device
    /// itself. Else like [`remove_device`](Self::remove_device).
    ///
    /// # Errors
    ///
    /// `no_such_device`, `forbidden`, `last_main`, `device_removed`, `try_again`.
    pub async fn remove_device_for(&self, device: DeviceId, by: DeviceId) -> Result<Removal, Code> {
        self.remove(device, Remover::Device(by)).await
    }

    async fn remove(&self, device: DeviceId, by: Remover) -> Result<Removal, Code> {
        let engine = self.clone();
        self.to_the_end(async move {
            let device = engine.fence(device, by).await?.map_err(refused)?;
            let channels = engine.0.teardowns.attempt(&device.user, device.id).await;
            if channels != ChannelDeletion::Done {
                engine.0.teardowns.tell();
            }
            Ok(Removal { device, channels })
        })
        .await
    }

    /// Removes all devices of a user, the last main device too. Returns once they are out; their channels are deleted in
    /// jobs. Says how many there were.
    ///
    /// # Errors
    ///
    /// `try_again`.
    pub async fn remove_all_devices(&self, user: &UserId, reason: TeardownReason) -> Result<usize, Code> {
        let (engine, user) = (self.clone(), user.clone());
        self.to_the_end(async move {
            let removed = engine.0.ports.directory.remove_all_devices(user.clone(), reason, UnixMs::now()).await;
            // If only the answer was lost, there are jobs.
            engine.0.teardowns.tell();
            let removed = removed.map_err(|error| store_failed(&error))?;
            engine.0.sign_ins.forget(&user);
            for device in &removed.value {
                engine.0.connections.close_device(&user, device.id, Code::DeviceRemoved);
                engine.tell_of(device, DeviceChange::Removed);
                engine.forget_filling(&user, device.id);
            }
            Ok(engine.announce(removed).await.len())
        })
        .await
    }

    /// Removes sub devices that have not been seen since then and are not connected, one commit each, and says how many.
    /// May be given up at any point.
    ///
    /// # Errors
    ///
    /// `try_again`; what was done until then stays done.
    pub async fn remove_unseen(&self, seen_before: UnixMs) -> Result<usize, Code> {
        let (mut after, mut removed) = (None, 0);
        loop {
            let found = self.0.ports.directory.unseen(seen_before, after, UNSEEN_PER_QUERY).await;
            let found = found.map_err(|error| store_failed(&error))?;
            let Some(last) = found.last() else { return Ok(removed) };
            after = Some((last.seen_at.unwrap_or(last.created_at), last.id));
            for device in found {
                let is_live = self.0.connections.of(&device.user).iter().any(|live| live.device == device.id);
                // One that comes at this moment is seen by the commit.
                if !is_live {
                    let engine = self.clone();
                    let fence = async move { engine.fence(device.id, Remover::Unseen { seen_before }).await };
                    removed += usize::from(self.to_the_end(fence).await?.is_ok());
                }
            }
            self.0.teardowns.tell();
        }
    }

    /// The commit of a removal and what follows it at once: from here on nothing reaches the device.
    async fn fence(&self, device: DeviceId, by: Remover) -> Result<Result<Device, DeviceRefusal>, Code> {
        let removal = DeviceRemoval { device, by, now: UnixMs::now() };
        let removed = self.0.ports.directory.remove_device(removal).await.map_err(|error| {
            // If only the answer was lost, there is a job.
            self.0.teardowns.tell();
            store_failed(&error)
        })?;
        let removed: Committed<Device> = match removed {
            Ok(removed) => removed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // After the commit: whoever is let in from here on is refused by the store.
        self.0.connections.close_device(&removed.value.user, device, Code::DeviceRemoved);
        self.tell(&removed, DeviceChange::Removed);
        self.forget_sign_ins(&removed.value);
        self.forget_filling(&removed.value.user, device);
        Ok(Ok(self.announce(removed).await))
    }
}

pub(crate) fn refused(refusal: DeviceRefusal) -> Code {
    match refusal {
        DeviceRefusal::NoSuchDevice | DeviceRefusal::SeenSince => Code::NoSuchDevice,
        DeviceRefusal::CallerRemoved => Code::DeviceRemoved,
        DeviceRefusal::Forbidden => Code::Forbidden,
        DeviceRefusal::LastMain => Code::LastMain,
    }
}
