//! From an HTTP request to a WebSocket (RFC 6455, section 4.2).

use super::gathered::Gathered;
use super::portioned::Portioned;
use super::socket::Stream;
use super::{connection, socket};
use crate::client_address::ClientAddress;
use crate::{GatewayState, Problem, bad_request};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use lockstep_model::Code;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// The subprotocol (RFC 6455, section 1.9) that a device has to ask for.
const SUBPROTOCOL: &str = "lockstep.v1";

/// `GET /v1/ws`: becomes a WebSocket that speaks lockstep.v1. The connection's task begins once the answer has left.
///
/// The token is in the first frame, not in this request.
#[utoipa::path(get, path = "/v1/ws", tag = "live",
    responses((status = 101, description = "Frames of lockstep.v1 follow.")),
    extensions(("x-codes" = json!(["bad_request", "origin_refused", "overloaded"]))))]
pub(crate) async fn upgrade(State(state): State<GatewayState>, mut request: Request) -> Response {
    if !state.config.origins.admit(request.uri(), request.headers()) {
        return Problem::from(Code::OriginRefused).into_response();
    }
    let accept = match check(request.headers()) {
        Ok(accept) => accept,
        Err(problem) => return problem.into_response(),
    };
    // Taken before the upgrade, so that many at once cannot pass the bound together.
    let Ok(place) = Arc::clone(&state.places).try_acquire_owned() else {
        return Problem::from(Code::Overloaded).into_response();
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return bad_request("This connection cannot become a WebSocket: it has to be HTTP/1.1").into_response();
    };
    let address = request.extensions().get().map(|ClientAddress(address)| Box::new(*address));
    state.sockets.clone().spawn(begin(upgrade, state, place, address));
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

/// Waits for the switch. The connection then has a task of its own, no larger than it needs to be.
async fn begin(upgrade: OnUpgrade, state: GatewayState, place: OwnedSemaphorePermit, address: Option<Box<IpAddr>>) {
    // The device may be gone before the answer reached it.
    let Ok(upgraded) = upgrade.await else { return };
    let stream: Stream = Gathered::new(Portioned::new(TokioIo::new(upgraded)));
    let config = socket::config(state.config.frame_bytes_max);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    state.sockets.clone().spawn(connection::run(socket, state, place, address));
}

/// Checks what a request has to say, and computes the answer to its key.
fn check(headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    if !names(headers, &header::CONNECTION, "upgrade") || !names(headers, &header::UPGRADE, "websocket") {
        return Err(bad_request("This path takes WebSockets: \"Connection: upgrade\" and \"Upgrade: websocket\""));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(bad_request("The WebSocket's version has to be 13"));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(bad_request("The header Sec-WebSocket-Key is missing"));
    };
    if !names(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(bad_request(&format!("A WebSocket here has to ask for the subprotocol {SUBPROTOCOL}")));
    }
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| Code::Internal.into())
}

/// Whether a header's comma-separated list has a token, in any case.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}
