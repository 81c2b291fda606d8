//! The administration, by REST and on the admin socket: the same operations, and what each shows and does.

mod support;

use lockstep_server::admin::{AdminClient, AdminError, ClosingInfo, RemovalInfo, ServiceTokenRequest};
use serde_json::json;
use std::collections::BTreeSet;
use support::accounts::{self, phone, session, sign_in, try_sign_in};
use support::scene::{Scene, text};
use support::{House, exchange, request};

async fn service(house: &House, name: &str, scope: &str) -> String {
    let request = ServiceTokenRequest { name: name.into(), scopes: vec![scope.into()], ttl_s: None };
    house.admin.service_token(&request).await.unwrap().token
}

/// A client by REST.
async fn by_rest(house: &House) -> AdminClient {
    let token = service(house, "operator", "admin").await;
    AdminClient::at(&format!("http://{}", house.address()), &token).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, AdminError>) -> String {
    match result {
        Err(AdminError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn users_are_listed_page_by_page_and_by_prefix() {
    let house = House::start().await;
    let names: Vec<String> = (0..5).map(|number| format!("u&{number} ü")).chain(["ana".into(), "zoe".into()]).collect();
    for name in &names {
        house.admin.ensure_user(name).await.unwrap();
    }
    let expected: BTreeSet<String> = names.iter().cloned().collect();
    let rest = by_rest(&house).await;
    for client in [&house.admin, &rest] {
        for limit in [1, 2, 7, 200] {
            let (mut listed, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
            loop {
                let page = client.users("", cursor.as_deref(), limit).await.unwrap();
                assert!(page.users.len() <= limit as usize);
                listed.extend(page.users.into_iter().map(|user| user.id.to_string()));
                pages += 1;
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert!(listed.is_sorted() && listed.iter().cloned().collect::<BTreeSet<_>>() == expected, "{listed:?}");
            assert_eq!(pages, 7_u32.div_ceil(limit), "no empty page at the end");
        }
        let some = client.users("u&", None, 50).await.unwrap();
        assert_eq!((some.users.len(), some.next), (5, None));
        assert_eq!(code(client.users("", None, 201).await), "bad_request");
        assert_eq!(code(client.users(&"x".repeat(65), None, 1).await), "bad_request");
        assert_eq!(code(client.users("", Some(""), 1).await), "bad_request");
        assert_eq!(code(client.user("nobody").await), "no_such_user");
        assert_eq!(code(client.devices("nobody").await), "no_such_user");
        assert_eq!(code(client.disable_user("nobody").await), "no_such_user");
        assert_eq!(code(client.enable_user("nobody").await), "no_such_user");
    }
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_shown_of_users_devices_and_conversations() {
    let scene = Scene::set().await;
    let secret = "what nobody else is to see";
    assert_eq!(scene.send("one", &text(secret)).await.status, 201);
    let rest = by_rest(&scene.house).await;
    for client in [&scene.house.admin, &rest] {
        let ana = client.user("ana").await.unwrap();
        assert_eq!((ana.devices, ana.conversations, ana.connections, ana.disabled_at), (2, 1, 0, None));
        let devices = client.devices("ana").await.unwrap().devices;
        let names: Vec<_> = devices.iter().map(|device| (&*device.name, &*device.kind)).collect();
        assert_eq!(names, [("phone", "main"), ("laptop", "sub")]);
        let phone = client.device(&devices[0].id.to_string()).await.unwrap();
        let following = phone.following.unwrap();
        assert_eq!((following.conversations, following.behind), (2, 2), "the feed and the conversation: {phone:?}");
        assert!(phone.connection.is_none() && phone.removed_at.is_none() && phone.seen_at.is_none());
        let direct = client.conversation(&scene.direct).await.unwrap();
        assert_eq!((&*direct.kind, direct.members, direct.head.get(), direct.consumers), ("direct", 2, 1, 0));
        assert_eq!(client.conversation(&ana.feed.to_string()).await.unwrap().kind, "feed");
        let first = client.members(&scene.direct, None, 1).await.unwrap();
        let second = client.members(&scene.direct, first.next.as_deref(), 1).await.unwrap();
        let members: BTreeSet<String> =
            first.members.iter().chain(&second.members).map(|member| member.user.to_string()).collect();
        assert_eq!((members.len(), second.next), (2, None));
        assert!(client.topic(&scene.direct).await.unwrap().servers.is_empty());
        let unknown = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
        assert_eq!(code(client.conversation(unknown).await), "no_such_conversation");
        assert_eq!(code(client.members(unknown, None, 1).await), "no_such_conversation");
        assert_eq!(code(client.consumers(unknown, None, 1).await), "no_such_conversation");
        assert_eq!(code(client.topic(unknown).await), "no_such_conversation");
        assert_eq!(code(client.device(unknown).await), "no_such_device");
        assert_eq!(code(client.remove_device(unknown).await), "no_such_device");
        assert_eq!(code(client.close_connection(unknown).await), "no_such_device");
        assert_eq!(code(client.members(&scene.direct, Some("x"), 1).await), "bad_request");
        assert_eq!(code(client.consumers(&scene.direct, Some("x"), 1).await), "bad_request");
        let stats = client.stats().await.unwrap();
        assert_eq!((stats.connections, stats.nsqds, stats.teardowns_pending), (0, None, None));
    }
    // A removed device is still shown, and gone from the list.
    let laptop = rest.devices("ana").await.unwrap().devices[1].id.to_string();
    assert_eq!(rest.close_connection(&laptop).await.unwrap(), ClosingInfo::NotConnected);
    for _ in 0..2 {
        assert_eq!(rest.remove_device(&laptop).await.unwrap(), RemovalInfo::Done);
    }
    assert_eq!(rest.devices("ana").await.unwrap().devices.len(), 1);
    assert!(rest.device(&laptop).await.unwrap().removed_at.is_some());
    scene.house.ask(&scene.laptop, "GET", "/v1/devices", None).await.problem(401, "device_removed");
    scene.end().await;
}

#[tokio::test]
async fn a_scope_opens_what_it_says_and_nothing_else() {
    let scene = Scene::set().await;
    let admin = service(&scene.house, "operator", "admin").await;
    let publisher = service(&scene.house, "billing", "publish:*").await;
    let ask = async |token: &str, method: &str, path: &str| {
        let body = (method == "POST").then(|| text("x"));
        scene.house.ask_with(token, method, path, &["Idempotency-Key: 1"], body.as_deref()).await
    };
    let messages = format!("/v1/conversations/{}/messages", scene.direct);
    assert!(ask(&admin, "POST", &messages).await.problem(403, "out_of_scope").contains("scope"));
    assert!(ask(&publisher, "GET", "/v1/admin/users").await.problem(403, "out_of_scope").contains("\"admin\""));
    assert!(ask(&scene.ana, "GET", "/v1/admin/users").await.problem(403, "forbidden").contains("\"admin\""));
    ask(&admin, "GET", &messages).await.problem(403, "service_token");
    ask(&admin, "GET", "/v1/devices").await.problem(403, "service_token");
    let nobody = exchange(scene.house.address(), &request("GET", "/v1/admin/users", &[], "")).await;
    nobody.problem(401, "token_invalid");
    assert_eq!(ask(&admin, "GET", "/v1/admin/users").await.header("cache-control"), Some("no-store"));
    // A scope that is taken away counts from the next request on.
    service(&scene.house, "operator", "publish:*").await;
    ask(&admin, "GET", "/v1/admin/users").await.problem(403, "out_of_scope");
    scene.end().await;
}

#[tokio::test]
async fn a_disabled_user_is_refused_at_every_door() {
    let house = accounts::house().await;
    accounts::sign_up(&house, "ana").await;
    let signed_in = sign_in(&house, "ana", phone()).await;
    let rest = by_rest(&house).await;
    assert!(rest.disable_user("ana").await.unwrap().disabled_at.is_some());
    let since = rest.disable_user("ana").await.unwrap().disabled_at;
    assert_eq!(rest.user("ana").await.unwrap().disabled_at, since, "again: nothing");
    assert_eq!(accounts::access(&house, &signed_in.access).await, Err("user_disabled".to_owned()));
    accounts::refresh(&house, &signed_in.refresh).await.problem(403, "user_disabled");
    for device in [phone(), json!({"id": signed_in.device})] {
        try_sign_in(&house, "ana", "correct horse", device.clone()).await.problem(403, "user_disabled");
        // Who does not know the password learns nothing.
        try_sign_in(&house, "ana", "wrong horse", device).await.problem(401, "wrong_credentials");
    }
    let token = lockstep_server::admin::TokenRequest {
        user: "ana".into(),
        device_name: "phone".into(),
        kind: "main".into(),
        unfilled: false,
        ttl_s: None,
    };
    assert_eq!(code(house.admin.token(&token).await), "user_disabled");
    assert_eq!(rest.devices("ana").await.unwrap().devices.len(), 1, "the device stays");

    assert_eq!(rest.enable_user("ana").await.unwrap().disabled_at, None);
    assert_eq!(accounts::access(&house, &signed_in.access).await, Err("token_revoked".to_owned()));
    accounts::refresh(&house, &signed_in.refresh).await.problem(401, "token_revoked");
    let back = try_sign_in(&house, "ana", "correct horse", json!({"id": signed_in.device})).await;
    let back = session(&back);
    assert_eq!((back.device, accounts::access(&house, &back.access).await), (signed_in.device, Ok(())));
    house.running.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_elsewhere_says_what_is_wrong() {
    let house = House::start().await;
    let url = format!("http://{}", house.address());
    let stranger = AdminClient::at(&url, "secret").unwrap();
    assert_eq!(code(stranger.stats().await), "token_invalid");
    assert!(!format!("{stranger:?}").contains("secret"));
    house.running.stop().await.unwrap();
    let gone = AdminClient::at(&url, "secret").unwrap().stats().await;
    assert!(matches!(gone, Err(AdminError::Reach { .. })), "{gone:?}");
    assert!(matches!(AdminClient::at("https://x", "secret"), Err(AdminError::Url { .. })));
}
