//! REST: what a service, a script or a device without a live connection may do, and what operators look at.

mod caller;
mod conversations;
mod devices;
mod measure;
mod messages;
mod operations;
mod people;
mod rates;
mod reads;

pub(crate) use rates::SendRates;

use crate::{GatewayState, Problem};
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{delete, get, patch, post, put};
use lockstep_model::Code;
use measure::measured;

/// The routes of REST, and the answers where there is none.
pub(crate) fn routes() -> Router<GatewayState> {
    let conversation = "/v1/conversations/{id}";
    Router::new()
        .route("/v1/conversations", measured("conversations", get(conversations::list).post(conversations::create)))
        .route(&format!("{conversation}/messages"), measured("messages", post(messages::send).get(messages::history)))
        .route(&format!("{conversation}/members"), measured("members", get(conversations::members)))
        .merge(people_routes())
        .merge(reads_routes())
        .route("/v1/devices", measured("devices", get(devices::list)))
        .route("/v1/devices/{id}", measured("devices", delete(devices::remove)))
        .layer(axum::middleware::map_response(not_stored))
        .route("/.well-known/jwks.json", measured("jwks", get(operations::jwks)))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
}

fn people_routes() -> Router<GatewayState> {
    let contact = put(people::put_contact).delete(people::remove_contact);
    let block = put(people::put_block).delete(people::remove_block);
    Router::new()
        .route("/v1/profile", measured("profile", get(people::own_profile).patch(people::change_profile)))
        .route("/v1/users", measured("users", get(people::profiles)))
        .route("/v1/users/{id}", measured("users", get(people::profile)))
        .route("/v1/contacts", measured("contacts", get(people::contacts)))
        .route("/v1/contacts/{user}", measured("contacts", contact))
        .route("/v1/blocks", measured("blocks", get(people::blocks)))
        .route("/v1/blocks/{user}", measured("blocks", block))
        .route("/v1/conversations/{id}/state", measured("state", patch(people::change_state)))
}

fn reads_routes() -> Router<GatewayState> {
    Router::new()
        .route("/v1/profile/settings", measured("settings", get(reads::settings).patch(reads::change_settings)))
        .route("/v1/reads", measured("reads", get(reads::unread)))
        .route("/v1/reads/total", measured("reads", get(reads::total)))
        .route("/v1/conversations/{id}/read", measured("read", put(reads::read)))
        .route("/v1/conversations/{id}/receipts", measured("receipts", get(reads::receipts)))
}

/// The answer to a path that leads nowhere.
pub async fn no_such_route() -> Problem {
    Code::NoSuchRoute.into()
}

/// The answer to a method that a path does not take.
pub async fn wrong_method() -> Problem {
    Code::MethodNotAllowed.into()
}

/// What a token opened belongs in no shared cache (RFC 9111, section 5.2.2.5).
async fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// How many items a page has: the default, and the most that may be asked for.
const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 200;

/// The `limit` parameter of every list.
fn page_size(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(PAGE_DEFAULT) {
        size @ 1..=PAGE_MAX => Ok(size),
        _ => Err(crate::http::bad_request(&format!("\"limit\" must be from 1 to {PAGE_MAX}"))),
    }
}
