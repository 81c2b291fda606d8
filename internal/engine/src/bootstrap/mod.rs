//! Filling a new device from one that keeps the history (I8): who is filled, who can give, and what passes between them.
//!
//! [`relay`] decides, without I/O; here its effects reach the two connections and the store. A filling lives in memory: what
//! is filled is in the device's cursors, and what is stored of a conversation that is not, the device itself shows.

mod about;
mod admission;
mod asked;
mod effect;
mod effects;
mod plan;
mod relay;
mod source;
mod unfilled;

#[cfg(test)]
mod tests;

use crate::Connection;
use dashmap::DashMap;
use lockstep_model::{ConversationId, DeviceId, Seq, UserId, limits};
use relay::Relay;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
pub(crate) use unfilled::Unfilled;

/// How often deadlines are looked at while there are fillings.
const TICK_MAX: Duration = Duration::from_millis(500);

/// All fillings and all that main devices can give. Guards of the map never leave this folder.
#[derive(Debug)]
pub(crate) struct Bootstraps {
    users: DashMap<UserId, OfUser>,
    /// How many fillings there are.
    count: AtomicUsize,
    begun: Notify,
    started: Instant,
}

/// What concerns one user.
#[derive(Debug, Default)]
struct OfUser {
    mains: HashMap<DeviceId, Giver>,
    fillings: HashMap<DeviceId, Filling>,
}

/// A main device that is connected and has told what it can give.
#[derive(Debug)]
struct Giver {
    connection: Arc<Connection>,
    is_ready: bool,
    /// From where on.
    held: HashMap<ConversationId, Seq>,
}

/// A device that is being filled, or that was and may come back.
#[derive(Debug)]
struct Filling {
    relay: Relay,
    /// The device's; absent while it is away.
    connection: Option<Arc<Connection>>,
    public_key: Option<String>,
    /// What the device is to be told of next, as soon as it has room.
    to_tell: Vec<ConversationId>,
    /// The main devices that were asked for something.
    givers: BTreeSet<DeviceId>,
    /// Since when the device is away.
    away_since: Duration,
}

impl Default for Bootstraps {
    fn default() -> Self {
        Self { users: DashMap::new(), count: AtomicUsize::new(0), begun: Notify::new(), started: Instant::now() }
    }
}

impl Bootstraps {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many devices are being filled, or may go on.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// Fillings as an operator sets them.
#[derive(Debug, Clone)]
pub struct BootstrapConfig {
    /// Devices that may be filled at once; one more is refused with `too_many_bootstraps`.
    pub fillings_max: usize,
    /// How long a main device that was asked may be silent before another one is asked.
    pub stall: Duration,
    /// How long a chunk may stay without an acknowledgement.
    pub ack_timeout: Duration,
    /// How long a filling waits for its device, or for a main device.
    pub wait: Duration,
    /// Whether the log gives what no main device has.
    pub log_fallback: bool,
    /// Whether every sub device needs a main device of its user that is connected, not just one that is to be filled.
    pub sub_needs_main_always: bool,
}

impl BootstrapConfig {
    fn tick(&self) -> Duration {
        (self.stall.min(self.wait).min(self.ack_timeout) / 4).min(TICK_MAX)
    }
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self {
            fillings_max: 1_000,
            stall: Duration::from_millis(limits::FILL_STALL_MS),
            ack_timeout: Duration::from_millis(limits::ACK_TIMEOUT_MS),
            wait: Duration::from_millis(limits::BOOTSTRAP_WAIT_MS),
            log_fallback: false,
            sub_needs_main_always: false,
        }
    }
}
