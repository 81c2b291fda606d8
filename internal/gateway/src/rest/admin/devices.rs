//! Devices.

use super::{DeviceInfo, DeviceList, RemovalInfo};
use crate::http::PathId;
use crate::rest::caller::Administrator;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_engine::ChannelDeletion;
use lockstep_model::{DeviceId, UserId};

/// `GET /v1/admin/users/{id}/devices`: those that have not been removed, oldest first.
#[utoipa::path(get, path = "/v1/admin/users/{id}/devices", tag = "admin", params(("id" = UserId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "All of them.", body = DeviceList)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(crate) async fn admin_devices(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(user): PathId<UserId>,
) -> Result<Json<DeviceList>, Problem> {
    state.engine.user_record(&user).await?;
    let devices = state.engine.devices_of(&user).await?.into_iter().map(|device| {
        let connection = state.engine.connection_of(&device);
        DeviceInfo::new(device, connection.as_deref(), None)
    });
    Ok(Json(DeviceList { devices: devices.collect() }))
}

/// `GET /v1/admin/devices/{id}`: one device, a removed one too.
#[utoipa::path(get, path = "/v1/admin/devices/{id}", tag = "admin", params(("id" = DeviceId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "The device.", body = DeviceInfo)),
    extensions(("x-codes" = json!(["no_such_device"]))))]
pub(crate) async fn admin_device(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(id): PathId<DeviceId>,
) -> Result<Json<DeviceInfo>, Problem> {
    let device = state.engine.device(id).await?;
    let following = state.engine.following(&device).await?;
    let connection = state.engine.connection_of(&device);
    Ok(Json(DeviceInfo::new(device, connection.as_deref(), Some(following))))
}

/// `DELETE /v1/admin/devices/{id}`: removes a device. Removing one again deletes what was left of it.
#[utoipa::path(delete, path = "/v1/admin/devices/{id}", tag = "admin", params(("id" = DeviceId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "It is out.", body = RemovalInfo)),
    extensions(("x-codes" = json!(["no_such_device", "last_main"]))))]
pub(crate) async fn tear_down(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(id): PathId<DeviceId>,
) -> Result<Json<RemovalInfo>, Problem> {
    Ok(Json(match state.engine.remove_device(id).await?.channels {
        ChannelDeletion::Done => RemovalInfo::Done,
        ChannelDeletion::Pending { servers } => RemovalInfo::Fenced { pending: servers },
    }))
}
