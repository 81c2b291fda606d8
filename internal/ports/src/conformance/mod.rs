//! One suite per port: an adapter conforms if its suite passes.
//!
//! The suites panic at the first breach. They make users, devices and conversations of their own, so that they may run
//! on a store that holds others, and at the same time. The store must live on after a suite: nothing is cleaned up.

mod broker;
mod directory;
mod message_log;
mod offsets;
mod people;
mod reads;
mod services;
mod world;

pub use broker::{broker, broker_in_order_and_once};
pub use directory::directory;
pub use message_log::message_log;
pub use offsets::offsets;

use crate::{Directory, MessageLog, Offsets};
use std::sync::Arc;

/// The three ports of one store, which share its transactions.
#[derive(Clone)]
pub struct Stores {
    /// The log.
    pub log: Arc<dyn MessageLog>,
    /// The directory.
    pub directory: Arc<dyn Directory>,
    /// The read offsets.
    pub offsets: Arc<dyn Offsets>,
    /// How many conversations the store lets a user be in: at least 20, and few enough to be made one by one.
    pub conversations_per_user_max: usize,
}
