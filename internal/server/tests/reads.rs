//! What is unread, and receipts, by REST.

mod support;

use serde_json::{Value, json};
use support::scene::{Scene, text};

async fn sent(scene: &Scene, count: u64) {
    for number in 1..=count {
        assert_eq!(scene.send(&format!("key-{number}"), &text("hello")).await.status, 201);
    }
}

#[tokio::test]
async fn what_is_unread_is_counted_and_read() {
    let scene = Scene::set().await;
    sent(&scene, 4).await;
    let reads = format!("/v1/reads?conversations={},{}", scene.direct, scene.bens);
    let unread = |read: u64, unread: u64| json!({"conversation": scene.direct, "read": read, "head": 4, "unread": unread, "mentions": 0, "marked": false});
    let of_ben = scene.get(&scene.ben, &reads).await;
    assert_eq!((&of_ben["conversations"][0], &of_ben["conversations"][1]["unread"]), (&unread(0, 4), &json!(0)));
    // Her own do not count, and she is not in the other one.
    assert_eq!(scene.get(&scene.ana, &reads).await, json!({"conversations": [unread(0, 0)]}));

    let read = async |token: &str, conversation: &str, seq: Value| {
        let (path, body) = (format!("/v1/conversations/{conversation}/read"), json!({"seq": seq}).to_string());
        scene.house.ask(token, "PUT", &path, Some(&body)).await
    };
    for (seq, at, left) in [(3, 3, 1), (1, 3, 1), (4, 4, 0)] {
        assert_eq!(read(&scene.ben, &scene.direct, json!(seq)).await.status, 204);
        assert_eq!(scene.get(&scene.ben, &reads).await["conversations"][0], unread(at, left));
    }
    read(&scene.ben, &scene.direct, json!(5)).await.problem(400, "read_beyond");
    read(&scene.ana, &scene.bens, json!(0)).await.problem(404, "no_such_conversation");
    read(&scene.ana, &scene.direct, json!("x")).await.problem(400, "bad_request");
    let many = vec![scene.direct.as_str(); 101].join(",");
    for query in ["", "?conversations=", "?conversations=x", &format!("?conversations={many}")] {
        let refused = scene.house.ask(&scene.ben, "GET", &format!("/v1/reads{query}"), None).await;
        assert!(refused.problem(400, "bad_request").contains("conversations"), "{query}");
    }
    scene.end().await;
}

#[tokio::test]
async fn the_badge_leaves_out_what_is_put_away() {
    let scene = Scene::set().await;
    sent(&scene, 3).await;
    let state = format!("/v1/conversations/{}/state", scene.direct);
    let steps = [
        (json!({}), json!({"unread": 3, "more": false, "mentions": 0, "marked": 0})),
        (json!({"marked_unread": true}), json!({"unread": 3, "more": false, "mentions": 0, "marked": 1})),
        (json!({"archived": true}), json!({"unread": 0, "more": false, "mentions": 0, "marked": 0})),
        (json!({"archived": false}), json!({"unread": 3, "more": false, "mentions": 0, "marked": 1})),
        (
            json!({"muted_until": 9_000_000_000_000_u64}),
            json!({"unread": 0, "more": false, "mentions": 0, "marked": 0}),
        ),
        (json!({"muted_until": 1}), json!({"unread": 3, "more": false, "mentions": 0, "marked": 1})),
    ];
    for (change, expected) in steps {
        let changed = scene.house.ask(&scene.ben, "PATCH", &state, Some(&change.to_string())).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_eq!(scene.get(&scene.ben, "/v1/reads/total").await, expected, "{change}");
    }
    scene.end().await;
}

#[tokio::test]
async fn receipts_are_seen_by_those_who_tell() {
    let scene = Scene::set().await;
    sent(&scene, 2).await;
    let read = format!("/v1/conversations/{}/read", scene.direct);
    assert_eq!(scene.house.ask(&scene.ben, "PUT", &read, Some(r#"{"seq":2}"#)).await.status, 204);
    let receipts = format!("/v1/conversations/{}/receipts", scene.direct);
    let of_ben = async |token: &str| {
        let all = scene.get(token, &receipts).await;
        assert_eq!(all["next"], Value::Null);
        all["receipts"].as_array().unwrap().iter().find(|receipt| receipt["user"] == "ben").unwrap().clone()
    };
    let settings = async |token: &str, change: Value| {
        let change = json!({"receipts": change}).to_string();
        let answer = scene.house.ask(token, "PATCH", "/v1/profile/settings", Some(&change)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    assert_eq!(of_ben(&scene.ana).await, json!({"user": "ben", "delivered": 0, "read": 2}));
    let changed = settings(&scene.ana, json!({"read": false})).await;
    assert_eq!(changed, json!({"receipts": {"delivered": true, "read": false}}));
    assert_eq!(scene.get(&scene.laptop, "/v1/profile/settings").await, changed);
    assert_eq!(of_ben(&scene.ana).await, json!({"user": "ben", "delivered": 0}), "who hides does not see");
    settings(&scene.ana, json!({"read": true})).await;
    settings(&scene.ben, json!({"read": false, "delivered": false})).await;
    assert_eq!(of_ben(&scene.ana).await, json!({"user": "ben"}));
    let page = scene.get(&scene.ana, &format!("{receipts}?limit=1")).await;
    let next = page["next"].as_str().unwrap();
    let rest = scene.get(&scene.ana, &format!("{receipts}?limit=1&cursor={next}")).await;
    assert_eq!((rest["receipts"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    let foreign = format!("/v1/conversations/{}/receipts", scene.bens);
    scene.house.ask(&scene.ana, "GET", &foreign, None).await.problem(404, "no_such_conversation");
    scene.end().await;
}
