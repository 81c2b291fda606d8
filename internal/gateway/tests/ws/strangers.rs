//! Every frame of a device that `docs/protocol.md` shows, from one that has not said hello and from one whose user is not in
//! the conversation: nothing is told of it, and nothing that is stored changes. A frame is in here by having an example.

use crate::house::{House, Wire};
use lockstep_model::{Code, ConversationId};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

const PAGE: &str = include_str!("../../../../docs/protocol.md");
/// What only members may read.
const SECRET: &str = "for members alone";

/// The examples of frames that devices send.
fn examples() -> Vec<Value> {
    let mut parts = PAGE.split("```json\n");
    let mut before = parts.next().unwrap();
    let mut found = Vec::new();
    for part in parts {
        let (json, after) = part.split_once("\n```").unwrap();
        if before.trim_end().ends_with("\ndevice → server") {
            found.push(serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}")));
        }
        before = after;
    }
    found
}

/// Puts a conversation wherever a frame names one. False if it names none.
fn put(frame: &mut Value, conversation: ConversationId) -> bool {
    match frame {
        Value::Object(fields) => {
            let mut put_any = false;
            for (name, value) in fields {
                if name == "conversation" {
                    *value = json!(conversation);
                    put_any = true;
                }
                put_any |= put(value, conversation);
            }
            put_any
        }
        // Ids alone in a list, and objects that hold one.
        Value::Array(items) => items.iter_mut().fold(false, |put_any, item| {
            let is_id = item.as_str().is_some_and(|text| text.parse::<ConversationId>().is_ok());
            if is_id {
                *item = json!(conversation);
            }
            put(item, conversation) || is_id || put_any
        }),
        _ => false,
    }
}

/// All rows but those of devices, which tell when each was last seen.
async fn stored(house: &House) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(house.folder.path().join("lockstep.db")).read_only(true);
    let mut store = options.connect().await.unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'devices' ORDER BY name";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut store).await.unwrap();
    let mut rows = Vec::new();
    for table in tables {
        rows.extend(rows_of(&mut store, &table).await);
    }
    store.close().await.unwrap();
    rows
}

async fn rows_of(store: &mut SqliteConnection, table: &str) -> Vec<String> {
    let columns = "SELECT name FROM pragma_table_info(?)";
    let columns: Vec<String> = sqlx::query_scalar(columns).bind(table).fetch_all(&mut *store).await.unwrap();
    let quoted: Vec<_> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
    let query = format!("SELECT '{table} ' || {} FROM \"{table}\" ORDER BY 1", quoted.join(" || ' ' || "));
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(store).await.unwrap()
}

/// All that comes until the answer to a frame of a type that nobody knows, and the answer to `reference` if there is one.
async fn heard(wire: &mut Wire, reference: Option<u64>) -> Vec<Value> {
    wire.send(json!({"type": "dance", "ref": 99})).await;
    let (mut frames, mut waits_for) = (Vec::new(), vec![Some(99), reference]);
    waits_for.retain(Option::is_some);
    while !waits_for.is_empty() {
        let frame = wire.next().await.unwrap();
        waits_for.retain(|reference| frame["ref"].as_u64() != *reference);
        frames.push(frame);
    }
    frames
}

#[tokio::test]
async fn strangers_learn_nothing_and_change_nothing() {
    let house = House::new().await;
    let (ana, ben, mallory) = (house.device("ana").await, house.device("ben").await, house.device("mallory").await);
    let group = house.group(&[&ana, &ben]).await;
    let mut wire = house.live(&ana).await;
    let body = json!({"type": "text", "text": SECRET});
    wire.send(json!({"type": "send", "ref": 1, "conversation": group, "client_msg_id": "m", "body": body})).await;
    wire.until("sent").await;
    drop(wire);

    let mut asked = 0;
    for example in examples() {
        let mut frame = example.clone();
        if !put(&mut frame, group) {
            continue;
        }
        let reference = frame.get("ref").is_some().then_some(7);
        if reference.is_some() {
            frame["ref"] = json!(7);
        }
        let is_resume = frame["type"] == "resume";
        let mut stranger =
            if is_resume { house.hello(&house.token(&mallory)).await } else { house.live(&mallory).await };
        let before = stored(&house).await;
        assert!(before.iter().any(|row| row.contains(SECRET)), "{before:?}");
        stranger.send(frame.clone()).await;
        if frame["more"] == true {
            stranger.send(json!({"type": "resume"})).await;
        }
        let heard = heard(&mut stranger, reference).await;
        let words = json!(heard).to_string();
        assert!(!words.contains(SECRET) && !words.contains(&group.to_string()), "{frame}: {words}");
        let answer = heard.iter().find(|answer| reference.is_some() && answer["ref"] == json!(reference));
        if let Some(answer) = answer {
            assert!(!["sent", "done"].contains(&answer["type"].as_str().unwrap()), "{frame}: {answer}");
        }
        assert_eq!(stored(&house).await, before, "{frame} changed something");
        asked += 1;
    }
    assert!(asked >= 7, "{asked}");
}

#[tokio::test]
async fn nothing_is_done_for_whoever_has_not_said_hello() {
    let house = House::new().await;
    let ana = house.device("ana").await;
    let group = house.group(&[&ana]).await;
    let before = stored(&house).await;
    let mut asked = 0;
    for mut frame in examples() {
        if frame["type"] == "hello" {
            continue;
        }
        put(&mut frame, group);
        let mut wire = house.open().await;
        wire.send(frame.clone()).await;
        assert_eq!(wire.closed().await, Code::HelloExpected, "{frame}");
        assert_eq!(stored(&house).await, before, "{frame} changed something");
        asked += 1;
    }
    assert!(asked >= 9, "{asked}");
}
