//! Users who sign up and in, for the tests of accounts.

use super::{Answer, House, exchange, request};
use lockstep_server::Config;
use lockstep_server::config::SignUp;
use serde_json::{Value, json};

/// Passwords that cost little, for tests that do not measure them.
pub(crate) fn open(config: &mut Config) {
    config.accounts.sign_up = Some(SignUp::Open);
    config.accounts.password_memory_kib = 64;
    config.accounts.password_passes = 1;
    config.accounts.address_attempts = 10_000;
}

pub(crate) async fn house() -> House {
    House::start_with(open).await
}

/// Sends a JSON request without a token.
pub(crate) async fn post(house: &House, path: &str, body: &Value) -> Answer {
    let headers = ["Content-Type: application/json"];
    exchange(house.address(), &request("POST", path, &headers, &body.to_string())).await
}

pub(crate) async fn sign_up(house: &House, id: &str) {
    let answer = post(house, "/v1/users", &json!({"id": id, "password": "correct horse"})).await;
    assert_eq!((answer.status, &answer.json()["id"]), (201, &json!(id)), "{answer:?}");
}

pub(crate) async fn try_sign_in(house: &House, user: &str, password: &str, device: Value) -> Answer {
    post(house, "/v1/sessions", &json!({"user": user, "password": password, "device": device})).await
}

/// A device that is signed in.
pub(crate) struct Session {
    pub(crate) device: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

pub(crate) fn session(answer: &Answer) -> Session {
    let json = answer.json();
    let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("{name} in {answer:?}")).to_owned();
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!((&json["kind"], &json["expires_in_ms"]), (&json!("main"), &json!(900_000)));
    Session { device: text("device"), access: text("access_token"), refresh: text("refresh_token") }
}

pub(crate) async fn sign_in(house: &House, user: &str, device: Value) -> Session {
    let answer = try_sign_in(house, user, "correct horse", device).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    session(&answer)
}

pub(crate) async fn refresh(house: &House, token: &str) -> Answer {
    post(house, "/v1/sessions/refresh", &json!({"refresh_token": token})).await
}

/// Whether an access token is good, or why not.
pub(crate) async fn access(house: &House, token: &str) -> Result<(), String> {
    let answer = house.ask(token, "GET", "/v1/devices", None).await;
    match answer.status {
        200 => Ok(()),
        _ => Err(answer.json()["code"].as_str().unwrap().to_owned()),
    }
}

pub(crate) fn phone() -> Value {
    json!({"name": "phone", "platform": "android"})
}
