//! REST: what a service, a script or a device without a live connection may do, and what operators look at.

mod accounts;
pub(crate) mod admin;
mod attempts;
mod caller;
mod conversations;
mod devices;
mod groups;
mod links;
mod measure;
mod messages;
mod openapi;
mod operations;
mod people;
mod rates;
mod reads;
mod requests;
mod routes;
mod sessions;
mod sign_ins;

pub(crate) use attempts::Attempts;
pub(crate) use links::{LinkOutcome, poll_link};
pub use rates::Rate;
pub(crate) use rates::Rates;
pub use requests::RequestRates;
pub(crate) use requests::Requests;

use crate::{GatewayState, Problem, client_address};
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{delete, get, patch, post, put};
use axum::{Extension, Router};
use lockstep_model::Code;
use measure::measured;
use routes::Routes;

/// The router of REST and of the WebSocket.
pub(crate) fn router(state: &GatewayState) -> Router<GatewayState> {
    let proxies = state.config.trusted_proxies.clone();
    let limited = from_fn_with_state(state.clone(), requests::limit_address);
    let router = with_token()
        .layer(limited.clone())
        .layer(map_response(not_stored))
        .merge(open().layer(limited))
        .merge(uncounted())
        .layer(from_fn_with_state(proxies, client_address::found))
        .into_router()
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method);
    match state.config.origins.cors() {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// The paths of all routes.
pub(crate) fn paths() -> Vec<String> {
    with_token().merge(open()).merge(uncounted()).paths()
}

/// What takes a token, or gives one.
fn with_token() -> Routes<GatewayState> {
    let conversation = "/v1/conversations/{id}";
    Routes::new()
        .route("/v1/conversations", measured("conversations", get(conversations::list).post(conversations::create)))
        .route(&format!("{conversation}/messages"), measured("messages", post(messages::send).get(messages::history)))
        .merge(people_routes())
        .merge(reads_routes())
        .route(conversation, measured("conversation", get(groups::show).patch(groups::change)))
        .route(
            &format!("{conversation}/members"),
            measured("members", get(conversations::members).post(groups::invite)),
        )
        .route(
            &format!("{conversation}/members/{{user}}"),
            measured("member", delete(groups::remove).patch(groups::set_role)),
        )
        .route(&format!("{conversation}/join"), measured("join", post(groups::join)))
        .route(&format!("{conversation}/leave"), measured("leave", post(groups::leave)))
        .route("/v1/devices", measured("devices", get(devices::list)))
        .route("/v1/devices/{id}", measured("devices", delete(devices::remove).patch(devices::rename)))
        .merge(accounts())
        .merge(links_routes())
        .merge(admin::routes())
}

/// What administrators do, for whoever can open the admin socket.
pub(crate) fn admin_router() -> Router<GatewayState> {
    admin::routes().layer(Extension(admin::OverSocket)).into_router()
}

/// What is open to all: what operators and programmers look at.
fn open() -> Routes<GatewayState> {
    Routes::new()
        .route("/.well-known/jwks.json", measured("jwks", get(operations::jwks)))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
}

/// What is not counted for an address: the WebSocket, which asks for its token itself and has rates of its own; and whether
/// the process lives, which costs nothing and must not look like death when others ask too much.
fn uncounted() -> Routes<GatewayState> {
    Routes::new()
        .route("/healthz", get(operations::healthz))
        .route("/v1/ws", measured("websocket", get(crate::ws::upgrade)))
}

fn people_routes() -> Routes<GatewayState> {
    let contact = put(people::put_contact).delete(people::remove_contact);
    let block = put(people::put_block).delete(people::remove_block);
    Routes::new()
        .route("/v1/profile", measured("profile", get(people::own_profile).patch(people::change_profile)))
        .route("/v1/users", measured("users", get(people::profiles)))
        .route("/v1/users/{id}", measured("users", get(people::profile)))
        .route("/v1/contacts", measured("contacts", get(people::contacts)))
        .route("/v1/contacts/{user}", measured("contacts", contact))
        .route("/v1/blocks", measured("blocks", get(people::blocks)))
        .route("/v1/blocks/{user}", measured("blocks", block))
        .route("/v1/conversations/{id}/state", measured("state", patch(people::change_state)))
}

fn reads_routes() -> Routes<GatewayState> {
    Routes::new()
        .route("/v1/profile/settings", measured("settings", get(reads::settings).patch(reads::change_settings)))
        .route("/v1/reads", measured("reads", get(reads::unread)))
        .route("/v1/reads/total", measured("reads", get(reads::total)))
        .route("/v1/conversations/{id}/read", measured("read", put(reads::read)))
        .route("/v1/conversations/{id}/receipts", measured("receipts", get(reads::receipts)))
}

/// Devices that ask to be linked. Their WebSocket is counted for an address like a request: it begins with a secret that might
/// be guessed.
fn links_routes() -> Routes<GatewayState> {
    let link = "/v1/links/{id}";
    Routes::new()
        .route("/v1/links", measured("links", post(links::ask)))
        .route("/v1/links/find", measured("links", post(links::find)))
        .route(&format!("{link}/approve"), measured("links", post(links::approve)))
        .route(&format!("{link}/refuse"), measured("links", post(links::refuse)))
        .route(&format!("{link}/claim"), measured("links", post(links::claim)))
        .route(&format!("{link}/wait"), measured("link_wait", get(crate::ws::wait)))
}

/// Accounts and sessions.
fn accounts() -> Routes<GatewayState> {
    let sign_in = "/v1/sign-ins/{id}";
    Routes::new()
        .route("/v1/users", measured("users", post(accounts::sign_up)))
        .route("/v1/profile/password", measured("password", put(accounts::change_password)))
        .route("/v1/sessions", measured("sessions", post(sessions::sign_in).delete(sessions::sign_out_all)))
        .route("/v1/sessions/external", measured("sessions", post(sessions::sign_in_external)))
        .route("/v1/sessions/refresh", measured("sessions", post(sessions::refresh)))
        .route("/v1/sessions/current", measured("sessions", delete(sessions::sign_out)))
        .route("/v1/sign-ins", measured("sign_ins", get(sign_ins::list)))
        .route(sign_in, measured("sign_ins", post(sign_ins::poll)))
        .route(&format!("{sign_in}/approve"), measured("sign_ins", post(sign_ins::approve)))
        .route(&format!("{sign_in}/refuse"), measured("sign_ins", post(sign_ins::refuse)))
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
