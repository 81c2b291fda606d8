//! What operators and other services look at, without a token.

use crate::{GatewayState, Problem};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use lockstep_model::{Code, DeviceId};
use std::time::Duration;

/// A store that answers later than this cannot serve.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// `GET /.well-known/jwks.json`: the public keys of access tokens (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json",
    responses((
        status = 200, description = "A JSON Web Key Set.", body = Value, content_type = "application/jwk-set+json")))]
pub(super) async fn jwks(State(state): State<GatewayState>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=300")];
    (headers, state.tokens.jwks().to_owned()).into_response()
}

/// `GET /healthz`: the process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "It does.", body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: new devices may come: the server is not stopping, its store takes writes and answers. A
/// second line says what is amiss nevertheless.
#[utoipa::path(get, path = "/readyz", responses((status = 200, description = "They may.", body = String)),
    extensions(("x-codes" = json!(["shutting_down", "try_again", "unavailable"]))))]
pub(super) async fn readyz(State(state): State<GatewayState>) -> Result<String, Problem> {
    if state.stopping.is_cancelled() {
        return Err(Code::ShuttingDown.into());
    }
    if !state.is_writable() {
        return Err(Problem::new(Code::TryAgain, "The server cannot store anything now; its log says why."));
    }
    // No device has this id; what counts is that the store says so.
    let nobody = state.engine.device(DeviceId::from_bytes([0; 16]));
    match tokio::time::timeout(STORE_TIMEOUT, nobody).await {
        Ok(Ok(_) | Err(Code::NoSuchDevice)) => {
            let remark = state.remark().map(|remark| remark + "\n").unwrap_or_default();
            Ok(format!("ready\n{remark}"))
        }
        Ok(Err(code)) => Err(code.into()),
        Err(_) => Err(Code::Unavailable.into()),
    }
}

/// `GET /metrics`: Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "All metrics.", body = String)))]
pub(super) async fn metrics(State(state): State<GatewayState>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.render_metrics()).into_response()
}
