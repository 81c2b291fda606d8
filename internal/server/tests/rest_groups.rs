//! Groups and rooms over real sockets: who may do what, and what is answered.

mod support;

use serde_json::{Value, json};
use support::scene::Scene;
use support::{Answer, House, exchange, request};

const NOBODY: &str = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";

/// Ana's team of ana, ben and, uninvited, eve.
struct Team {
    scene: Scene,
    eve: String,
    path: String,
}

impl Team {
    async fn set(kind: &str) -> Self {
        Self::set_in(House::start().await, kind).await
    }

    async fn set_in(house: House, kind: &str) -> Self {
        let scene = Scene::set_in(house).await;
        let eve = scene.house.token("eve", "phone", "main").await;
        let body = json!({"kind": kind, "title": "Team", "members": ["ben"]}).to_string();
        let made = scene.house.ask(&scene.ana, "POST", "/v1/conversations", Some(&body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("/v1/conversations/{}", made.json()["id"].as_str().unwrap());
        Self { scene, eve, path }
    }

    async fn ask(&self, token: &str, method: &str, rest: &str, body: Option<Value>) -> Answer {
        let (path, body) = (format!("{}{rest}", self.path), body.map(|body| body.to_string()));
        self.scene.house.ask(token, method, &path, body.as_deref()).await
    }

    async fn members(&self) -> Vec<(String, String)> {
        let page = self.scene.get(&self.scene.ana, &format!("{}/members", self.path)).await;
        let text = |member: &Value, name: &str| member[name].as_str().unwrap().to_owned();
        page["members"].as_array().unwrap().iter().map(|one| (text(one, "user"), text(one, "role"))).collect()
    }

    async fn log(&self) -> Vec<Value> {
        let page = self.scene.get(&self.scene.ana, &format!("{}/messages?after=0", self.path)).await;
        page["entries"].as_array().unwrap().iter().map(|entry| entry["body"].clone()).collect()
    }
}

#[tokio::test]
async fn a_group_is_made_looked_at_and_changed() {
    let scene = Scene::set().await;
    let body = json!({"kind": "group", "title": "Team", "avatar": "https://example.org/a.png", "custom": {"colour": "red"},
        "history": 20, "members": ["ben", "ana"]});
    let made = scene.house.ask(&scene.ana, "POST", "/v1/conversations", Some(&body.to_string())).await;
    let mut group = made.json();
    for field in ["title", "avatar", "custom", "history"] {
        assert_eq!(group[field], body[field], "{field}");
    }
    assert_eq!((&group["role"], &group["members"], &group["head"]), (&json!("owner"), &json!(2), &json!(2)));
    let path = format!("/v1/conversations/{}", group["id"].as_str().unwrap());
    assert_eq!(scene.get(&scene.ana, &path).await, group);
    assert_eq!(scene.get(&scene.ben, &path).await["role"], "member");

    let change =
        json!({"title": null, "history": "all", "custom": {"colour": "blue"}, "avatar": "https://example.org/a.png"});
    let changed = scene.house.ask(&scene.ana, "PATCH", &path, Some(&change.to_string())).await;
    for (field, value) in [("title", json!(null)), ("history", json!("all")), ("head", json!(3))] {
        group[field] = value;
    }
    (group["custom"], group["active_at"]) = (change["custom"].clone(), changed.json()["active_at"].clone());
    assert_eq!((changed.status, changed.json()), (200, group.clone()));
    let entries = scene.get(&scene.ben, &format!("{path}/messages?after=2")).await["entries"].clone();
    let told = json!({"type": "changed", "by": "ana", "title": null, "history": "all", "custom": {"colour": "blue"}});
    assert_eq!((&entries[0]["body"], &entries[0]["sender"]), (&told, &json!("service:lockstep")));
    for nothing in [&change.to_string(), "{}"] {
        let same = scene.house.ask(&scene.ana, "PATCH", &path, Some(nothing)).await;
        assert_eq!((same.status, same.json()), (200, group.clone()), "nothing is written");
    }
    // A room that nobody has said anything about shows all to newcomers, a group nothing.
    for (kind, history) in [("room", "all"), ("group", "none")] {
        let body = json!({"kind": kind}).to_string();
        let made = scene.house.ask(&scene.ana, "POST", "/v1/conversations", Some(&body)).await.json();
        assert_eq!((&made["kind"], &made["history"], &made["members"]), (&json!(kind), &json!(history), &json!(1)));
    }
    scene.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_in_a_sentence() {
    let team = Team::set("group").await;
    let (long, custom) = ("x".repeat(129), json!({"k": "x".repeat(9_000)}));
    let cases = [
        ("PATCH", "", json!({"title": long}), "\"title\" must have 1 to 128"),
        ("PATCH", "", json!({"title": "a\nb"}), "\"title\" must have 1 to 128"),
        ("PATCH", "", json!({"avatar": "javascript:alert(1)"}), "\"avatar\" must be an http or https URL"),
        ("PATCH", "", json!({"custom": custom}), "\"custom\" must have at most 8192 bytes"),
        ("PATCH", "", json!({"history": 0}), "history must be \"none\", \"all\" or a number from 1 to 10000"),
        ("POST", "/members", json!({"users": vec!["ben"; 1_001]}), "\"users\" may name at most 1000 users"),
        ("POST", "/members", json!({"users": ["service:x"]}), "must not begin with \"service:\""),
        ("POST", "/members", json!({}), "missing field"),
        ("PATCH", "/members/ben", json!({"role": "king"}), "unknown value"),
    ];
    for (method, rest, body, words) in cases {
        let answer = team.ask(&team.scene.ana, method, rest, Some(body)).await;
        let sentence = answer.problem(400, "bad_request");
        assert!(sentence.contains(words), "{method} {rest}: {sentence}");
    }
    for body in [json!({"kind": "room", "avatar": "x"}), json!({"kind": "group", "members": vec!["ben"; 1_001]})] {
        let body = body.to_string();
        team.scene
            .house
            .ask(&team.scene.ana, "POST", "/v1/conversations", Some(&body))
            .await
            .problem(400, "bad_request");
    }
    let two =
        request("DELETE", &format!("{}/members/%FF", team.path), &[&format!("Authorization: Bearer {}", team.eve)], "");
    exchange(team.scene.house.address(), &two).await.problem(400, "bad_request");
    team.ask(&team.scene.ana, "PUT", "/members/ben", None).await.problem(405, "method_not_allowed");
    assert_eq!(team.log().await.len(), 2, "nothing of it was written");
    team.scene.end().await;
}

#[tokio::test]
async fn roles_say_who_may_do_what() {
    let team = Team::set("group").await;
    let (ana, ben, eve) = (&team.scene.ana, &team.scene.ben, &team.eve);
    let role = |role: &str| Some(json!({"role": role}));
    let users = |user: &str| Some(json!({"users": [user]}));
    // Strangers find nothing; members do not manage.
    for (token, status, code) in [(eve, 404, "no_such_conversation"), (ben, 403, "forbidden")] {
        team.ask(token, "PATCH", "", Some(json!({"title": "mine"}))).await.problem(status, code);
        team.ask(token, "POST", "/members", users("eve")).await.problem(status, code);
        team.ask(token, "DELETE", "/members/ana", None).await.problem(status, code);
        team.ask(token, "PATCH", "/members/ben", role("owner")).await.problem(status, code);
    }
    for (method, rest) in
        [("GET", ""), ("GET", "/members"), ("GET", "/messages"), ("POST", "/join"), ("POST", "/leave")]
    {
        team.ask(eve, method, rest, None).await.problem(404, "no_such_conversation");
    }
    assert_eq!(team.log().await.len(), 2, "nothing of it was written");

    let invited = team.ask(ana, "POST", "/members", users("eve")).await;
    assert_eq!((invited.status, invited.json()), (200, json!({"added": ["eve"]})));
    assert_eq!(team.ask(ana, "POST", "/members", users("eve")).await.json(), json!({"added": []}));
    team.ask(ana, "POST", "/members", users("nobody")).await.problem(404, "no_such_user");
    assert_eq!(team.ask(ana, "PATCH", "/members/ben", role("admin")).await.status, 204);
    assert_eq!(team.ask(ana, "PATCH", "/members/ben", role("admin")).await.status, 204);
    team.ask(ana, "PATCH", "/members/nobody", role("admin")).await.problem(404, "no_such_member");
    team.ask(ana, "PATCH", "/members/ana", role("member")).await.problem(403, "forbidden");
    team.ask(ben, "PATCH", "/members/eve", role("admin")).await.problem(403, "forbidden");
    team.ask(ben, "DELETE", "/members/ana", None).await.problem(403, "forbidden");
    assert_eq!(team.ask(ben, "DELETE", "/members/eve", None).await.status, 204);
    team.ask(ben, "DELETE", "/members/eve", None).await.problem(404, "no_such_member");
    team.ask(eve, "GET", "/members", None).await.problem(404, "no_such_conversation");

    assert_eq!(team.ask(ana, "PATCH", "/members/ben", role("owner")).await.status, 204);
    let of = |user: &str, role: &str| (user.to_owned(), role.to_owned());
    assert_eq!(team.members().await, [of("ana", "admin"), of("ben", "owner")]);
    let told = [
        json!({"type": "created", "by": "ana", "kind": "group", "title": "Team", "history": "none"}),
        json!({"type": "members_added", "by": "ana", "members": ["ben"]}),
        json!({"type": "members_added", "by": "ana", "members": ["eve"]}),
        json!({"type": "role_changed", "by": "ana", "member": "ben", "role": "admin"}),
        json!({"type": "member_removed", "by": "ben", "member": "eve"}),
        json!({"type": "owner_changed", "by": "ana", "member": "ben"}),
    ];
    assert_eq!(team.log().await, told);
    // The owner goes: the admin takes over. Leaving is removing oneself.
    assert_eq!(team.ask(ben, "DELETE", "/members/ben", None).await.status, 204);
    assert_eq!(team.members().await, [of("ana", "owner")]);
    team.ask(ben, "POST", "/leave", None).await.problem(404, "no_such_conversation");
    team.scene.end().await;
}

#[tokio::test]
async fn rooms_are_open() {
    let team = Team::set("room").await;
    let eve = &team.eve;
    let seen = team.ask(eve, "GET", "", None).await.json();
    assert_eq!((&seen["title"], &seen["member"], &seen["role"]), (&json!("Team"), &json!(false), &Value::Null));
    team.ask(eve, "GET", "/members", None).await.problem(404, "no_such_conversation");
    for _ in 0..2 {
        let joined = team.ask(eve, "POST", "/join", None).await;
        assert_eq!(
            (joined.status, &joined.json()["role"], &joined.json()["members"]),
            (200, &json!("member"), &json!(3))
        );
    }
    assert_eq!(team.log().await[2..], [json!({"type": "member_joined", "member": "eve"})]);
    assert_eq!(team.ask(eve, "GET", "/messages", None).await.json()["entries"].as_array().unwrap().len(), 3);
    assert_eq!(team.ask(eve, "POST", "/leave", None).await.status, 204);
    assert_eq!(team.log().await[3..], [json!({"type": "member_left", "member": "eve"})]);
    team.scene
        .house
        .ask(eve, "POST", &format!("/v1/conversations/{NOBODY}/join"), None)
        .await
        .problem(404, "no_such_conversation");
    team.scene.end().await;
}

#[tokio::test]
async fn one_who_left_sees_nothing_of_what_comes_later() {
    let team = Team::set("group").await;
    let (ana, ben) = (&team.scene.ana, &team.scene.ben);
    let send = async |key: &str| {
        let path = format!("{}/messages", team.path);
        let (key, body) =
            (format!("Idempotency-Key: {key}"), json!({"body": {"type": "text", "text": "x"}}).to_string());
        team.scene.house.ask_with(ben, "POST", &path, &[&key], Some(&body)).await
    };
    assert_eq!(send("first").await.status, 201);
    assert_eq!(team.ask(ben, "POST", "/leave", None).await.status, 204);
    assert_eq!(send("first").await.status, 200, "a resend is answered");
    send("second").await.problem(404, "no_such_conversation");
    team.ask(ana, "PATCH", "", Some(json!({"title": "Secret"}))).await;
    let page = team.ask(ben, "GET", "/messages", None).await.json();
    assert_eq!((page["head"].as_u64(), page["entries"].as_array().unwrap().len()), (Some(4), 4));
    let listed = team.scene.get(ben, "/v1/conversations").await["conversations"].clone();
    let id = team.path.rsplit('/').next().unwrap();
    let left = listed.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
    assert_eq!((&left["member"], &left["title"], &left["head"]), (&json!(false), &Value::Null, &json!(4)));
    team.ask(ben, "GET", "", None).await.problem(404, "no_such_conversation");
    team.scene.end().await;
}

#[tokio::test]
async fn a_direct_conversation_stays_as_it_is() {
    let scene = Scene::set().await;
    let path = format!("/v1/conversations/{}", scene.direct);
    let direct = scene.get(&scene.ana, &path).await;
    assert_eq!((&direct["peer"], &direct["role"], &direct["members"]), (&json!("ben"), &json!("member"), &json!(2)));
    let cases = [
        ("PATCH", "", Some(json!({"title": "x"}))),
        ("POST", "/leave", None),
        ("DELETE", "/members/ana", None),
        ("DELETE", "/members/ben", None),
        ("POST", "/members", Some(json!({"users": ["eve"]}))),
        ("PATCH", "/members/ben", Some(json!({"role": "owner"}))),
    ];
    for (method, rest, body) in cases {
        let (path, body) = (format!("{path}{rest}"), body.map(|body| body.to_string()));
        scene.house.ask(&scene.ana, method, &path, body.as_deref()).await.problem(409, "direct_conversation");
    }
    assert_eq!(scene.get(&scene.ana, &format!("{path}/messages")).await["head"], 0, "no entry was written");
    scene.end().await;
}

#[tokio::test]
async fn groups_and_rooms_have_a_largest_size() {
    let house = House::start_with(|config| {
        (config.limits.group_members_max, config.limits.room_members_max) = (2, 3);
    });
    let team = Team::set_in(house.await, "group").await;
    team.ask(&team.scene.ana, "POST", "/members", Some(json!({"users": ["eve"]})))
        .await
        .problem(409, "too_many_members");
    let body = json!({"kind": "room", "members": ["ben", "eve"]}).to_string();
    let room = team.scene.house.ask(&team.scene.ana, "POST", "/v1/conversations", Some(&body)).await;
    let late = team.scene.house.token("zoe", "phone", "main").await;
    let join = format!("/v1/conversations/{}/join", room.json()["id"].as_str().unwrap());
    team.scene.house.ask(&late, "POST", &join, None).await.problem(409, "too_many_members");
    team.scene.end().await;
}

#[tokio::test]
async fn changes_share_the_rate_of_sends() {
    let house = House::start_with(|config| {
        (config.limits.sends_burst, config.limits.sends_per_second) = (2, 1);
    });
    let team = Team::set_in(house.await, "room").await;
    // A machine that is too slow for the third to be refused will sooner or later be fast enough.
    let refused = loop {
        let answer = team.ask(&team.eve, "POST", "/join", None).await;
        if answer.status != 200 {
            break answer;
        }
    };
    refused.problem(429, "rate_limited");
    team.scene.end().await;
}

/// Who names many writes into the feeds of many. The door of frames has the same rate.
#[tokio::test]
async fn each_user_named_counts_as_a_send() {
    let house = House::start_with(|config| {
        (config.limits.sends_burst, config.limits.sends_per_second) = (50, 1);
    });
    let team = Team::set_in(house.await, "group").await;
    let users: Vec<String> = (0..80).map(|number| format!("user{number}")).collect();
    for user in &users {
        team.scene.house.token(user, "phone", "main").await;
    }
    let added = team.ask(&team.scene.ana, "POST", "/members", Some(json!({"users": users[..40]}))).await;
    assert_eq!((added.status, added.json()["added"].as_array().unwrap().len()), (200, 40), "{added:?}");
    let (send, message) = (format!("{}/messages", team.path), r#"{"body": {"type": "text", "text": "x"}}"#.to_owned());
    // What is left is less than it takes, and enough to pass.
    let group = json!({"kind": "group", "members": users}).to_string();
    let made = team.scene.house.ask(&team.scene.ana, "POST", "/v1/conversations", Some(&group)).await;
    assert_eq!(made.status, 201, "{made:?}");
    for refused in [
        team.scene.house.ask(&team.scene.ana, "POST", "/v1/conversations", Some(&group)).await,
        team.ask(&team.scene.ana, "POST", "/members", Some(json!({"users": ["user50"]}))).await,
        team.scene.house.ask_with(&team.scene.ana, "POST", &send, &["Idempotency-Key: \"x\""], Some(&message)).await,
    ] {
        refused.problem(429, "rate_limited");
        // 1 for the scene's own, 2 for the team, 41 and 81, of which 50 pass at once.
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((60..=76).contains(&wait), "{wait} s");
    }
    // Another device has its own.
    assert_eq!(team.ask(&team.scene.ben, "POST", "/leave", None).await.status, 204);
    team.scene.end().await;
}

#[tokio::test]
async fn making_conversations_has_the_rate_of_sends() {
    let house = House::start_with(|config| {
        // One for the scene's own.
        config.limits.sends_burst = 2;
        config.limits.sends_per_second = 1;
    });
    let scene = Scene::set_in(house.await).await;
    let body = json!({"kind": "group", "members": ["ben"]}).to_string();
    let mut made = 0;
    // A machine that is too slow for the second to be refused will sooner or later be fast enough.
    let refused = loop {
        let answer = scene.house.ask(&scene.ana, "POST", "/v1/conversations", Some(&body)).await;
        if answer.status != 201 {
            break answer;
        }
        made += 1;
    };
    assert!(made >= 1, "{made}");
    refused.problem(429, "rate_limited");
    scene.end().await;
}
