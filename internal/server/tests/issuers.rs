//! Signing in by the word of an outside issuer, over real sockets.

mod support;

use lockstep_server::config::{IssuerAlgorithm, IssuerConfig};
use serde_json::json;
use support::House;
use support::accounts::{access, open, phone, post, refresh, session, try_sign_in};

#[tokio::test]
async fn an_outside_issuers_word_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let secret_file = folder.path().join("secret");
    let secret = "a secret of at least 32 characters";
    std::fs::write(&secret_file, secret).unwrap();
    std::fs::set_permissions(&secret_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let issuer = IssuerConfig {
        issuer: "https://id.example".into(),
        audience: "chat".into(),
        algorithm: IssuerAlgorithm::HS256,
        secret_file: Some(secret_file),
        jwks_file: None,
        leeway_s: 0,
        user_claim: "email".into(),
        user_prefix: String::new(),
        create_users: true,
    };
    let house = House::start_with(|config| {
        open(config);
        config.accounts.sign_up = None;
        config.accounts.issuers = vec![issuer];
    });
    let house = house.await;
    let token = |audience: &str, expires_in_s: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let claims =
            json!({"iss": "https://id.example", "aud": audience, "email": "ana@id.example", "exp": now + expires_in_s});
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let sign_in = async |token: &str| {
        post(&house, "/v1/sessions/external", &json!({"token": token, "device": {"name": "phone"}})).await
    };
    let answer = sign_in(&token("chat", 60)).await;
    assert_eq!((answer.status, &answer.json()["user"]), (201, &json!("ana@id.example")), "{answer:?}");
    let session = session(&answer);
    assert_eq!(access(&house, &session.access).await, Ok(()));
    assert_eq!(refresh(&house, &session.refresh).await.status, 200);
    sign_in(&token("chat", -1)).await.problem(401, "token_expired");
    sign_in(&token("mail", 60)).await.problem(401, "token_invalid");
    sign_in(&session.access).await.problem(401, "token_invalid");
    // The user has no password, and gets none by that.
    try_sign_in(&house, "ana@id.example", "correct horse", phone()).await.problem(401, "wrong_credentials");
    house.running.stop().await.unwrap();
}
