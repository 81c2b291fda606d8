//! REST over real sockets: every wrong request with its code and sentence.

mod support;

use serde_json::json;
use support::scene::{Scene, text};
use support::{exchange, request};

#[tokio::test]
async fn wrong_requests_are_answered_with_code_and_sentence() {
    let scene = Scene::set().await;
    let messages = format!("/v1/conversations/{}/messages", scene.direct);
    let (bens_messages, bens_members) =
        (format!("/v1/conversations/{}/messages", scene.bens), format!("/v1/conversations/{}/members", scene.bens));
    let json = "Content-Type: application/json";
    let auth = &*format!("Authorization: Bearer {}", scene.ana);
    let key = "Idempotency-Key: key";
    let long_key = &*format!("Idempotency-Key: {}", "k".repeat(65));
    let deep = format!(r#"{{"body":{{"type":"x","v":{}{}}}}}"#, "[".repeat(40), "]".repeat(40));
    let large = json!({"body": {"type": "x", "v": "a".repeat(70_000)}}).to_string();
    let crowd = json!({"kind": "group", "members": vec!["ben"; 1_001]}).to_string();
    let wrong = |method: &str, path: &str, headers: &[&str], body: &str, status: u16, code, words| {
        let what = format!("{method} {path} {headers:?} {}", &body[..body.len().min(60)]);
        (what, request(method, path, headers, body), status, code, words)
    };
    let cases: Vec<(String, String, u16, &str, &str)> = vec![
        // Where.
        wrong("GET", "/", &[], "", 404, "no_such_route", "nothing at this path"),
        wrong("GET", "/v1/nothing", &[auth], "", 404, "no_such_route", "nothing at this path"),
        wrong("PUT", "/v1/devices", &[auth], "", 405, "method_not_allowed", "does not take this method"),
        wrong("DELETE", "/healthz", &[], "", 405, "method_not_allowed", "does not take this method"),
        // Who.
        wrong("GET", "/v1/devices", &[], "", 401, "token_invalid", "Send the header \"Authorization: Bearer\""),
        wrong(
            "GET",
            "/v1/devices",
            &["Authorization: Basic YTpi"],
            "",
            401,
            "token_invalid",
            "\"Bearer\", a space, the token",
        ),
        wrong(
            "GET",
            "/v1/devices",
            &["Authorization: Bearer"],
            "",
            401,
            "token_invalid",
            "\"Bearer\", a space, the token",
        ),
        wrong("GET", "/v1/devices", &[auth, auth], "", 401, "token_invalid", "one Authorization header"),
        wrong(
            "GET",
            "/v1/devices",
            &["Authorization: Bearer secret"],
            "",
            401,
            "token_invalid",
            "not one of this server's",
        ),
        // Which conversation.
        wrong(
            "GET",
            "/v1/conversations/x/messages",
            &[auth],
            "",
            400,
            "bad_request",
            "In the path, a conversation id must be a UUID",
        ),
        wrong(
            "GET",
            "/v1/conversations/%FF/members",
            &[auth],
            "",
            400,
            "bad_request",
            "The id in the path is not UTF-8",
        ),
        wrong("DELETE", "/v1/devices/x", &[auth], "", 400, "bad_request", "In the path, a device id must be a UUID"),
        wrong("GET", &bens_messages, &[auth], "", 404, "no_such_conversation", "not a member"),
        wrong("GET", &bens_members, &[auth], "", 404, "no_such_conversation", "not a member"),
        wrong("POST", &bens_messages, &[auth, key, json], &text("x"), 404, "no_such_conversation", "not a member"),
        // Parameters.
        wrong(
            "GET",
            &format!("{messages}?limit=0"),
            &[auth],
            "",
            400,
            "bad_request",
            "\"limit\" must be from 1 to 200",
        ),
        wrong(
            "GET",
            &format!("{messages}?limit=201"),
            &[auth],
            "",
            400,
            "bad_request",
            "\"limit\" must be from 1 to 200",
        ),
        wrong("GET", &format!("{messages}?limit=x"), &[auth], "", 400, "bad_request", "limit: invalid digit"),
        wrong("GET", &format!("{messages}?before=-1"), &[auth], "", 400, "bad_request", "before: invalid digit"),
        wrong(
            "GET",
            &format!("{messages}?before=1&after=1"),
            &[auth],
            "",
            400,
            "bad_request",
            "\"before\" or \"after\", not both",
        ),
        wrong("GET", "/v1/conversations?cursor=x", &[auth], "", 400, "bad_request", "\"cursor\" must be the \"next\""),
        // Bodies.
        wrong(
            "POST",
            &messages,
            &[auth, key],
            &text("x"),
            415,
            "unsupported_media_type",
            "Content-Type: application/json",
        ),
        wrong(
            "POST",
            &messages,
            &[auth, key, "Content-Type: text/plain"],
            &text("x"),
            415,
            "unsupported_media_type",
            "Content-Type",
        ),
        wrong("POST", &messages, &[auth, key, json], "", 400, "bad_json", "EOF while parsing"),
        wrong("POST", &messages, &[auth, key, json], "{\"body\":", 400, "bad_json", "EOF while parsing"),
        wrong("POST", &messages, &[auth, key, json], "{}", 400, "bad_request", "missing field `body`"),
        wrong(
            "POST",
            &messages,
            &[auth, key, json],
            r#"{"body":"secret"}"#,
            400,
            "bad_body",
            "JSON object with a \"type\"",
        ),
        wrong(
            "POST",
            &messages,
            &[auth, key, json],
            r#"{"body":{"text":"secret"}}"#,
            400,
            "bad_body",
            "JSON object with a \"type\"",
        ),
        wrong("POST", &messages, &[auth, key, json], &deep, 400, "bad_body", "more than 32 levels deep"),
        wrong("POST", &messages, &[auth, key, json], &large, 413, "body_too_large", "at most 65536 are allowed"),
        // Names.
        wrong("POST", &messages, &[auth, json], &text("x"), 400, "bad_request", "Send one Idempotency-Key header"),
        wrong(
            "POST",
            &messages,
            &[auth, key, key, json],
            &text("x"),
            400,
            "bad_request",
            "Send one Idempotency-Key header",
        ),
        wrong(
            "POST",
            &messages,
            &[auth, long_key, json],
            &text("x"),
            400,
            "bad_request",
            "must have 1 to 64 characters",
        ),
        // New conversations.
        wrong(
            "POST",
            "/v1/conversations",
            &[auth, json],
            r#"{"user":"ben"}"#,
            400,
            "bad_request",
            "missing field `kind`",
        ),
        wrong(
            "POST",
            "/v1/conversations",
            &[auth, json],
            r#"{"kind":"secret"}"#,
            400,
            "bad_request",
            "one of `group`, `room`, `direct`",
        ),
        wrong(
            "POST",
            "/v1/conversations",
            &[auth, json],
            r#"{"kind":"direct","user":"service:x"}"#,
            400,
            "bad_request",
            "a user id must not begin",
        ),
        wrong(
            "POST",
            "/v1/conversations",
            &[auth, json],
            r#"{"kind":"direct","user":"nobody"}"#,
            404,
            "no_such_user",
            "no such user",
        ),
        wrong(
            "POST",
            "/v1/conversations",
            &[auth, json],
            r#"{"kind":"group","members":["nobody"]}"#,
            404,
            "no_such_user",
            "no such user",
        ),
        wrong(
            "POST",
            "/v1/conversations",
            &[auth, json],
            r#"{"kind":"group","members":[],"title":""}"#,
            400,
            "bad_request",
            "\"title\" must have 1 to 128",
        ),
        wrong("POST", "/v1/conversations", &[auth, json], &crowd, 400, "bad_request", "may name at most 1000 users"),
    ];
    for (what, request, status, code, words) in cases {
        let answer = exchange(scene.house.address(), &request).await;
        let sentence = answer.problem(status, code);
        assert!(sentence.contains(words), "{what}: {sentence}");
        assert!(!answer.body.contains("secret"), "{what}: {answer:?}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{what}: {answer:?}");
    }
    scene.end().await;
}
