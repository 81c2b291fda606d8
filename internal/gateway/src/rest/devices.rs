//! The caller's own devices.

use super::caller::Caller;
use crate::http::{JsonBody, PathId, bad_request};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_engine::{ChannelDeletion, is_device_name};
use lockstep_model::{Code, Device, DeviceId, UnixMs, limits};
use serde::{Deserialize, Serialize};
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
    Ok(Json(DevicesAnswer { devices: devices.into_iter().map(|device| answer(device, &caller)).collect() }))
}

fn answer(device: Device, caller: &Device) -> DeviceAnswer {
    DeviceAnswer {
        current: device.id == caller.id,
        id: device.id,
        name: device.name,
        kind: device.kind.as_str(),
        platform: device.platform,
        signed_in: device.signed_out_at.is_none(),
        created_at: device.created_at,
        seen_at: device.seen_at,
    }
}

#[derive(Deserialize, ToSchema)]
pub(super) struct DeviceChange {
    /// Another name.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
}

/// `PATCH /v1/devices/{id}`: another name. A main device names any device of its user, a sub device only itself.
#[utoipa::path(patch, path = "/v1/devices/{id}", security(("device" = [])), params(("id" = DeviceId, Path)),
    request_body = DeviceChange,
    responses((status = 200, description = "The device, as it is now.", body = DeviceAnswer)),
    extensions(("x-codes" = json!(["no_such_device", "forbidden"]))))]
pub(super) async fn rename(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    PathId(id): PathId<DeviceId>,
    JsonBody(DeviceChange { name }): JsonBody<DeviceChange>,
) -> Result<Json<DeviceAnswer>, Problem> {
    if !is_device_name(&name) {
        let max = limits::NAME_CHARS_MAX;
        return Err(bad_request(&format!(
            "\"name\" must have from 1 to {max} characters, none of them a control character"
        )));
    }
    let renamed = state.engine.rename_device(id, caller.id, &name).await.map_err(|code| match code {
        Code::Forbidden => Problem::new(code, "A sub device may name only itself; a main device may name any."),
        code => code.into(),
    })?;
    Ok(Json(answer(renamed, &caller)))
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

/// `DELETE /v1/devices/{id}`: a main device removes any device of its user, as long as a main device stays; a sub device
/// removes only itself. Removing one again changes nothing.
#[utoipa::path(delete, path = "/v1/devices/{id}", security(("device" = [])), params(("id" = DeviceId, Path)),
    responses((status = 200, description = "It is removed.", body = RemovalAnswer)),
    extensions(("x-codes" = json!(["no_such_device", "forbidden", "last_main"]))))]
pub(super) async fn remove(
    State(state): State<GatewayState>,
    Caller(caller): Caller,
    PathId(id): PathId<DeviceId>,
) -> Result<Json<RemovalAnswer>, Problem> {
    let removal = state.engine.remove_device_for(id, caller.id).await.map_err(|code| match code {
        Code::Forbidden => Problem::new(code, "A sub device may remove only itself; a main device may remove any."),
        code => code.into(),
    })?;
    Ok(Json(match removal.channels {
        ChannelDeletion::Done => RemovalAnswer::Done,
        ChannelDeletion::Pending { servers } => RemovalAnswer::Fenced { pending: servers.len() },
    }))
}
