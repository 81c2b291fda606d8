//! Users with something that others must not touch, tokens of every wrong kind, and all that the store holds.

use super::document::Known;
use super::support::House;
use super::support::scene::Scene;
use lockstep_auth::{Claim, Tokens};
use lockstep_model::{ClientMsgId, SignInId, TokenGeneration, UnixMs, UserId};
use lockstep_server::admin::ServiceTokenRequest;
use lockstep_server::config::NewMain;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::time::Duration;

/// What ana and ben have, and who wants it.
pub(crate) struct World {
    pub(crate) scene: Scene,
    /// Ana's group, which ben is in.
    conversation: String,
    /// Ana's laptop.
    laptop: String,
    /// A sign-in that ana's phone could approve.
    sign_in: String,
    /// A link that it could approve too, and what its device shows.
    link: String,
    code: String,
    pub(crate) expired: String,
    pub(crate) removed: String,
    pub(crate) stranger: String,
    pub(crate) out_of_scope: String,
    /// Of a service that may publish into every conversation.
    pub(crate) publisher: String,
    /// Of a service that may administer.
    pub(crate) administrator: String,
    /// Of one that might, and was revoked.
    pub(crate) revoked_administrator: String,
    /// Of a device of a user who has been disabled.
    pub(crate) disabled: String,
}

/// What ana and ben have written.
pub(crate) const SAID: &str = "something that nobody else is to see";

impl World {
    pub(crate) async fn make() -> Self {
        let house = House::start_with(|config| {
            config.accounts.new_main = NewMain::Confirm;
            config.accounts.password_memory_kib = 7_168;
            config.accounts.password_passes = 1;
            // Nobody is to be refused for being too fast.
            config.limits.device_requests_burst = 1_000_000;
            config.limits.user_requests_burst = 1_000_000;
            config.limits.address_requests_burst = 1_000_000;
            config.accounts.address_attempts = 1_000_000;
        });
        let scene = Scene::set_in(house.await).await;
        let house = &scene.house;
        let laptop = house.grant("ana", "laptop", "sub").await.device;
        let tablet = house.grant("ana", "tablet", "sub").await;
        house.admin.remove_device(&tablet.device).await.unwrap();
        let phone = house.grant("ana", "phone", "main").await.device;
        let claim = Claim {
            user: UserId::new("ana").unwrap(),
            device: phone.parse().unwrap(),
            token_generation: TokenGeneration(0),
        };
        let tokens = Tokens::open(house.running.data()).unwrap();
        let expired = tokens.issue(&claim, Duration::from_secs(60), UnixMs::new(1_000_000)).token;
        let stranger = house.token("mallory", "phone", "main").await;
        let out_of_scope = service(house, "weather", &format!("publish:{}", scene.bens)).await;
        let publisher = service(house, "billing", "publish:*").await;
        let administrator = service(house, "operator", "admin").await;
        let revoked_administrator = service(house, "former", "admin").await;
        house.admin.revoke_service("former").await.unwrap();
        let disabled = house.token("eve", "phone", "main").await;
        house.admin.disable_user("eve").await.unwrap();
        let sign_in = waiting_sign_in(house).await;
        let (link, code) = waiting_link(house).await;
        assert_eq!(scene.send("before", &super::support::scene::text(SAID)).await.status, 201);
        let conversation = group(&scene).await;
        let removed = tablet.token;
        Self {
            conversation,
            laptop,
            sign_in,
            link,
            code,
            expired,
            removed,
            stranger,
            out_of_scope,
            publisher,
            administrator,
            revoked_administrator,
            disabled,
            scene,
        }
    }

    /// Takes another group of ana's, of which nothing has been changed.
    pub(crate) async fn renew_conversation(&mut self) {
        self.conversation = group(&self.scene).await;
    }

    pub(crate) fn laptop(&self) -> &str {
        &self.laptop
    }

    /// What each device is to its user.
    pub(crate) async fn kinds(&self) -> Vec<(Vec<u8>, String)> {
        let path = self.scene.house.running.data().join("lockstep.db");
        let mut store = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
        let kinds = "SELECT id, kind FROM devices ORDER BY id";
        let kinds = sqlx::query_as(kinds).fetch_all(&mut store).await.unwrap();
        store.close().await.unwrap();
        kinds
    }

    /// All rows of all tables, with the table's name.
    pub(crate) async fn stored(&self) -> Vec<String> {
        let path = self.scene.house.running.data().join("lockstep.db");
        let mut store = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut store).await.unwrap();
        let mut rows = Vec::new();
        for table in tables {
            rows.extend(rows_of(&mut store, &table).await);
        }
        store.close().await.unwrap();
        rows
    }
}

async fn service(house: &House, name: &str, scope: &str) -> String {
    let request = ServiceTokenRequest { name: name.to_owned(), scopes: vec![scope.to_owned()], ttl_s: None };
    house.admin.service_token(&request).await.unwrap().token
}

async fn group(scene: &Scene) -> String {
    let body = json!({"kind": "group", "members": ["ben"]}).to_string();
    // By a device of its own, which no operation has signed out.
    let token = scene.house.token("ana", "founder", "main").await;
    let made = scene.house.ask(&token, "POST", "/v1/conversations", Some(&body)).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["id"].as_str().unwrap().to_owned()
}

async fn rows_of(store: &mut SqliteConnection, table: &str) -> Vec<String> {
    let columns = "SELECT name FROM pragma_table_info(?)";
    let columns: Vec<String> = sqlx::query_scalar(columns).bind(table).fetch_all(&mut *store).await.unwrap();
    let quoted: Vec<_> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
    let query = format!("SELECT '{table} ' || {} FROM \"{table}\" ORDER BY 1", quoted.join(" || ' ' || "));
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(store).await.unwrap()
}

/// Somebody knows ana's password and waits for her approval.
async fn waiting_sign_in(house: &House) -> String {
    house.admin.set_password("ana", "correct horse").await.unwrap();
    let body = json!({"user": "ana", "password": "correct horse", "device": {"name": "new"}}).to_string();
    let headers = ["Content-Type: application/json"];
    let request = super::support::request("POST", "/v1/sessions", &headers, &body);
    let answer = super::support::exchange(house.address(), &request).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// A device that asks to be linked: its id and its code.
async fn waiting_link(house: &House) -> (String, String) {
    let request = super::support::request("POST", "/v1/links", &["Content-Type: application/json"], "{}");
    let answer = super::support::exchange(house.address(), &request).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
    (text("link"), text("code"))
}

impl Known for World {
    fn of(&self, type_name: &str) -> Option<Value> {
        Some(match type_name {
            "ConversationId" => json!(self.conversation),
            "DeviceId" => json!(self.laptop),
            "SignInId" => json!(self.sign_in.parse::<SignInId>().unwrap()),
            "LinkId" => json!(self.link),
            "LinkCode" => json!(self.code),
            "UserId" => json!("ben"),
            "ClientMsgId" => json!(ClientMsgId::random()),
            "Seq" => json!(1),
            "Body" => json!({"type": "text", "text": "x"}),
            _ => return None,
        })
    }
}
