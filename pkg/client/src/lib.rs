//! The Rust SDK of a device
