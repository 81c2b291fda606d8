//! The OpenAPI document (version 3.1) of the native doors, and a page that people can read.
//!
//! Each handler says by `utoipa::path` what it takes and answers, and in `x-codes` which codes it refuses with beyond those
//! that [`complete`] adds for what the handler takes: a token, parameters, a body. A test compares the document with the
//! routes.

mod complete;
mod page;
pub(super) mod schemas;

use super::{
    accounts, admin, conversations, devices, groups, links, messages, operations, people, reads, sessions, sign_ins,
};
use crate::problem::Wire;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lockstep",
        description = "A message sync server. Live devices speak the protocol lockstep.v1 over the WebSocket at /v1/ws; \
                       services, scripts and devices without a live connection use REST. Errors are problem details \
                       (RFC 9457) with a stable code each."
    ),
    paths(
        accounts::sign_up,
        accounts::change_password,
        sessions::sign_in,
        sessions::sign_in_external,
        sessions::refresh,
        sessions::sign_out,
        sessions::sign_out_all,
        sign_ins::poll,
        sign_ins::list,
        sign_ins::approve,
        sign_ins::refuse,
        links::ask,
        links::find,
        links::approve,
        links::refuse,
        links::claim,
        conversations::list,
        conversations::create,
        conversations::members,
        groups::show,
        groups::change,
        groups::invite,
        groups::remove,
        groups::set_role,
        groups::join,
        groups::leave,
        messages::send,
        messages::history,
        people::own_profile,
        people::change_profile,
        people::profile,
        people::profiles,
        people::contacts,
        people::put_contact,
        people::remove_contact,
        people::blocks,
        people::put_block,
        people::remove_block,
        people::change_state,
        reads::unread,
        reads::total,
        reads::read,
        reads::receipts,
        reads::settings,
        reads::change_settings,
        devices::list,
        devices::rename,
        devices::remove,
        admin::stats,
        admin::explain,
        admin::teardowns,
        admin::tear_down_all,
        admin::admin_users,
        admin::admin_user,
        admin::disable,
        admin::enable,
        admin::admin_devices,
        admin::admin_device,
        admin::tear_down,
        admin::admin_connections,
        admin::disconnect,
        admin::admin_conversation,
        admin::admin_members,
        admin::consumers,
        admin::topic,
        operations::jwks,
        operations::healthz,
        operations::readyz,
        operations::metrics,
        document,
        page,
        crate::ws::upgrade,
        crate::ws::wait
    ),
    components(schemas(Wire<'_>)),
    modifiers(&Bearers)
)]
struct Api;

/// The security schemes: tokens of devices and of services, presented alike.
struct Bearers;

impl Modify for Bearers {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearers = [
            ("device", "The access token of one device of one user."),
            (
                "service",
                "The token of a service, whose scopes say into which conversations it may publish, or that it may administer.",
            ),
        ];
        for (name, description) in bearers {
            let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
            let scheme = SecurityScheme::Http(bearer.description(Some(description)).build());
            components.add_security_scheme(name, scheme);
        }
    }
}

/// The document as JSON and as a page. It depends on the program alone, so it is made once.
static DOCUMENT: LazyLock<(String, String)> = LazyLock::new(|| {
    let mut value = serde_json::to_value(Api::openapi()).expect("the document has text keys only");
    complete::complete(&mut value);
    (value.to_string(), page::render(&value))
});

const CACHED: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));

/// `GET /v1/openapi.json`: this document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "operations",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Value)))]
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), CACHED], DOCUMENT.0.as_str())
        .into_response()
}

/// `GET /docs`: this document as a page for people.
///
/// It has no script and loads nothing.
#[utoipa::path(get, path = "/docs", tag = "operations",
    responses((status = 200, description = "A page.", body = String, content_type = "text/html")))]
pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'")),
        CACHED,
    ];
    (headers, DOCUMENT.1.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::Code;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn handlers_name_codes_of_the_table() {
        let document = serde_json::to_value(Api::openapi()).unwrap();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for name in operation["x-codes"].as_array().into_iter().flatten() {
                    assert!(name.as_str().unwrap().parse::<Code>().is_ok(), "{method} {path}: {name}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 0);
    }

    #[test]
    fn what_the_document_refers_to_is_there() {
        let document: Value = serde_json::from_str(&DOCUMENT.0).unwrap();
        let (mut ids, mut references) = (BTreeSet::new(), BTreeSet::new());
        for operation in document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap()) {
            let id = operation.1["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} stands twice");
        }
        collect_references(&document, &mut references);
        assert!(references.contains("#/components/schemas/Problem"), "{references:?}");
        for reference in references {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }

    fn collect_references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| collect_references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
            _ => {}
        }
    }
}
