//! Signing in by the word of an outside issuer, over real sockets.

mod support;

use lockstep_server::config::{IssuerAlgorithm, IssuerConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::accounts::{access, open, phone, post, refresh, session, try_sign_in};
use support::{Answer, House};
use tempfile::TempDir;

const SECRET: &str = "a secret of at least 32 characters";
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that trusts one issuer, whose secret stands in the folder.
async fn trusting(change: impl FnOnce(&mut IssuerConfig)) -> (House, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    write_secret(folder.path(), SECRET);
    let mut issuer = IssuerConfig {
        issuer: "https://id.example".into(),
        audience: "chat".into(),
        algorithm: IssuerAlgorithm::HS256,
        secret_file: Some(folder.path().join("secret")),
        jwks_file: None,
        leeway_s: 0,
        user_claim: "email".into(),
        name_claim: None,
        user_prefix: String::new(),
        create_users: true,
    };
    change(&mut issuer);
    let house = House::start_with(|config| {
        open(config);
        config.accounts.sign_up = None;
        config.accounts.issuers = vec![issuer];
    });
    (house.await, folder)
}

/// As an operator should: whole, and at once.
fn write_secret(folder: &Path, secret: &str) {
    let new = folder.join("new");
    std::fs::write(&new, secret).unwrap();
    std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::rename(new, folder.join("secret")).unwrap();
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A token with these claims beside or instead of the usual ones.
fn token_by(secret: &str, changes: &Value) -> String {
    let mut claims =
        json!({"iss": "https://id.example", "aud": "chat", "email": "ana@id.example", "exp": now_s() + 60});
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

async fn sign_in(house: &House, token: &str) -> Answer {
    post(house, "/v1/sessions/external", &json!({"token": token, "device": {"name": "phone"}})).await
}

#[tokio::test]
async fn an_outside_issuers_word_signs_in() {
    let (house, _folder) = trusting(|_| {}).await;
    let answer = sign_in(&house, &token_by(SECRET, &json!({}))).await;
    assert_eq!((answer.status, &answer.json()["user"]), (201, &json!("ana@id.example")), "{answer:?}");
    let session = session(&answer);
    assert_eq!(access(&house, &session.access).await, Ok(()));
    assert_eq!(refresh(&house, &session.refresh).await.status, 200);
    sign_in(&house, &token_by(SECRET, &json!({"aud": "mail"}))).await.problem(401, "token_invalid");
    sign_in(&house, &session.access).await.problem(401, "token_invalid");
    // The user has no password, and gets none by that.
    try_sign_in(&house, "ana@id.example", "correct horse", phone()).await.problem(401, "wrong_credentials");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_issuers_clock_may_be_off_by_the_leeway() {
    for (leeway_s, changes, expected) in [
        (0, json!({"exp": now_s() - 1}), Err("token_expired")),
        (0, json!({"nbf": now_s() + 600}), Err("token_invalid")),
        (0, json!({"iat": now_s() + 600}), Err("token_invalid")),
        (30, json!({"exp": now_s() - 1, "nbf": now_s() + 20, "iat": now_s() + 20}), Ok(())),
        (30, json!({"exp": now_s() - 40}), Err("token_expired")),
        (30, json!({"nbf": now_s() + 600}), Err("token_invalid")),
        (30, json!({"iat": now_s() + 600}), Err("token_invalid")),
        // One who comes from the past, with a token that is good for long.
        (0, json!({"iat": now_s() - 86_400, "nbf": now_s() - 86_400}), Ok(())),
    ] {
        let (house, _folder) = trusting(|issuer| issuer.leeway_s = leeway_s).await;
        let answer = sign_in(&house, &token_by(SECRET, &changes)).await;
        match expected {
            Ok(()) => assert_eq!(answer.status, 201, "{leeway_s} {changes}: {answer:?}"),
            Err(code) => drop(answer.problem(401, code)),
        }
        house.running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_issuer_says_what_people_call_the_user() {
    let (house, _folder) = trusting(|issuer| issuer.name_claim = Some("name".into())).await;
    let name = async |token: &str| house.ask(token, "GET", "/v1/profile", None).await.json()["name"].clone();
    let by = async |name: Value| {
        let answer = sign_in(&house, &token_by(SECRET, &json!({"name": name}))).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        session(&answer).access
    };
    let first = by(json!("Ana \u{1f980}")).await;
    assert_eq!(name(&first).await, "Ana \u{1f980}");
    assert_eq!(name(&by(json!("Eve")).await).await, "Ana \u{1f980}", "later ones overwrite nothing");
    let removed = house.ask(&first, "PATCH", "/v1/profile", Some(r#"{"name":null}"#)).await;
    assert_eq!((removed.status, name(&by(json!("Eve")).await).await), (200, Value::Null));
    // What is no name keeps nobody out.
    for (user, said) in [("long", json!("x".repeat(129))), ("line", json!("a\nb")), ("list", json!(["Ana"]))] {
        let answer = sign_in(&house, &token_by(SECRET, &json!({"email": user, "name": said}))).await;
        assert_eq!(name(&session(&answer).access).await, Value::Null, "{user}");
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn an_issuer_may_change_its_keys_while_the_server_runs() {
    let (house, folder) = trusting(|_| {}).await;
    let other = "another secret of more than 32 characters";
    let (by_old, by_new) = (token_by(SECRET, &json!({})), token_by(other, &json!({})));
    assert_eq!(sign_in(&house, &by_old).await.status, 201);
    sign_in(&house, &by_new).await.problem(401, "token_invalid");
    write_secret(folder.path(), other);
    let began = Instant::now();
    // The file is looked at when a token comes, every two seconds at most.
    while sign_in(&house, &by_new).await.status != 201 {
        assert!(began.elapsed() < PATIENCE, "the new secret is never taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sign_in(&house, &by_old).await.problem(401, "token_invalid");
    house.running.stop().await.unwrap();
}
