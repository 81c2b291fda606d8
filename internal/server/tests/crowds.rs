//! Ten thousand members and one more: what is refused is refused whole.

mod support;

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use support::{Answer, House};

/// Members of the largest group, ana among them.
const MOST: usize = 10_000;
/// Users that one request may name.
const NAMED_MAX: usize = 1_000;

struct Crowd {
    house: House,
    ana: String,
    path: String,
}

fn user(number: usize) -> String {
    format!("u{number}")
}

fn users(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(user).collect()
}

impl Crowd {
    /// Ana, a conversation of hers, and users 0 to 10,009, who have feeds as all have.
    async fn set(kind: &str) -> Self {
        let house = House::start_with(|config| {
            (config.limits.group_members_max, config.limits.room_members_max) = (MOST as u64, MOST as u64);
            // Each user that is named counts as a send.
            config.limits.sends_burst = 100_000;
        });
        let house = house.await;
        let ana = house.token("ana", "phone", "main").await;
        let options = SqliteConnectOptions::new().filename(house.running.data().join("lockstep.db"));
        let mut connection = options.connect().await.unwrap();
        let all = format!("WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < {})", MOST + 9);
        let feed = "CAST('feed' || printf('%012d', i) AS BLOB)";
        for fill in [
            format!(
                "INSERT INTO conversations (id, kind, created_at, active_at) {all} SELECT {feed}, 'feed', 0, 0 FROM n"
            ),
            format!("INSERT INTO users (id, feed, created_at) {all} SELECT 'u' || i, {feed}, 0 FROM n"),
            format!(
                "INSERT INTO members (conversation, joined_seq, user, visible_from_seq) \
                 {all} SELECT {feed}, 0, 'u' || i, 1 FROM n"
            ),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&mut connection).await.unwrap();
        }
        let body = json!({"kind": kind}).to_string();
        let made = house.ask(&ana, "POST", "/v1/conversations", Some(&body)).await;
        let path = format!("/v1/conversations/{}", made.json()["id"].as_str().unwrap());
        Self { house, ana, path }
    }

    async fn invite(&self, users: &[String]) -> Answer {
        let body = json!({"users": users}).to_string();
        self.house.ask(&self.ana, "POST", &format!("{}/members", self.path), Some(&body)).await
    }

    /// How many are in it, and how many entries its log has.
    async fn size(&self) -> (Value, Value) {
        let found = self.house.ask(&self.ana, "GET", &self.path, None).await.json();
        (found["members"].clone(), found["head"].clone())
    }

    /// Whether a user knows of the conversation, or was told anything by the feed.
    async fn knows(&self, number: usize) -> bool {
        let token = self.house.token(&user(number), "phone", "main").await;
        let list = self.house.ask(&token, "GET", "/v1/conversations", None).await.json();
        let feed = self.house.admin.ensure_user(&user(number)).await.unwrap().feed;
        let feed = self.house.ask(&token, "GET", &format!("/v1/conversations/{feed}/messages"), None).await.json();
        let told =
            feed["entries"].as_array().unwrap().iter().any(|entry| entry["body"]["type"] == "conversation_added");
        let listed = !list["conversations"].as_array().unwrap().is_empty();
        assert_eq!(told, listed, "{list} {feed}");
        listed
    }
}

#[tokio::test]
async fn ten_thousand_fit_and_one_more_does_not() {
    for kind in ["group", "room"] {
        let crowd = Crowd::set(kind).await;
        // All but 500 places are taken.
        for first in (0..MOST - NAMED_MAX).step_by(NAMED_MAX) {
            let end = (first + NAMED_MAX).min(MOST - 501);
            let added = crowd.invite(&users(first..end)).await;
            assert_eq!((added.status, added.json()["added"].as_array().map(Vec::len)), (200, Some(end - first)));
        }
        crowd.invite(&users(MOST - 1_000..MOST - 501)).await;
        let before = crowd.size().await;
        assert_eq!(before.0, MOST - 500, "{kind}");
        // Half of these would fit: none is taken.
        let refused = crowd.invite(&users(MOST - 501..MOST + 9)).await;
        refused.problem(409, "too_many_members");
        assert_eq!(crowd.size().await, before);
        assert!(!crowd.knows(MOST - 501).await);
        // Those who are in it already take no place.
        let added = crowd.invite(&users(MOST - 1_001..MOST - 1)).await;
        assert_eq!(added.json()["added"].as_array().map(Vec::len), Some(500), "{added:?}");
        let full = crowd.size().await;
        assert_eq!(full.0, MOST);
        let last = MOST - 1;
        crowd.invite(&[user(last)]).await.problem(409, "too_many_members");
        let join = format!("{}/join", crowd.path);
        let token = crowd.house.token(&user(last), "phone", "main").await;
        let joined = crowd.house.ask(&token, "POST", &join, None).await;
        match kind {
            "room" => joined.problem(409, "too_many_members"),
            _ => joined.problem(404, "no_such_conversation"),
        };
        assert_eq!((crowd.size().await, crowd.knows(last).await), (full, false));
        assert_eq!(crowd.invite(&[user(0)]).await.json()["added"], json!([]), "one who is in it may be named");
        crowd.house.running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_are_not_named_at_once() {
    let crowd = Crowd::set("group").await;
    let before = crowd.size().await;
    let many = users(0..MOST + 1);
    for named in [&many[..], &many[..=NAMED_MAX]] {
        let sentence = crowd.invite(named).await.problem(400, "bad_request");
        assert!(sentence.contains("\"users\" may name at most 1000 users"), "{sentence}");
        let body = json!({"kind": "group", "members": named}).to_string();
        let refused = crowd.house.ask(&crowd.ana, "POST", "/v1/conversations", Some(&body)).await;
        let sentence = refused.problem(400, "bad_request");
        assert!(sentence.contains("\"members\" may name at most 1000 users"), "{sentence}");
    }
    // With the longest ids they do not even fit a request.
    let long: Vec<_> = many.iter().map(|name| format!("{name:x>64}")).collect();
    crowd.invite(&long).await.problem(413, "body_too_large");
    assert_eq!(crowd.size().await, before);
    assert!(!crowd.knows(0).await);
    let list = crowd.house.ask(&crowd.ana, "GET", "/v1/conversations", None).await.json();
    assert_eq!(list["conversations"].as_array().unwrap().len(), 1, "no other was made");
    // One who does not exist, among a thousand who do.
    let mut strangers = users(0..NAMED_MAX);
    strangers[500] = "nobody".to_owned();
    crowd.invite(&strangers).await.problem(404, "no_such_user");
    assert_eq!(crowd.size().await, before);
    crowd.house.running.stop().await.unwrap();
}
