//! Two users who talk, for the tests of REST.

use super::{Answer, House};
use serde_json::{Value, json};

/// Two users, a direct conversation of theirs, and one that only ben is in.
pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) ana: String,
    pub(crate) laptop: String,
    pub(crate) ben: String,
    pub(crate) direct: String,
    pub(crate) bens: String,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        Self::set_in(House::start().await).await
    }

    pub(crate) async fn set_in(house: House) -> Self {
        let ana = house.token("ana", "phone", "main").await;
        let laptop = house.token("ana", "laptop", "sub").await;
        let ben = house.token("ben", "phone", "main").await;
        let made = house.ask(&ana, "POST", "/v1/conversations", Some(r#"{"kind":"direct","user":"ben"}"#)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let direct = made.json()["id"].as_str().unwrap().to_owned();
        let made = house.ask(&ben, "POST", "/v1/conversations", Some(r#"{"kind":"group","members":[]}"#)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let bens = made.json()["id"].as_str().unwrap().to_owned();
        Self { house, ana, laptop, ben, direct, bens }
    }

    pub(crate) async fn send(&self, key: &str, body: &str) -> Answer {
        let path = format!("/v1/conversations/{}/messages", self.direct);
        let key = format!("Idempotency-Key: {key}");
        self.house.ask_with(&self.ana, "POST", &path, &[&key], Some(body)).await
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Value {
        let answer = self.house.ask(token, "GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    pub(crate) async fn end(self) {
        self.house.running.stop().await.unwrap();
    }
}

pub(crate) fn text(words: &str) -> String {
    json!({"body": {"type": "text", "text": words}}).to_string()
}
