//! What passwords cost over the life of a server: raised costs, and who is hurried by them.

mod support;

use lockstep_server::Config;
use lockstep_server::admin::AdminClient;
use lockstep_server::config::NewMain;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};
use std::path::Path;
use support::accounts::{house, open, phone, post, refresh, session, sign_in, sign_up, try_sign_in};
use support::{House, config, serve};

/// Starts a server anew on the folder of another.
async fn again(house: House, change: impl FnOnce(&mut Config)) -> House {
    let House { folder, running, .. } = house;
    running.stop().await.unwrap();
    let running = serve(config(&folder, |config| {
        open(config);
        change(config);
    }));
    let running = running.await;
    let admin = AdminClient::new(running.data());
    House { folder, running, admin }
}

fn raised(config: &mut Config) {
    (config.accounts.password_memory_kib, config.accounts.password_passes) = (256, 3);
}

/// The stored hash's costs, and its salt.
async fn stored(data: &Path, user: &str) -> (String, String) {
    let options = SqliteConnectOptions::new().filename(data.join("lockstep.db")).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let found = sqlx::query("SELECT password_hash FROM users WHERE id = ?").bind(user.to_owned());
    let hash: String = found.fetch_one(&mut connection).await.unwrap().get(0);
    let fields: Vec<_> = hash.split('$').collect();
    assert_eq!(fields[1..3], ["argon2id", "v=19"], "{hash}");
    (fields[3].to_owned(), fields[4].to_owned())
}

#[tokio::test]
async fn raised_costs_reach_a_password_with_its_next_sign_in() {
    let house = house().await;
    sign_up(&house, "ana").await;
    sign_up(&house, "ben").await;
    let first = sign_in(&house, "ana", phone()).await;
    let before = stored(house.running.data(), "ana").await;
    assert_eq!(before.0, "m=64,t=1,p=1");
    let house = again(house, raised).await;
    try_sign_in(&house, "ana", "wrong password", phone()).await.problem(401, "wrong_credentials");
    assert_eq!(stored(house.running.data(), "ana").await, before, "a wrong password changes nothing");
    sign_in(&house, "ana", phone()).await;
    let renewed = stored(house.running.data(), "ana").await;
    assert_eq!(renewed, ("m=256,t=3,p=1".to_owned(), before.1));
    assert_eq!(stored(house.running.data(), "ben").await.0, "m=64,t=1,p=1", "he has not signed in");
    assert_eq!(refresh(&house, &first.refresh).await.status, 200, "nobody is signed out");
    sign_in(&house, "ana", phone()).await;
    assert_eq!(stored(house.running.data(), "ana").await, renewed);
    try_sign_in(&house, "ana", "wrong password", phone()).await.problem(401, "wrong_credentials");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn many_sign_ins_at_once_renew_a_password_together() {
    let house = house().await;
    sign_up(&house, "ana").await;
    let house = again(house, raised).await;
    let right = || try_sign_in(&house, "ana", "correct horse", phone());
    let answers = tokio::join!(right(), right(), right(), right(), right(), right(), right(), right());
    assert_eq!(<[_; 8]>::from(answers).map(|answer| answer.status), [201; 8], "no proof is lost by another's renewal");
    assert_eq!(stored(house.running.data(), "ana").await.0, "m=256,t=3,p=1");
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_sign_in_that_waits_outlives_a_renewal() {
    let house = house().await;
    sign_up(&house, "ana").await;
    let main = sign_in(&house, "ana", phone()).await;
    let main = session(&refresh(&house, &main.refresh).await);
    // The first of the two that wait renews the password, so that both are waited for with the hash of before.
    let house = again(house, |config| {
        raised(config);
        config.accounts.new_main = NewMain::Confirm;
    });
    let house = house.await;
    let ask = || try_sign_in(&house, "ana", "correct horse", json!({"name": "pad"}));
    let (one, other) = tokio::join!(ask(), ask());
    assert_eq!(stored(house.running.data(), "ana").await.0, "m=256,t=3,p=1");
    for waiting in [one, other] {
        assert_eq!(waiting.status, 202, "{waiting:?}");
        let path = format!("/v1/sign-ins/{}", waiting.json()["id"].as_str().unwrap());
        let approved = house.ask(&main.access, "POST", &format!("{path}/approve"), None).await;
        assert_eq!(approved.status, 204, "{approved:?}");
        let secret = json!({"secret": waiting.json()["secret"]});
        assert_eq!(post(&house, &path, &secret).await.status, 201);
    }
    house.running.stop().await.unwrap();
}
