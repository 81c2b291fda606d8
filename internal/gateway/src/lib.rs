//! The native doors: REST and WebSocket.
//!
//! Step 1 and step 7 of a message's way: bytes become requests here, limits first, and answers become bytes. REST serves
//! services, scripts and operators; live devices hold a WebSocket. Both check the token here and leave every other
//! decision to the session and the engine.
//!
//! No token, body or id of a user or device is ever logged or used as a metric's label. Clients' addresses are logged at
//! the level `debug` alone.

mod accounts;
mod client_address;
mod http;
mod links;
mod origins;
mod problem;
mod rest;
mod standing;
mod state;
mod ws;

pub use accounts::{AccountsConfig, Attempt};
pub use client_address::{Peer, TrustedProxies};
pub use http::{BodyLimits, JsonBody, Params, PathId, bad_request};
pub use links::LinksConfig;
pub use origins::Origins;
pub use problem::Problem;
pub use rest::admin::{
    Bucket, ClosingInfo, CommitTimes, ConnectionInfo, ConnectionPage, ConsumerPage, ConversationInfo, DeviceInfo,
    DeviceList, FollowingInfo, MemberInfo, MemberPage, NsqdCount, RemovalInfo, RemovedDevices, Stats, TeardownInfo,
    TeardownPage, TopicChannelInfo, TopicInfo, TopicServer, Totals, UserPage, UserRow,
};
pub use rest::{Rate, RequestRates, no_such_route, wrong_method};
pub use state::{GatewayConfig, GatewayState};

use axum::Router;

/// All routes of the native doors.
pub fn router(state: GatewayState) -> Router {
    rest::router(&state).with_state(state)
}

/// The routes of the administration alone, without tokens: for a socket that only administrators can open.
pub fn admin_router(state: GatewayState) -> Router {
    rest::admin_router().with_state(state)
}

/// The paths of all routes, as the OpenAPI document writes them.
pub fn paths() -> Vec<String> {
    rest::paths()
}
