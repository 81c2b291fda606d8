//! Profiles, contacts, blocks and states of conversations by REST.

mod support;

use lockstep_model::limits;
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use support::scene::{Scene, text};
use support::{Answer, House};

async fn ask(scene: &Scene, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then(|| body.to_string());
    scene.house.ask(token, method, path, body.as_deref()).await
}

/// The bodies of the caller's feed that are of one type.
async fn told(scene: &Scene, user: &str, token: &str, kind: &str) -> Vec<Value> {
    let feed = scene.house.admin.ensure_user(user).await.unwrap().feed;
    let page = scene.get(token, &format!("/v1/conversations/{feed}/messages?limit=200")).await;
    let bodies = page["entries"].as_array().unwrap().iter().map(|entry| entry["body"].clone());
    bodies.filter(|body| body["type"] == kind).collect()
}

#[tokio::test]
async fn a_profile_is_changed_and_seen_by_others() {
    let scene = Scene::set().await;
    let empty = json!({"id": "ana", "name": null, "avatar": null, "custom": {}});
    assert_eq!(scene.get(&scene.ana, "/v1/profile").await, empty);
    let steps = [
        (json!({"name": "Ana \u{202e}\u{1f980}"}), json!({"name": "Ana \u{202e}\u{1f980}"})),
        (
            json!({"avatar": "https://example.org/a.png", "custom": {"b": 1, "a": [null]}}),
            json!({"avatar": "https://example.org/a.png", "custom": {"b": 1, "a": [null]}}),
        ),
        (json!({}), json!({})),
        (json!({"name": null, "custom": null, "colour": "red"}), json!({"name": null, "custom": {}})),
    ];
    let mut expected = empty;
    for (change, changed) in steps {
        let answer = ask(&scene, &scene.ana, "PATCH", "/v1/profile", change.clone()).await;
        expected.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{change}");
        assert_eq!(scene.get(&scene.ben, "/v1/users/ana").await, expected);
    }
    assert_eq!(told(&scene, "ana", &scene.ana, "profile_changed").await.len(), 3);
    assert!(told(&scene, "ben", &scene.ben, "profile_changed").await.is_empty(), "ben reads it when he needs it");
    let many = scene.get(&scene.ben, "/v1/users?ids=ben,nobody,ana").await;
    let ids: Vec<_> = many["users"].as_array().unwrap().iter().map(|user| user["id"].clone()).collect();
    assert_eq!(ids, [json!("ben"), json!("ana")]);
    scene.end().await;
}

#[tokio::test]
async fn what_does_not_fit_a_profile_is_refused_by_name() {
    let scene = Scene::set().await;
    let large = "x".repeat(limits::PROFILE_CUSTOM_BYTES_MAX);
    for (change, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": "x".repeat(129)}), "name"),
        (json!({"avatar": "ftp://x/y"}), "avatar"),
        (json!({"avatar": "javascript:alert(1)"}), "avatar"),
        (json!({"avatar": format!("https://x/{}", "y".repeat(2_048))}), "avatar"),
        (json!({"custom": []}), "custom"),
        (json!({"custom": "x"}), "custom"),
        (json!({"custom": {"x": large}}), "custom"),
    ] {
        let refused = ask(&scene, &scene.ana, "PATCH", "/v1/profile", change).await;
        let sentence = refused.problem(400, "bad_request");
        assert!(sentence.contains(&format!("\"{field}\"")), "{sentence}");
    }
    let ids = vec!["ana"; limits::USERS_PER_REQUEST_MAX + 1].join(",");
    for query in ["", "?ids=", "?ids=service:x", &format!("?ids={ids}")] {
        ask(&scene, &scene.ana, "GET", &format!("/v1/users{query}"), Value::Null).await.problem(400, "bad_request");
    }
    ask(&scene, &scene.ana, "GET", "/v1/users/nobody", Value::Null).await.problem(404, "no_such_user");
    scene.end().await;
}

#[tokio::test]
async fn contacts_are_kept_in_pages() {
    let scene = Scene::set().await;
    for name in ["cem", "dan", "eve"] {
        scene.house.admin.ensure_user(name).await.unwrap();
        let put = ask(&scene, &scene.ana, "PUT", &format!("/v1/contacts/{name}"), json!({})).await;
        assert_eq!((put.status, &put.json()["user"], &put.json()["name"]), (200, &json!(name), &Value::Null));
    }
    let named = ask(&scene, &scene.ana, "PUT", "/v1/contacts/dan", json!({"name": "Danny"})).await;
    assert_eq!(named.json()["name"], "Danny");
    let first = scene.get(&scene.laptop, "/v1/contacts?limit=2").await;
    assert_eq!((&first["contacts"][1]["name"], &first["next"]), (&json!("Danny"), &json!("dan")));
    let second = scene.get(&scene.ana, "/v1/contacts?limit=2&cursor=dan").await;
    assert_eq!((&second["contacts"][0]["user"], &second["next"]), (&json!("eve"), &Value::Null));
    for _ in 0..2 {
        assert_eq!(ask(&scene, &scene.ana, "DELETE", "/v1/contacts/dan", Value::Null).await.status, 204);
    }
    let told = told(&scene, "ana", &scene.ana, "contact_changed").await;
    let short: Vec<_> = told.iter().map(|body| (&body["user"], &body["contact"], &body["name"])).collect();
    assert_eq!(
        short[3..],
        [(&json!("dan"), &json!(true), &json!("Danny")), (&json!("dan"), &json!(false), &Value::Null),]
    );
    assert!(scene.get(&scene.ben, "/v1/contacts").await["contacts"].as_array().unwrap().is_empty());
    for (user, status, code) in
        [("nobody", 404, "no_such_user"), ("ana", 404, "no_such_user"), ("service:x", 400, "bad_request")]
    {
        ask(&scene, &scene.ana, "PUT", &format!("/v1/contacts/{user}"), json!({})).await.problem(status, code);
    }
    let refused = ask(&scene, &scene.ana, "PUT", "/v1/contacts/ben", json!({"name": "a\tb"})).await;
    assert!(refused.problem(400, "bad_request").contains("\"name\""));
    scene.end().await;
}

#[tokio::test]
async fn a_block_stops_direct_messages_both_ways() {
    let scene = Scene::set().await;
    let send = async |token: &str, key: &str| {
        let (path, key) = (format!("/v1/conversations/{}/messages", scene.direct), format!("Idempotency-Key: {key}"));
        scene.house.ask_with(token, "POST", &path, &[&key], Some(&text("hi"))).await
    };
    assert_eq!(send(&scene.ben, "early").await.status, 201);
    for _ in 0..2 {
        let put = ask(&scene, &scene.ana, "PUT", "/v1/blocks/ben", Value::Null).await;
        assert_eq!((put.status, &put.json()["user"]), (200, &json!("ben")));
    }
    let sentences =
        [send(&scene.ana, "a1").await, send(&scene.ben, "b1").await].map(|sent| sent.problem(403, "blocked"));
    assert_eq!(sentences[0], sentences[1], "neither is told who blocked");
    assert_eq!(send(&scene.ben, "early").await.status, 200, "a resend is answered");
    let blocks = scene.get(&scene.laptop, "/v1/blocks").await;
    assert_eq!((&blocks["blocks"][0]["user"], &blocks["next"]), (&json!("ben"), &Value::Null));
    assert!(scene.get(&scene.ben, "/v1/blocks").await["blocks"].as_array().unwrap().is_empty());
    for _ in 0..2 {
        assert_eq!(ask(&scene, &scene.ana, "DELETE", "/v1/blocks/ben", Value::Null).await.status, 204);
    }
    assert_eq!(send(&scene.ben, "b1").await.status, 201);
    // One who has never been written to.
    let eve = scene.house.token("eve", "phone", "main").await;
    ask(&scene, &scene.ana, "PUT", "/v1/blocks/eve", Value::Null).await;
    for (token, user) in [(&scene.ana, "eve"), (&eve, "ana")] {
        let made = ask(&scene, token, "POST", "/v1/conversations", json!({"kind": "direct", "user": user})).await;
        made.problem(403, "blocked");
    }
    let told = told(&scene, "ana", &scene.ana, "block_changed").await;
    let short: Vec<_> = told.iter().map(|body| (&body["user"], &body["blocked"])).collect();
    assert_eq!(short, [(&json!("ben"), &json!(true)), (&json!("ben"), &json!(false)), (&json!("eve"), &json!(true))]);
    ask(&scene, &scene.ana, "PUT", "/v1/blocks/nobody", Value::Null).await.problem(404, "no_such_user");
    scene.end().await;
}

#[tokio::test]
async fn more_contacts_than_a_user_may_have_are_refused() {
    let house = House::start().await;
    let (ana, _) = (house.token("ana", "phone", "main").await, house.token("ben", "phone", "main").await);
    let database = house.running.data().join("lockstep.db");
    let options = SqliteConnectOptions::new().filename(database).foreign_keys(false);
    let mut connection = options.connect().await.unwrap();
    let fill = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
         INSERT INTO contacts (owner, user, created_at) SELECT 'ana', 'u' || i, 0 FROM n";
    sqlx::query(fill).bind(limits::CONTACTS_MAX as i64).execute(&mut connection).await.unwrap();
    house.ask(&ana, "PUT", "/v1/contacts/ben", Some("{}")).await.problem(409, "too_many_contacts");
    assert_eq!(house.ask(&ana, "DELETE", "/v1/contacts/u7", None).await.status, 204);
    assert_eq!(house.ask(&ana, "PUT", "/v1/contacts/ben", Some("{}")).await.status, 200);
    // One that is there may be given another name.
    assert_eq!(house.ask(&ana, "PUT", "/v1/contacts/ben", Some(r#"{"name":"Benny"}"#)).await.status, 200);
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn the_state_of_a_conversation_is_kept_and_listed() {
    let scene = Scene::set().await;
    for number in 1..=3 {
        assert_eq!(scene.send(&format!("k{number}"), &text("hello")).await.status, 201);
    }
    let path = format!("/v1/conversations/{}/state", scene.direct);
    let default =
        json!({"pinned": false, "archived": false, "muted_until": 0, "marked_unread": false, "delete_before": 0});
    let listed = async |token: &str| {
        let list = scene.get(token, "/v1/conversations").await;
        let of_direct = list["conversations"].as_array().unwrap().iter().find(|one| one["id"] == scene.direct.as_str());
        of_direct.unwrap()["state"].clone()
    };
    assert_eq!(listed(&scene.ana).await, default);
    let changed = ask(&scene, &scene.ana, "PATCH", &path, json!({"pinned": true, "delete_before": 3})).await;
    let mut expected = default.clone();
    expected["pinned"] = json!(true);
    expected["delete_before"] = json!(3);
    assert_eq!((changed.status, changed.json()), (200, expected.clone()));
    assert_eq!((listed(&scene.laptop).await, listed(&scene.ben).await), (expected.clone(), default));
    expected
        .as_object_mut()
        .unwrap()
        .extend(json!({"type": "member_state", "conversation": scene.direct}).as_object().unwrap().clone());
    assert_eq!(told(&scene, "ana", &scene.ana, "member_state").await, [expected]);
    // What is hidden is hidden from ana alone.
    let messages = format!("/v1/conversations/{}/messages", scene.direct);
    let seqs = async |token: &str| {
        let page = scene.get(token, &messages).await;
        page["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((seqs(&scene.ana).await, seqs(&scene.ben).await), (vec![3], vec![1, 2, 3]));
    let foreign = format!("/v1/conversations/{}/state", scene.bens);
    ask(&scene, &scene.ana, "PATCH", &foreign, json!({"pinned": true})).await.problem(404, "no_such_conversation");
    ask(&scene, &scene.ana, "PATCH", &path, json!({"pinned": "yes"})).await.problem(400, "bad_request");
    ask(&scene, &scene.ana, "PATCH", &path, json!({"delete_before": -1})).await.problem(400, "bad_request");
    scene.end().await;
}

#[tokio::test]
async fn operators_give_names_of_other_protocols() {
    use lockstep_server::admin::{AdminError, AliasInfo, AliasKey, AliasRequest};
    let scene = Scene::set().await;
    let admin = &scene.house.admin;
    let key = |external: &str| AliasKey { namespace: "matrix".into(), external: external.into() };
    let ana = AliasInfo { user: Some("ana".into()), conversation: None };
    let room = AliasInfo { user: None, conversation: Some(scene.direct.clone()) };
    let put = async |external: &str, target: &AliasInfo| {
        admin.put_alias(&AliasRequest { key: key(external), target: target.clone() }).await
    };
    for _ in 0..2 {
        put("@ana:example.org", &ana).await.unwrap();
        put("!room / 1:example.org", &room).await.unwrap();
    }
    assert_eq!(admin.alias(&key("@ana:example.org")).await.unwrap(), ana);
    assert_eq!(admin.alias(&key("!room / 1:example.org")).await.unwrap(), room);
    assert_eq!(admin.alias(&key("@ben:example.org")).await.unwrap(), AliasInfo::default());
    let nobody = AliasInfo { user: Some("nobody".into()), conversation: None };
    let both = AliasInfo { user: Some("ana".into()), conversation: Some(scene.direct.clone()) };
    let nowhere = AliasInfo { user: None, conversation: Some("0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11".into()) };
    let cases = [
        ("@ana:example.org", &room, "bad_request"),
        ("@new:example.org", &nobody, "no_such_user"),
        ("@new:example.org", &nowhere, "no_such_conversation"),
        ("@new:example.org", &both, "bad_request"),
        ("@new:example.org", &AliasInfo::default(), "bad_request"),
        ("a\nb", &ana, "bad_request"),
    ];
    for (external, target, expected) in cases {
        match put(external, target).await {
            Err(AdminError::Refused { code, .. }) => assert_eq!(code, expected, "{external} {target:?}"),
            other => panic!("{external} {target:?}: {other:?}"),
        }
    }
    for _ in 0..2 {
        admin.remove_alias(&key("@ana:example.org")).await.unwrap();
    }
    put("@ana:example.org", &room).await.unwrap();
    scene.end().await;
}
