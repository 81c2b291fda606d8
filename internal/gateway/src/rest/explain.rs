//! What became of a message for a device: the answer to operators, whatever door they come through.

use crate::http::{Params, bad_request};
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::{FromRef, State};
use lockstep_engine::Engine;
use lockstep_model::{ConversationId, DeviceId, Explanation, MessageRef, MessageRefError, Seq};
use serde::Deserialize;

/// Which message and which device are meant: `message` is `CONVERSATION:SEQ` or the id of an entry; `conversation` and
/// `seq` say the former in two.
#[derive(Debug, Deserialize)]
pub struct ExplainParams {
    device: DeviceId,
    message: Option<String>,
    conversation: Option<ConversationId>,
    seq: Option<Seq>,
}

impl FromRef<GatewayState> for Engine {
    fn from_ref(state: &GatewayState) -> Self {
        state.engine.clone()
    }
}

/// Says what became of the message for the device. Whoever mounts it makes sure that an operator asks.
///
/// # Errors
///
/// `bad_request`, `no_such_device`, `try_again`, as a problem.
pub async fn explain(
    State(engine): State<Engine>,
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
    Ok(Json(engine.explain(device, message).await?))
}
