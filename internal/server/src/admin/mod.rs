//! The administration of a running server: HTTP on a Unix socket in the data folder that only its owner can open.
//!
//! Whoever can open the socket could also read the database beside it, so that it asks for no other credentials. What
//! administrators do by REST too is served here by the same routes; the rest is for operators of this machine alone: it
//! makes tokens.

mod accounts;
mod aliases;
mod api;
mod client;
mod looks;
mod services;
mod socket;
mod transport;
mod wire;

pub(crate) use api::{AdminState, router};
pub use client::{AdminClient, AdminError};
pub use lockstep_gateway::{
    Bucket, ClosingInfo, CommitTimes, ConnectionInfo, ConnectionPage, ConsumerPage, ConversationInfo, DeviceInfo,
    DeviceList, FollowingInfo, MemberInfo, MemberPage, NsqdCount, RemovalInfo, RemovedDevices, Stats, TeardownInfo,
    TeardownPage, TopicChannelInfo, TopicInfo, TopicServer, Totals, UserPage, UserRow,
};
pub use socket::SocketError;
pub(crate) use socket::{AdminListener, AdminSocket};
pub use wire::{
    AliasInfo, AliasKey, AliasRequest, GroupInfo, GroupRequest, PasswordRequest, RotateRequest, ServiceInfo,
    ServiceList, ServiceTokenGrant, ServiceTokenRequest, TokenGrant, TokenRequest, UserInfo, UserRequest,
};

use std::path::{Path, PathBuf};

/// Where the socket of a data folder is.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}
