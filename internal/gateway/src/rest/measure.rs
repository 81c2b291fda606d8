//! Counts requests and their times, by operation and status: labels with few values, whatever the path says.

use crate::client_address::ClientAddress;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::MethodRouter;
use std::convert::Infallible;
use std::time::Instant;

/// Measures all methods of a path under the name of an operation.
pub(super) fn measured<S>(operation: &'static str, routes: MethodRouter<S, Infallible>) -> MethodRouter<S, Infallible>
where
    S: Clone + Send + Sync + 'static,
{
    routes.layer(from_fn_with_state(operation, measure))
}

async fn measure(State(operation): State<&'static str>, request: Request, next: Next) -> Response {
    let method = known_method(&request);
    let client = request.extensions().get().map(|ClientAddress(address)| *address);
    let started = Instant::now();
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    tracing::debug!(operation, method, status, ?client, ?took, "a request was answered");
    let status = status.to_string();
    let labels = [("operation", operation.to_owned()), ("method", method.to_owned()), ("status", status)];
    metrics::counter!("lockstep_http_requests_total", &labels).increment(1);
    metrics::histogram!("lockstep_http_request_seconds", "operation" => operation, "method" => method).record(took);
    response
}

/// A method is whatever the client wrote; only those that some route takes become a label.
fn known_method(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        _ => "other",
    }
}
