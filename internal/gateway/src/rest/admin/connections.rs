//! Live connections.

use super::{ClosingInfo, ConnectionInfo, ConnectionPage, cut};
use crate::http::{Params, PathId};
use crate::rest::caller::Administrator;
use crate::rest::page_size;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_model::{DeviceId, UserId};
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConnectionsParams {
    /// Only those of this user.
    user: Option<UserId>,
    /// The `next` of the page before.
    cursor: Option<DeviceId>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

/// `GET /v1/admin/connections`: those of this process, in the order of their devices' ids.
#[utoipa::path(get, path = "/v1/admin/connections", tag = "admin", params(ConnectionsParams),
    security(("service" = ["admin"])),
    responses((status = 200, description = "A page.", body = ConnectionPage)))]
pub(crate) async fn admin_connections(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    Params(params): Params<ConnectionsParams>,
) -> Result<Json<ConnectionPage>, Problem> {
    let size = page_size(params.limit)?;
    let listed = state.engine.connections_after(params.user.as_ref(), params.cursor, size as usize + 1);
    let (listed, next) = cut(listed, size, |last| last.device.to_string());
    Ok(Json(ConnectionPage { connections: listed.iter().map(|one| ConnectionInfo::new(one)).collect(), next }))
}

/// `DELETE /v1/admin/connections/{device}`: closes the connection of a device, which may come again.
#[utoipa::path(delete, path = "/v1/admin/connections/{device}", tag = "admin", params(("device" = DeviceId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "It has none any more.", body = ClosingInfo)),
    extensions(("x-codes" = json!(["no_such_device"]))))]
pub(crate) async fn disconnect(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(device): PathId<DeviceId>,
) -> Result<Json<ClosingInfo>, Problem> {
    let was_live = state.engine.close_connection(device).await?;
    Ok(Json(if was_live { ClosingInfo::Closed } else { ClosingInfo::NotConnected }))
}
