//! Tokens of every wrong kind: refused with their code, and nothing is let in.

use crate::house::House;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lockstep_auth::Tokens;
use lockstep_engine::{Claim, EngineConfig};
use lockstep_gateway::GatewayConfig;
use lockstep_model::{Code, TokenGeneration, UnixMs};
use lockstep_session::SessionConfig;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn tokens_of_every_wrong_kind() {
    let house = House::new().await;
    let phone = house.device("ana").await;
    let good = house.token(&phone);
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = Tokens::open(elsewhere.path()).unwrap();
    let claim = lockstep_auth::Claim {
        user: phone.user.clone(),
        device: phone.id,
        token_generation: lockstep_model::TokenGeneration(0),
    };
    let foreign = foreign.issue(&claim, std::time::Duration::from_secs(60), UnixMs::now()).token;
    let (header, rest) = good.split_once('.').unwrap();
    let claims = rest.split_once('.').unwrap().0;
    let shared = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &json!({"sub": "ana", "device": phone.id, "gen": 0, "iss": "lockstep", "aud": "lockstep", "exp": u32::MAX}),
        &EncodingKey::from_secret(house.tokens.jwks().as_bytes()),
    );
    let cases = [
        (String::new(), Code::TokenInvalid),
        ("x".to_owned(), Code::TokenInvalid),
        ("x".repeat(100_000), Code::TokenInvalid),
        (good[..good.len() - 4].to_owned(), Code::TokenInvalid),
        (format!("{header}.{claims}."), Code::TokenInvalid),
        // {"alg":"none"}
        (format!("eyJhbGciOiJub25lIn0.{claims}."), Code::TokenInvalid),
        (shared.unwrap(), Code::TokenInvalid),
        (foreign, Code::TokenInvalid),
        (house.token_until(&phone, UnixMs::new(UnixMs::now().get() - 61_000)), Code::TokenExpired),
    ];
    for (token, code) in cases {
        let mut wire = house.hello(&token).await;
        assert_eq!(wire.closed().await, code, "{}", &token[..token.len().min(60)]);
    }
    assert_eq!(house.engine.connections(), 0);
    assert_eq!(house.engine.device(phone.id).await.unwrap().seen_at, None, "nobody was let in");
}

#[tokio::test]
async fn tokens_of_an_older_generation_and_of_removed_devices() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let database = house.folder.path().join("lockstep.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let raised = sqlx::query("UPDATE devices SET token_generation = 1 WHERE id = ?").bind(&ana.id.as_bytes()[..]);
    assert_eq!(raised.execute(&pool).await.unwrap().rows_affected(), 1);
    assert_eq!(house.hello(&house.token(&ana)).await.closed().await, Code::TokenRevoked);
    let claim = Claim { user: ana.user.clone(), device: ana.id, token_generation: TokenGeneration(0) };
    assert_eq!(house.engine.authorize(&claim).await, Err(Code::TokenRevoked), "for REST too");
    house.device("ben").await;
    house.engine.remove_device(ben.id).await.unwrap();
    assert_eq!(house.hello(&house.token(&ben)).await.closed().await, Code::DeviceRemoved);
}

#[tokio::test]
async fn one_more_than_the_server_takes() {
    let engine = EngineConfig { connections_max: 1, ..EngineConfig::default() };
    let house = House::with(engine, GatewayConfig::default()).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let _live = house.live(&ana).await;
    assert_eq!(house.hello(&house.token(&ben)).await.closed().await, Code::Overloaded);
}

#[tokio::test]
async fn a_fresh_token_on_an_open_connection() {
    let (age_max, fast) = (Duration::from_millis(700), 1_000_000);
    let session =
        SessionConfig { age_max, sends_per_second: fast, frames_per_second: fast, ..SessionConfig::default() };
    let house = House::with(EngineConfig::default(), GatewayConfig { session, ..GatewayConfig::default() }).await;
    let (phone, other) = (house.device("ana").await, house.device("ben").await);
    let renew = |token: &str| json!({"type": "renew", "ref": 9, "token": token});
    let mut wire = house.live(&phone).await;
    let expired = house.token_until(&phone, UnixMs::new(UnixMs::now().get() - 61_000));
    let refused = [
        "x".to_owned(),
        expired,
        house.token(&other),
        // Another device of the same user.
        house.token(&house.device("ana").await),
    ];
    for token in refused {
        wire.send(renew(&token)).await;
        let error = wire.until("error").await;
        assert_eq!((&error["code"], &error["ref"]), (&json!("renewal_refused"), &json!(9)));
        assert_eq!((&error["close"], &error["reconnect"]), (&json!(false), &json!(false)));
    }
    // A connection that is younger, and not renewed, ends before this one, which is renewed again and again.
    let mut unrenewed = house.live(&other).await;
    let mut closed = std::pin::pin!(unrenewed.closed());
    let code = loop {
        let renewed = async {
            wire.send(renew(&house.token(&phone))).await;
            assert_eq!(wire.until("done").await["ref"], 9);
        };
        tokio::select! {
            biased;
            () = renewed => {}
            code = &mut closed => break code,
        }
    };
    assert_eq!(code, Code::SessionAge);
    // The connection's token is revoked with all others of the device.
    let mut revoked = house.live(&phone).await;
    revoked.send(renew(&house.token(&phone))).await;
    revoked.until("done").await;
    house.engine.sign_out(phone.id).await.unwrap();
    let code = revoked.closed().await;
    assert!(matches!(code, Code::DeviceRemoved | Code::TokenRevoked), "{code}");
}
