//! The connection map: user -> device -> live connection.

use crate::receipts::Telling;
use dashmap::DashMap;
use lockstep_model::{Code, ConnectionGeneration, DeviceId, DeviceKind, DeviceOnline, Notice, UnixMs, UserId};
use lockstep_ports::Mailbox;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Which door it came through.
    pub door: &'static str,
    /// The client's address, if the door knows it.
    pub address: Option<IpAddr>,
}

/// One live connection of a device.
#[derive(Debug)]
pub struct Connection {
    /// Whose it is.
    pub user: UserId,
    /// Of which device.
    pub device: DeviceId,
    /// What that is to the user.
    pub kind: DeviceKind,
    /// The highest of a device wins.
    pub generation: ConnectionGeneration,
    /// When it was let in.
    pub connected_at: UnixMs,
    /// Where it comes from.
    pub origin: Origin,
    /// Where the connection's task is reached.
    pub mailbox: Arc<Mailbox>,
    /// What the user may see of conversations that are not wholly visible.
    pub(crate) views: crate::resume::Views,
    /// What the device is still to be filled with.
    pub(crate) unfilled: crate::bootstrap::Unfilled,
    /// Whose presence it is told.
    pub(crate) watching: crate::presence::Watching,
    /// Which blocks have been noted here.
    pub(crate) blocks: crate::blocks::BlocksNoted,
    /// What others hear of it.
    pub(crate) receipts: Telling,
}

/// All live connections of this process. Guards of the maps never leave this file.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    users: DashMap<UserId, Vec<Arc<Connection>>>,
    /// Devices that are being let in: a removal closes these too, so that none slips in behind it.
    entering: DashMap<DeviceId, Vec<Arc<Mailbox>>>,
    count: AtomicUsize,
    changed: Notify,
}

impl Connections {
    /// Announces a device that is being let in. Must be followed by [`left_door`](Self::left_door).
    pub(crate) fn enter(&self, mailbox: &Arc<Mailbox>) {
        self.entering.entry(mailbox.device()).or_default().push(Arc::clone(mailbox));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// The device is in the map, or was refused.
    pub(crate) fn left_door(&self, mailbox: &Arc<Mailbox>, admitted: bool) {
        if let Some(mut waiting) = self.entering.get_mut(&mailbox.device()) {
            waiting.retain(|other| !Arc::ptr_eq(other, mailbox));
        }
        self.entering.remove_if(&mailbox.device(), |_, waiting| waiting.is_empty());
        if !admitted {
            self.count_down();
        }
    }

    /// Puts a connection into the map, tells it which other devices of the user are there, and tells these. A connection of the same device with a lower generation is closed with
    /// `replaced`; one with a higher generation makes this one the older: false.
    pub(crate) fn insert(&self, connection: &Arc<Connection>) -> bool {
        let mut devices = self.users.entry(connection.user.clone()).or_default();
        if let Some(slot) = devices.iter_mut().find(|other| other.device == connection.device) {
            if slot.generation > connection.generation {
                return false;
            }
            slot.mailbox.close(Code::Replaced);
            *slot = Arc::clone(connection);
        } else {
            tell(&devices, connection.device, true);
            devices.reserve_exact(1);
            devices.push(Arc::clone(connection));
        }
        if let Some(others) = others(&devices, connection) {
            connection.mailbox.signal(Notice::Devices(others));
        }
        true
    }

    /// Forgets a connection that is over.
    pub(crate) fn remove(&self, connection: &Arc<Connection>) {
        self.withdraw(connection);
        self.count_down();
    }

    /// Takes a connection out of the map that was not let in after all.
    pub(crate) fn withdraw(&self, connection: &Arc<Connection>) {
        if let Some(mut devices) = self.users.get_mut(&connection.user) {
            let before = devices.len();
            devices.retain(|other| !Arc::ptr_eq(other, connection));
            if devices.len() < before {
                tell(&devices, connection.device, false);
            }
        }
        self.users.remove_if(&connection.user, |_, devices| devices.is_empty());
    }

    /// Tells a connection anew which other devices of the user are there: it may have missed something. Of those that are
    /// not among them it may believe that they are, so all of `known` are told of.
    pub(crate) fn retell(&self, connection: &Connection, known: &[DeviceId]) {
        let Some(devices) = self.users.get(&connection.user) else { return };
        let is_live = |device: DeviceId| devices.iter().any(|live| live.device == device);
        let told = known.iter().filter(|device| **device != connection.device);
        let told: Box<[_]> = told.map(|&device| DeviceOnline { device, online: is_live(device) }).collect();
        if !told.is_empty() {
            let _gone = connection.mailbox.answer(Notice::Devices(told));
        }
    }

    fn count_down(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// The live connections of a user.
    pub(crate) fn of(&self, user: &UserId) -> Vec<Arc<Connection>> {
        self.users.get(user).map(|devices| devices.clone()).unwrap_or_default()
    }

    /// Whether a device of the user is connected.
    pub(crate) fn is_online(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// Closes a device's connection, and those of the device that are being let in.
    pub(crate) fn close_device(&self, user: &UserId, device: DeviceId, code: Code) {
        if let Some(waiting) = self.entering.get(&device) {
            waiting.iter().for_each(|mailbox| mailbox.close(code));
        }
        let live = self.of(user);
        live.iter()
            .filter(|connection| connection.device == device)
            .for_each(|connection| connection.mailbox.close(code));
    }

    /// Closes all live connections of a user.
    pub(crate) fn close_user(&self, user: &UserId, code: Code) {
        self.of(user).iter().for_each(|connection| connection.mailbox.close(code));
    }

    /// Live connections in the order of their devices' ids: at most `count` of those after `after`, of one user or of all.
    pub(crate) fn page(&self, of: Option<&UserId>, after: Option<DeviceId>, count: usize) -> Vec<Arc<Connection>> {
        let mut first = BTreeMap::new();
        let mut take = |connection: &Arc<Connection>| {
            if after.is_none_or(|after| connection.device > after) {
                first.insert(connection.device, Arc::clone(connection));
                if first.len() > count {
                    first.pop_last();
                }
            }
        };
        match of {
            Some(user) => self.of(user).iter().for_each(&mut take),
            None => self.users.iter().for_each(|devices| devices.iter().for_each(&mut take)),
        }
        first.into_values().collect()
    }

    /// How many users have a live connection.
    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }

    /// Closes all connections.
    pub(crate) fn close_all(&self, code: Code) {
        self.entering.iter().for_each(|waiting| waiting.iter().for_each(|mailbox| mailbox.close(code)));
        self.users.iter().for_each(|devices| devices.iter().for_each(|connection| connection.mailbox.close(code)));
    }

    /// How many there are, those being let in included.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns when the last one is gone.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// Tells connections of a user that another device has come or gone. Within the guard of their place in the map, so that
/// all hear it in the order in which it happened.
fn tell(connections: &[Arc<Connection>], device: DeviceId, online: bool) {
    for connection in connections {
        connection.mailbox.signal(Notice::Devices([DeviceOnline { device, online }].into()));
    }
}

/// The other devices that are there, if any is.
fn others(devices: &[Arc<Connection>], connection: &Connection) -> Option<Box<[DeviceOnline]>> {
    let others = devices.iter().filter(|other| other.device != connection.device);
    let others: Box<[_]> = others.map(|other| DeviceOnline { device: other.device, online: true }).collect();
    (!others.is_empty()).then_some(others)
}
