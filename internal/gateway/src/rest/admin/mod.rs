//! What administrators see and do: by REST with the token of a service that has the scope `admin`, and on the admin socket
//! without a token. Both are these routes. Nothing here shows what users write.

mod connections;
mod conversations;
mod devices;
mod explain;
mod exposition;
mod stats;
mod teardowns;
mod users;
mod wire;

pub(super) use connections::{__path_admin_connections, __path_disconnect, admin_connections, disconnect};
pub(super) use conversations::{
    __path_admin_conversation, __path_admin_members, __path_consumers, __path_topic, admin_conversation, admin_members,
    consumers, topic,
};
pub(super) use devices::{
    __path_admin_device, __path_admin_devices, __path_tear_down, admin_device, admin_devices, tear_down,
};
pub(super) use explain::{__path_explain, explain};
pub(super) use stats::{__path_stats, stats};
pub(super) use teardowns::{__path_tear_down_all, __path_teardowns, tear_down_all, teardowns};
pub(super) use users::{
    __path_admin_user, __path_admin_users, __path_disable, __path_enable, admin_user, admin_users, disable, enable,
};
pub use wire::{
    Bucket, ClosingInfo, CommitTimes, ConnectionInfo, ConnectionPage, ConsumerPage, ConversationInfo, DeviceInfo,
    DeviceList, FollowingInfo, MemberInfo, MemberPage, NsqdCount, RemovalInfo, RemovedDevices, Stats, TeardownInfo,
    TeardownPage, TopicChannelInfo, TopicInfo, TopicServer, Totals, UserPage, UserRow,
};

use super::measure::measured;
use super::routes::Routes;
use crate::GatewayState;
use axum::routing::{delete, get, post};
use serde::Deserialize;
use utoipa::IntoParams;

/// Marks requests that came over the admin socket, which only its owner can open: they carry no token.
#[derive(Clone, Copy)]
pub(crate) struct OverSocket;

pub(super) fn routes() -> Routes<GatewayState> {
    let (user, conversation) = ("/v1/admin/users/{id}", "/v1/admin/conversations/{id}");
    Routes::new()
        .route("/v1/admin/stats", measured("admin", get(stats)))
        .route("/v1/admin/explain", measured("admin", get(explain)))
        .route("/v1/admin/users", measured("admin", get(admin_users)))
        .route(user, measured("admin", get(admin_user)))
        .route(&format!("{user}/disable"), measured("admin", post(disable)))
        .route(&format!("{user}/enable"), measured("admin", post(enable)))
        .route(&format!("{user}/devices"), measured("admin", get(admin_devices).delete(tear_down_all)))
        .route("/v1/admin/devices/{id}", measured("admin", get(admin_device).delete(tear_down)))
        .route("/v1/admin/teardowns", measured("admin", get(teardowns)))
        .route("/v1/admin/connections", measured("admin", get(admin_connections)))
        .route("/v1/admin/connections/{device}", measured("admin", delete(disconnect)))
        .route(conversation, measured("admin", get(admin_conversation)))
        .route(&format!("{conversation}/members"), measured("admin", get(admin_members)))
        .route(&format!("{conversation}/consumers"), measured("admin", get(consumers)))
        .route(&format!("{conversation}/topic"), measured("admin", get(topic)))
}

/// Which part of a list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

/// Cuts a list to a page. One more than fits says that there is a next one, which begins after the last that is kept.
fn cut<T>(mut items: Vec<T>, size: u32, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let more = items.len() > size as usize;
    items.truncate(size as usize);
    let next = items.last().filter(|_| more).map(cursor);
    (items, next)
}
