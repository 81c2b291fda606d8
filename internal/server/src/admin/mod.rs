//! The administration of a running server: HTTP on a Unix socket in the data folder that only its owner can open.
//!
//! Whoever can open the socket could also read the database beside it, so that it asks for no other credentials.

mod accounts;
mod aliases;
mod api;
mod client;
mod services;
mod socket;
mod teardowns;
mod wire;

pub(crate) use api::{AdminState, router};
pub use client::{AdminClient, AdminError};
pub use socket::SocketError;
pub(crate) use socket::{AdminListener, AdminSocket};
pub use wire::{
    AliasInfo, AliasKey, AliasRequest, DeviceInfo, DeviceList, GroupInfo, GroupRequest, PasswordRequest, RemovalInfo,
    RotateRequest, ServiceInfo, ServiceList, ServiceTokenGrant, ServiceTokenRequest, TeardownInfo, TeardownList,
    TokenGrant, TokenRequest, UserInfo, UserRequest,
};

use std::path::{Path, PathBuf};

/// Where the socket of a data folder is.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}
