//! Devices that are not let in without a main device.

use crate::Engine;
use crate::api::store_failed;
use lockstep_model::{Code, Device, DeviceKind};

impl Engine {
    /// Whether a device that is let in is still to be filled. One whose user has no other main device is not: there is
    /// nothing to wait for.
    ///
    /// # Errors
    ///
    /// `main_offline`, `unavailable`.
    pub(crate) async fn check_main(&self, device: &mut Device) -> Result<(), Code> {
        let needs_main = device.kind == DeviceKind::Sub && self.0.config.bootstrap.sub_needs_main_always;
        if !device.unfilled && !needs_main {
            return Ok(());
        }
        let live = self.0.connections.of(&device.user);
        let gives = |other: &crate::Connection| {
            other.kind == DeviceKind::Main && other.device != device.id && !other.mailbox.is_closed()
        };
        if live.iter().any(|other| gives(other) && !other.unfilled.any()) {
            return Ok(());
        }
        let all = self.0.ports.directory.devices_of(device.user.clone()).await.map_err(unavailable)?;
        if !all.iter().any(|other| other.kind == DeviceKind::Main && other.id != device.id) {
            self.0.ports.directory.fill_device(device.id).await.map_err(unavailable)?;
            device.unfilled = false;
            return Ok(());
        }
        self.want_push(&device.user, device.id);
        // A main device is the user's own way in, and waits inside.
        if device.kind == DeviceKind::Main { Ok(()) } else { Err(Code::MainOffline) }
    }
}

fn unavailable(error: lockstep_ports::StoreError) -> Code {
    store_failed(&error);
    Code::Unavailable
}
