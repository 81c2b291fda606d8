//! Answers in nsqd's words (nsqd 1.3.0, `internal/http_api/api_response.go`).

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// An error: its status, and `{"message": ...}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) u16, pub(crate) &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, message) = self;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::json!({ "message": message }).to_string();
        let headers = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
        in_nsqs_name((status, headers, body).into_response())
    }
}

/// Everything was taken.
pub(crate) fn ok() -> Response {
    in_nsqs_name("OK".into_response())
}

/// The answer to `/ping`, which is plain text either way.
pub(crate) fn health(is_well: bool) -> Response {
    match is_well {
        true => "OK".into_response(),
        false => (StatusCode::INTERNAL_SERVER_ERROR, "NOK - the server cannot store anything now").into_response(),
    }
}

fn in_nsqs_name(mut response: Response) -> Response {
    response.headers_mut().insert("x-nsq-content-type", HeaderValue::from_static("nsq; version=1.0"));
    response
}

pub(crate) async fn not_found() -> Refusal {
    Refusal(404, "NOT_FOUND")
}

pub(crate) async fn method_not_allowed() -> Refusal {
    Refusal(405, "METHOD_NOT_ALLOWED")
}

/// Counts requests by path and status: labels with few values, whatever the path says.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let operation = match request.uri().path() {
        "/ping" => "ping",
        "/pub" => "pub",
        "/mpub" => "mpub",
        _ => "other",
    };
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("lockstep_nsq_http_requests_total", "operation" => operation, "status" => status).increment(1);
    response
}
