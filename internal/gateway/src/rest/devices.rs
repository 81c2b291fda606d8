//! The caller's own devices.

use super::caller::Caller;
use crate::http::PathId;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_engine::ChannelDeletion;
use lockstep_model::{Code, DeviceId, DeviceKind, UnixMs};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct DeviceAnswer {
    id: DeviceId,
    name: String,
    #[schema(examples("main", "sub"))]
    kind: &'static str,
    platform: Option<String>,
    /// Whether it has tokens that may be good.
    signed_in: bool,
    created_at: UnixMs,
    seen_at: Option<UnixMs>,
    /// Whether it is the caller.
    current: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DevicesAnswer {
    devices: Vec<DeviceAnswer>,
}

/// `GET /v1/devices`: those that have not been removed, oldest first.
#[utoipa::path(get, path = "/v1/devices", security(("device" = [])),
    responses((status = 200, description = "All of them.", body = DevicesAnswer)))]
pub(super) async fn list(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
) -> Result<Json<DevicesAnswer>, Problem> {
    let devices = state.engine.devices_of(&caller.user).await?;
    let answer = |device: lockstep_model::Device| DeviceAnswer {
        current: device.id == caller.id,
        id: device.id,
        name: device.name,
        kind: device.kind.as_str(),
        platform: device.platform,
        signed_in: device.signed_out_at.is_none(),
        created_at: device.created_at,
        seen_at: device.seen_at,
    };
    Ok(Json(DevicesAnswer { devices: devices.into_iter().map(answer).collect() }))
}

/// The device is out in any case.
#[derive(Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum RemovalAnswer {
    /// Nothing of it is left.
    Done,
    /// So many servers may have channels of it. Which, operators see.
    Fenced { pending: usize },
}

/// `DELETE /v1/devices/{id}`: a main device removes any device of its user, a sub device only itself. Removing one again
/// changes nothing.
#[utoipa::path(delete, path = "/v1/devices/{id}", security(("device" = [])), params(("id" = DeviceId, Path)),
    responses((status = 200, description = "It is removed.", body = RemovalAnswer)),
    extensions(("x-codes" = json!(["no_such_device", "forbidden"]))))]
pub(super) async fn remove(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    PathId(id): PathId<DeviceId>,
) -> Result<Json<RemovalAnswer>, Problem> {
    let device = state.engine.device(id).await?;
    if device.user != caller.user {
        // Whether another user's device is there is nobody's business.
        return Err(Code::NoSuchDevice.into());
    }
    if caller.kind == DeviceKind::Sub && device.id != caller.id {
        return Err(Problem::new(
            Code::Forbidden,
            "A sub device may remove only itself; a main device may remove any.",
        ));
    }
    let removal = state.engine.remove_device(id).await?;
    Ok(Json(match removal.channels {
        ChannelDeletion::Done => RemovalAnswer::Done,
        ChannelDeletion::Pending { servers } => RemovalAnswer::Fenced { pending: servers.len() },
    }))
}
