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
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
    let frame_bytes_max = state.config.frame_bytes_max;
    let address = request.extensions().get().map(|ClientAddress(address)| Box::new(*address));
    let run = move |socket, state, place| connection::run(socket, state, place, address);
    let places = Arc::clone(&state.places);
    begin(&state, places, &mut request, frame_bytes_max, run).unwrap_or_else(Problem::into_response)
}

/// Answers a request that is to become a WebSocket, for which `places` must have room, and lets `run` have it then.
pub(super) fn begin<F: Future<Output = ()> + Send + 'static>(
    state: &GatewayState,
    places: Arc<Semaphore>,
    request: &mut Request,
    frame_bytes_max: usize,
    run: impl FnOnce(WebSocketStream<Stream>, GatewayState, OwnedSemaphorePermit) -> F + Send + 'static,
) -> Result<Response, Problem> {
    if !state.config.origins.admit(request.uri(), request.headers()) {
        return Err(Code::OriginRefused.into());
    }
    let accept = check(request.headers())?;
    // Taken before the upgrade, so that many at once cannot pass the bound together.
    let place = places.try_acquire_owned().map_err(|_| Code::Overloaded)?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade =
        upgrade.ok_or_else(|| bad_request("This connection cannot become a WebSocket: it has to be HTTP/1.1"))?;
    let to_run = state.clone();
    state.sockets.spawn(async move {
        // The device may be gone before the answer reached it.
        let Ok(upgraded) = upgrade.await else { return };
        let stream: Stream = Gathered::new(Portioned::new(TokioIo::new(upgraded)));
        let config = socket::config(frame_bytes_max);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        // A task of its own, no larger than it needs to be.
        to_run.sockets.clone().spawn(run(socket, to_run, place));
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response())
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
