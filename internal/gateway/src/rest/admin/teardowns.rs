//! Removals, and what is left of them.

use super::{RemovedDevices, TeardownInfo, TeardownPage, cut};
use crate::http::{Params, PathId, bad_request};
use crate::rest::caller::Administrator;
use crate::rest::page_size;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_model::{DeviceId, Teardown, TeardownReason, TeardownState, UnixMs, UserId};
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TeardownsParams {
    /// Those that are done too.
    #[serde(default)]
    all: bool,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
}

/// `GET /v1/admin/teardowns`: removals whose channels are not all deleted, newest first.
#[utoipa::path(get, path = "/v1/admin/teardowns", tag = "admin", params(TeardownsParams),
    security(("service" = ["admin"])),
    responses((status = 200, description = "A page.", body = TeardownPage)))]
pub(crate) async fn teardowns(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    Params(params): Params<TeardownsParams>,
) -> Result<Json<TeardownPage>, Problem> {
    let size = page_size(params.limit)?;
    let after = match params.cursor.as_deref() {
        None => None,
        Some(text) => Some(place(text).ok_or_else(|| bad_request("\"cursor\" must be the \"next\" of another page"))?),
    };
    let found = state.engine.teardowns(after, !params.all, size + 1).await?;
    let (found, next) = cut(found, size, |last| format!("{}-{}", last.requested_at, last.device));
    Ok(Json(TeardownPage { teardowns: found.into_iter().map(info).collect(), next }))
}

/// `DELETE /v1/admin/users/{id}/devices`: removes all devices of a user, the last main device too.
#[utoipa::path(delete, path = "/v1/admin/users/{id}/devices", tag = "admin", params(("id" = UserId, Path)),
    security(("service" = ["admin"])),
    responses((status = 200, description = "They are out.", body = RemovedDevices)),
    extensions(("x-codes" = json!(["no_such_user"]))))]
pub(crate) async fn tear_down_all(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    PathId(user): PathId<UserId>,
) -> Result<Json<RemovedDevices>, Problem> {
    state.engine.user_record(&user).await?;
    let removed = state.engine.remove_all_devices(&user, TeardownReason::AccountDisabled).await? as u64;
    Ok(Json(RemovedDevices { removed }))
}

fn place(text: &str) -> Option<(UnixMs, DeviceId)> {
    let (at, device) = text.split_once('-')?;
    Some((UnixMs::new(at.parse().ok()?), device.parse().ok()?))
}

fn info(teardown: Teardown) -> TeardownInfo {
    let Teardown { device, user, reason, requested_at, attempts, last_error, pending, state, .. } = teardown;
    let (next_try_at, done_at) = match state {
        TeardownState::Waiting(at) => (Some(at), None),
        TeardownState::Done(at) => (None, Some(at)),
    };
    let reason = reason.as_str().to_owned();
    TeardownInfo { device, user, reason, requested_at, attempts, last_error, pending, next_try_at, done_at }
}
