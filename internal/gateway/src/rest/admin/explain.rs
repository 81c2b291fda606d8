//! What became of a message for a device.

use crate::http::{Params, bad_request};
use crate::rest::caller::Administrator;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_model::{ConversationId, DeviceId, Explanation, MessageRef, MessageRefError, Seq};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which message and which device are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainParams {
    /// The device.
    device: DeviceId,
    /// `CONVERSATION:SEQ`, or the id of an entry.
    message: Option<String>,
    /// Instead of `message`: the conversation ...
    conversation: Option<ConversationId>,
    /// ... and the place.
    seq: Option<Seq>,
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
    let ExplainParams { device, message, conversation, seq } = params;
    let message = match (message, conversation, seq) {
        (Some(message), None, None) => {
            message.parse().map_err(|error: MessageRefError| bad_request(&error.to_string()))?
        }
        (None, Some(conversation), Some(seq)) if seq > Seq::ZERO => MessageRef::Place { conversation, seq },
        _ => return Err(bad_request("Name the message by \"conversation\" and \"seq\", or by \"message\"")),
    };
    Ok(Json(state.engine.explain(device, message).await?))
}
