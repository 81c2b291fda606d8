//! The WebSocket door `/v1/ws`, subprotocol `lockstep.v1`: `docs/protocol.md` describes it frame by frame.

mod connection;
mod meters;
mod socket;
mod translate;

pub(crate) use meters::Meters;

use crate::{GatewayState, Problem, bad_request};
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::{IntoResponse, Response};
use lockstep_model::Code;

/// The subprotocol (RFC 6455, section 1.9) that a device has to ask for.
const SUBPROTOCOL: &str = "lockstep.v1";
/// Read buffer of one connection: small, since there are many. Larger frames are read in pieces.
const READ_BUFFER_BYTES: usize = 1_024;
/// Frames that wait for one socket are gathered up to here, then written.
const WRITE_BUFFER_BYTES: usize = 32 * 1_024;

/// Takes the upgrade of an HTTP request to a WebSocket.
pub(crate) async fn upgrade(
    State(state): State<GatewayState>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.protocols([SUBPROTOCOL]),
        Err(rejection) => return bad_request(&rejection.body_text()).into_response(),
    };
    if upgrade.selected_protocol().is_none() {
        let detail = format!("A WebSocket here has to ask for the subprotocol {SUBPROTOCOL}.");
        return Problem::new(Code::BadRequest, detail).into_response();
    }
    if state.sockets.len() >= state.config.sockets_max {
        return Problem::from(Code::Overloaded).into_response();
    }
    let frame_bytes_max = state.config.frame_bytes_max;
    let sockets = state.sockets.clone();
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        // Frames of the server are larger than those of a device: a batch of entries, each with a whole body.
        .max_write_buffer_size(WRITE_BUFFER_BYTES + socket::FRAME_BYTES_MAX)
        .max_message_size(frame_bytes_max)
        .max_frame_size(frame_bytes_max)
        .on_upgrade(move |socket| sockets.track_future(connection::run(socket, state)))
}
