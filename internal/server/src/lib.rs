//! One server: its configuration, its start and its ordered stop.
//!
//! This crate puts the steps of a message's way together: it alone picks adapters for the ports, opens the doors, and
//! owns the sockets that everything else only sees requests of. Operators come in by the admin socket ([`admin`]).
//!
//! No policy about messages or devices stands here, and the environment is read nowhere but in [`Config::load`].

pub mod config;

pub use config::{Config, ConfigError, Flags};
