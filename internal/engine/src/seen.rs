//! When devices were last there: written down in batches, since many may go at once.

use crate::api::store_failed;
use lockstep_model::{DeviceId, UnixMs};
use lockstep_ports::Directory;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Devices that one commit takes.
const ROWS_PER_COMMIT_MAX: usize = 1_000;
/// Devices that wait while the store fails. Of more it is not known until when they were connected, only since when.
const WAITING_MAX: usize = 1_000_000;

/// The devices that have gone and of which it is still to be stored.
pub(crate) struct Seen {
    directory: Arc<dyn Directory>,
    waiting: Mutex<HashMap<DeviceId, UnixMs>>,
}

impl Seen {
    pub(crate) fn new(directory: Arc<dyn Directory>) -> Self {
        Self { directory, waiting: Mutex::default() }
    }

    /// Notes that a device was there until now.
    pub(crate) fn note(&self, device: DeviceId, now: UnixMs) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX || waiting.contains_key(&device) {
            let until = waiting.entry(device).or_insert(now);
            *until = now.max(*until);
        }
    }

    /// Stores what waits.
    pub(crate) async fn flush(&self) {
        let rows: Vec<_> = std::mem::take(&mut *self.waiting.lock()).into_iter().collect();
        for rows in rows.chunks(ROWS_PER_COMMIT_MAX) {
            if let Err(error) = self.directory.seen(rows.to_vec()).await {
                store_failed(&error);
                rows.iter().for_each(|(device, until)| self.note(*device, *until));
            }
        }
    }
}
