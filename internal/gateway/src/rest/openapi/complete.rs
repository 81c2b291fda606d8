//! What is the same for all operations is added to the document here.

use lockstep_model::Code;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What any token may be refused with, and what any operation that asks the store may meet.
const WITH_TOKEN: [Code; 6] =
    [Code::TokenInvalid, Code::TokenExpired, Code::TokenRevoked, Code::TryAgain, Code::Unavailable, Code::Internal];
/// What any body may be refused with.
const WITH_BODY: [Code; 5] =
    [Code::BadJson, Code::BadRequest, Code::BodyTooLarge, Code::RequestTimeout, Code::UnsupportedMediaType];
/// The operations that are not counted for an address.
const WITHOUT_RATE: [&str; 2] = ["operations_healthz", "live_upgrade"];
/// The extension that lists an operation's codes.
const CODES: &str = "x-codes";

/// Completes each operation: its id, a summary without what the path says already, and an answer for each status of its
/// codes.
pub(super) fn complete(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for item in paths.values_mut() {
        let Some(operations) = item.as_object_mut() else { continue };
        for operation in operations.values_mut() {
            if let Some(operation) = operation.as_object_mut() {
                complete_operation(operation);
            }
        }
    }
}

fn complete_operation(operation: &mut Map<String, Value>) {
    let tag = operation.get("tags").and_then(|tags| tags[0].as_str()).unwrap_or_default();
    let id = format!("{tag}_{}", operation["operationId"].as_str().unwrap_or_default());
    operation.insert("operationId".to_owned(), id.into());
    if let Some(summary) = operation.get("summary").and_then(Value::as_str) {
        operation.insert("summary".to_owned(), bare(summary).into());
    }
    let codes = codes_of(operation);
    let names: Vec<_> = codes.iter().map(|code| code.name()).collect();
    if !names.is_empty() {
        operation.insert(CODES.to_owned(), json!(names));
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.spec().http).or_default().push(code);
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    for (status, codes) in by_status {
        responses[status.to_string()] = refusal(status, &codes);
    }
}

/// The codes that the operation names, and those that follow from what it takes.
fn codes_of(operation: &Map<String, Value>) -> Vec<Code> {
    let named = operation.get(CODES).and_then(Value::as_array).into_iter().flatten();
    let mut codes: Vec<Code> = named.filter_map(|name| name.as_str()?.parse().ok()).collect();
    let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    if !WITHOUT_RATE.contains(&id) {
        codes.push(Code::RateLimited);
    }
    let schemes = security_schemes(operation);
    if !schemes.is_empty() {
        codes.extend(WITH_TOKEN);
    }
    if schemes.contains("device") {
        codes.extend([Code::DeviceRemoved, Code::UserDisabled]);
        if !schemes.contains("service") {
            codes.push(Code::ServiceToken);
        }
    }
    if schemes.contains("service") && !schemes.contains("device") {
        codes.extend([Code::Forbidden, Code::OutOfScope]);
    }
    if operation.contains_key("requestBody") {
        codes.extend(WITH_BODY);
    }
    if operation.contains_key("parameters") {
        codes.push(Code::BadRequest);
    }
    codes.sort_by_key(|code| *code as usize);
    codes.dedup();
    codes
}

fn security_schemes(operation: &Map<String, Value>) -> BTreeSet<&str> {
    let alternatives = operation.get("security").and_then(Value::as_array).into_iter().flatten();
    alternatives.filter_map(Value::as_object).flat_map(Map::keys).map(String::as_str).collect()
}

/// The summaries of handlers begin with method and path in backticks, for readers of the code.
fn bare(summary: &str) -> String {
    let rest = match summary.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        Some((_, rest)) => rest.trim_start_matches([':', ',', ' ']),
        None => summary,
    };
    let mut letters = rest.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// An answer with one of some codes, which share a status.
fn refusal(status: u16, codes: &[Code]) -> Value {
    let lines = codes.iter().map(|code| format!("- `{}`: {}", code.name(), code.spec().sentence));
    let names: Vec<_> = codes.iter().map(|code| code.name()).collect();
    let problem = json!({"allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {"type": "object", "properties": {"code": {"type": "string", "enum": names}}},
    ]});
    let mut answer = json!({
        "description": lines.collect::<Vec<_>>().join("\n"),
        "content": {"application/problem+json": {"schema": problem}},
    });
    let header = match status {
        401 => ("WWW-Authenticate", "The challenge (RFC 6750, section 3).", "string"),
        429 | 503 => ("Retry-After", "Seconds after which the same request may succeed, if that is known.", "integer"),
        _ => return answer,
    };
    let (name, description, kind) = header;
    answer["headers"] = json!({name: {"description": description, "schema": {"type": kind}}});
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_do_not_repeat_the_path() {
        let cases = [
            ("`GET /x`: those that are there.", "Those that are there."),
            ("`GET /x/{id}`, in order.", "In order."),
            ("Says `this`.", "Says `this`."),
            ("", ""),
        ];
        for (summary, expected) in cases {
            assert_eq!(bare(summary), expected);
        }
    }

    #[test]
    fn codes_follow_from_what_an_operation_takes() {
        let cases = [
            (json!({}), "rate_limited"),
            (json!({"tags": ["operations"], "operationId": "operations_readyz"}), "rate_limited"),
            (json!({"tags": ["operations"], "operationId": "operations_healthz"}), ""),
            (json!({"x-codes": ["forbidden"]}), "rate_limited forbidden"),
            (json!({"parameters": []}), "rate_limited bad_request"),
            (
                json!({"requestBody": {}}),
                "rate_limited body_too_large bad_json bad_request request_timeout unsupported_media_type",
            ),
            (
                json!({"security": [{"device": []}]}),
                "rate_limited token_invalid token_expired token_revoked service_token device_removed user_disabled try_again \
                 unavailable internal",
            ),
            (
                json!({"security": [{"service": ["admin"]}]}),
                "rate_limited token_invalid token_expired token_revoked forbidden out_of_scope try_again unavailable internal",
            ),
            (
                json!({"security": [{"device": []}, {"service": []}]}),
                "rate_limited token_invalid token_expired token_revoked device_removed user_disabled try_again unavailable \
                 internal",
            ),
        ];
        for (operation, expected) in cases {
            let found: BTreeSet<_> = codes_of(operation.as_object().unwrap()).into_iter().map(Code::name).collect();
            assert_eq!(found, expected.split_whitespace().collect(), "{operation}");
        }
    }
}
