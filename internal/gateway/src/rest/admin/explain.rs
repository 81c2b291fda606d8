//! What became of a message for a device.

use crate::http::{Params, bad_request};
use crate::rest::caller::Administrator;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_model::{DeviceId, Explanation, MessageRefError};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which message and which device are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainParams {
    /// The device.
    device: DeviceId,
    /// `CONVERSATION:SEQ`, or the id of an entry.
    #[param(example = "019a2b1d-1111-7abc-8def-1234567890ab:1")]
    message: String,
}

/// `GET /v1/admin/explain`: when a message was committed, published, delivered to a device and acknowledged by it, or why not.
#[utoipa::path(get, path = "/v1/admin/explain", tag = "admin", params(ExplainParams), security(("service" = ["admin"])),
    responses((status = 200, description = "What became of it.", body = Explanation)),
    extensions(("x-codes" = json!(["no_such_device"]))))]
pub(crate) async fn explain(
    State(state): State<GatewayState>,
    Administrator: Administrator,
    Params(params): Params<ExplainParams>,
) -> Result<Json<Explanation>, Problem> {
    let message = params.message.parse().map_err(|error: MessageRefError| bad_request(&error.to_string()))?;
    Ok(Json(state.engine.explain(params.device, message).await?))
}
