//! REST over real sockets: what is answered.

mod support;

use serde_json::{Value, json};
use support::scene::{Scene, text};
use support::{House, exchange, request};

#[tokio::test]
async fn a_message_is_stored_once_and_read_back() {
    let scene = Scene::set().await;
    let first = scene.send("key-1", &text("hello")).await;
    assert_eq!(
        (first.status, first.json()["seq"].clone(), first.json()["duplicate"].clone()),
        (201, json!(1), json!(false))
    );
    assert_eq!(first.header("cache-control"), Some("no-store"));
    let again = scene.send("\"key-1\"", &text("hello")).await;
    let mut expected = first.json();
    expected["duplicate"] = json!(true);
    assert_eq!((again.status, again.json()), (200, expected));
    scene.send("key-1", &text("other")).await.problem(409, "duplicate_id");

    let path = format!("/v1/conversations/{}/messages", scene.direct);
    let page = scene.get(&scene.ben, &path).await;
    assert_eq!((&page["floor"], &page["head"]), (&json!(1), &json!(1)));
    let entry = &page["entries"][0];
    assert_eq!(entry["body"], json!({"type": "text", "text": "hello"}));
    assert_eq!(
        (&entry["sender"], &entry["client_msg_id"], &entry["id"]),
        (&json!("ana"), &json!("key-1"), &first.json()["id"])
    );
    scene.end().await;
}

#[tokio::test]
async fn history_is_read_in_pages() {
    let scene = Scene::set().await;
    for number in 1..=5 {
        assert_eq!(scene.send(&format!("key-{number}"), &text("hello")).await.status, 201);
    }
    let cases: [(&str, &[u64]); 7] = [
        ("", &[1, 2, 3, 4, 5]),
        ("?limit=2", &[4, 5]),
        ("?before=4&limit=2", &[2, 3]),
        ("?before=1", &[]),
        ("?after=0&limit=2", &[1, 2]),
        ("?after=3", &[4, 5]),
        ("?after=5&colour=red", &[]),
    ];
    for (query, expected) in cases {
        let page = scene.get(&scene.ana, &format!("/v1/conversations/{}/messages{query}", scene.direct)).await;
        let seqs: Vec<_> =
            page["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, expected, "{query}");
        assert_eq!(page["head"], 5);
    }
    scene.end().await;
}

#[tokio::test]
async fn conversations_and_members_are_listed_in_pages() {
    let scene = Scene::set().await;
    let body = json!({"kind": "group", "title": "Team", "members": ["ben", "ana"]}).to_string();
    let group = scene.house.ask(&scene.ana, "POST", "/v1/conversations", Some(&body)).await;
    assert_eq!((group.status, &group.json()["title"], &group.json()["kind"]), (201, &json!("Team"), &json!("group")));
    let again = json!({"kind": "direct", "user": "ana"}).to_string();
    let direct = scene.house.ask(&scene.ben, "POST", "/v1/conversations", Some(&again)).await;
    assert_eq!(
        (direct.status, &direct.json()["id"], &direct.json()["peer"]),
        (200, &json!(scene.direct), &json!("ana"))
    );

    let (mut seen, mut path) = (Vec::new(), "/v1/conversations?limit=1".to_owned());
    loop {
        let page = scene.get(&scene.ana, &path).await;
        for one in page["conversations"].as_array().unwrap() {
            assert_eq!(one["member"], true);
            seen.push((one["id"].as_str().unwrap().to_owned(), one["peer"].clone()));
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/conversations?limit=1&cursor={next}");
    }
    seen.sort_by_key(|(_, peer)| peer.is_null());
    let team = group.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(seen, [(scene.direct.clone(), json!("ben")), (team.clone(), Value::Null)]);

    let members = format!("/v1/conversations/{team}/members");
    let all = scene.get(&scene.ana, &members).await;
    assert_eq!((all["members"].as_array().unwrap().len(), &all["next"]), (2, &Value::Null));
    let first = scene.get(&scene.ana, &format!("{members}?limit=1")).await;
    let next = first["next"].as_str().unwrap();
    let second = scene.get(&scene.ana, &format!("{members}?limit=1&cursor={next}")).await;
    assert_eq!((&second["members"][0], &second["next"]), (&all["members"][1], &Value::Null));
    scene.end().await;
}

#[tokio::test]
async fn a_main_device_removes_any_of_its_user_and_a_sub_only_itself() {
    let scene = Scene::set().await;
    let devices = scene.get(&scene.laptop, "/v1/devices").await["devices"].clone();
    let found: Vec<_> = devices.as_array().unwrap().iter().map(|d| (&d["name"], &d["kind"], &d["current"])).collect();
    assert_eq!(
        found,
        [(&json!("phone"), &json!("main"), &json!(false)), (&json!("laptop"), &json!("sub"), &json!(true))]
    );
    let (phone, laptop) = (devices[0]["id"].as_str().unwrap(), devices[1]["id"].as_str().unwrap());

    let remove =
        async |token: &str, id: &str| scene.house.ask(token, "DELETE", &format!("/v1/devices/{id}"), None).await;
    remove(&scene.laptop, phone).await.problem(403, "forbidden");
    remove(&scene.ben, laptop).await.problem(404, "no_such_device");
    remove(&scene.ana, "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11").await.problem(404, "no_such_device");
    for _ in 0..2 {
        assert_eq!(remove(&scene.ana, laptop).await.json(), json!({"state": "done"}));
    }
    remove(&scene.laptop, laptop).await.problem(401, "device_removed");
    // The last main device stays, another one may go.
    remove(&scene.ana, phone).await.problem(409, "last_main");
    let pad = scene.house.grant("ana", "pad", "main").await;
    remove(&scene.laptop, &pad.device).await.problem(401, "device_removed");
    assert_eq!(remove(&pad.token, phone).await.status, 200);
    remove(&pad.token, &pad.device).await.problem(409, "last_main");
    scene.end().await;
}

#[tokio::test]
async fn a_main_device_names_any_of_its_user_and_a_sub_only_itself() {
    let scene = Scene::set().await;
    let devices = scene.get(&scene.laptop, "/v1/devices").await["devices"].clone();
    let (phone, laptop) = (devices[0]["id"].as_str().unwrap(), devices[1]["id"].as_str().unwrap());
    let change = async |token: &str, id: &str, body: &Value| {
        scene.house.ask(token, "PATCH", &format!("/v1/devices/{id}"), Some(&body.to_string())).await
    };
    let named = |name: &str| json!({"name": name});
    change(&scene.laptop, phone, &named("mine")).await.problem(403, "forbidden");
    change(&scene.ben, laptop, &named("mine")).await.problem(404, "no_such_device");
    change(&scene.ana, "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11", &named("x")).await.problem(404, "no_such_device");
    for body in [json!({}), named(""), named("a\u{7}b"), named(&"x".repeat(200)), json!({"name": 1})] {
        change(&scene.ana, laptop, &body).await.problem(400, "bad_request");
    }
    for (token, id, name) in [(&scene.laptop, laptop, "desk"), (&scene.ana, laptop, "bed"), (&scene.ana, phone, "hand")]
    {
        let answer = change(token, id, &json!({"name": name, "kind": "main"})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let device = answer.json();
        assert_eq!((&device["id"], &device["name"]), (&json!(id), &json!(name)));
        assert_eq!(device["kind"], if id == phone { "main" } else { "sub" });
    }
    let after = scene.get(&scene.laptop, "/v1/devices").await["devices"].clone();
    assert_eq!((&after[0]["name"], &after[1]["name"]), (&json!("hand"), &json!("bed")));
    scene.end().await;
}

#[tokio::test]
async fn sends_have_a_rate() {
    let house = House::start_with(|config| {
        // One for the conversation that is made.
        config.limits.sends_burst = 3;
        config.limits.sends_per_second = 1;
    });
    let scene = Scene::set_in(house.await).await;
    let mut taken = 0;
    // A machine that is too slow for the third to be refused will sooner or later be fast enough.
    let refused = loop {
        let answer = scene.send(&format!("key-{taken}"), &text("x")).await;
        if answer.status != 201 {
            break answer;
        }
        taken += 1;
    };
    assert!(taken >= 2, "{taken}");
    refused.problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!((1..=1_000).contains(&refused.json()["retry_after_ms"].as_u64().unwrap()));
    scene.end().await;
}

#[tokio::test]
async fn operators_see_the_server() {
    let scene = Scene::set().await;
    let get = async |path: &str| exchange(scene.house.address(), &request("GET", path, &[], "")).await;
    for (path, kind, words) in [
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        ("/.well-known/jwks.json", "application/jwk-set+json", "\"crv\":\"Ed25519\""),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", ""),
    ] {
        let answer = get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
        assert!(answer.body.contains(words), "{path}: {answer:?}");
    }
    scene.end().await;
}
