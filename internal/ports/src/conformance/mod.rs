//! One suite per port: an adapter conforms if its suite passes.
//!
//! The suites panic at the first breach. They make users, devices and conversations of their own, so that they may run
//! on a store that holds others, and at the same time. The store must live on after a suite: nothing is cleaned up.

mod accounts;
mod admin;
mod broker;
mod directory;
mod groups;
mod links;
mod message_log;
mod messages;
mod offsets;
mod passwords;
mod people;
mod reads;
mod services;
mod teardowns;
mod world;

pub use broker::{broker, broker_in_order_and_once};
pub use directory::directory;
pub use message_log::message_log;
pub use messages::messages;
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
    /// How many members the store lets a group have: at least 8, and few enough to be made one by one.
    pub group_members_max: usize,
    /// How many members the store lets a room have: more than a group.
    pub room_members_max: usize,
}
