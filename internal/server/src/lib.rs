//! One server: its configuration, its start and its ordered stop.
//!
//! This crate puts the steps of a message's way together: it alone picks adapters for the ports, opens the doors, and
//! owns the sockets that everything else only sees requests of. Operators come in by the admin socket ([`admin`]).
//!
//! No policy about messages or devices stands here, and the environment is read nowhere but in [`Config::load`].

pub mod admin;
pub mod config;
mod descriptors;
mod http;
mod nsq;
mod nsq_http;
mod running;
mod start;
mod tasks;
mod telemetry;

pub use config::{Config, ConfigError, Flags};
pub use running::{Running, Signals, StopError};
pub use start::{Server, StartError};
pub use telemetry::{Telemetry, TelemetryError};
