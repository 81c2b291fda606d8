//! Frames that are wrong: each gets its code and its sentence, the connection stays, and nothing is stored.

use crate::house::{House, Wire};
use lockstep_model::{ConversationId, limits};
use serde_json::{Value, json};

struct Room {
    wire: Wire,
    group: ConversationId,
    probes: u64,
}

impl Room {
    /// Sends a good message: the connection works, and no bad one before it has taken a seq.
    async fn probe(&mut self, after: &str) {
        self.probes += 1;
        let id = format!("probe-{}", self.probes);
        let body = json!({"type": "text", "text": "probe"});
        let frame = json!({"type": "send", "ref": 7, "conversation": self.group, "client_msg_id": id, "body": body});
        self.wire.send(frame).await;
        let sent = self.wire.until("sent").await;
        assert_eq!((&sent["ref"], &sent["seq"]), (&json!(7), &json!(self.probes)), "after {after}");
    }

    async fn check(&mut self, text: &str, code: &str, reference: Option<u64>) {
        let what: String = text.chars().take(120).collect();
        self.wire.send_text(text).await;
        let error = self.wire.until("error").await;
        assert_eq!((&error["code"], &error["close"]), (&json!(code), &json!(false)), "{what}");
        assert_eq!(error.get("ref").and_then(Value::as_u64), reference, "{what}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{what}: {error}");
        self.probe(&what).await;
    }
}

async fn room() -> (House, Room) {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let wire = house.live(&ana).await;
    (house, Room { wire, group, probes: 0 })
}

#[tokio::test]
async fn what_is_no_frame() {
    let (_house, mut room) = room().await;
    let cases = [
        ("", "bad_json", None),
        ("{", "bad_json", None),
        ("nonsense", "bad_json", None),
        ("[]", "bad_frame", None),
        ("\"hello\"", "bad_frame", None),
        ("null", "bad_frame", None),
        ("{}", "bad_frame", None),
        (r#"{"type":7}"#, "bad_frame", None),
        (r#"{"type":"dance"}"#, "unknown_type", None),
        (r#"{"type":"dance","ref":5}"#, "unknown_type", Some(5)),
        (r#"{"type":"ack","ref":-1,"cursors":[]}"#, "bad_frame", None),
        (r#"{"type":"ack","ref":"x","cursors":[]}"#, "bad_frame", None),
        (r#"{"type":"ack"}"#, "bad_frame", None),
        (r#"{"type":"ack","ref":3,"cursors":7}"#, "bad_frame", Some(3)),
        (r#"{"type":"read","conversation":"x","seq":1}"#, "bad_frame", None),
        (r#"{"type":"resume","conversations":{}}"#, "bad_frame", None),
    ];
    for (text, code, reference) in cases {
        room.check(text, code, reference).await;
    }
    let nested = "[".repeat(10_000);
    room.check(&nested, "bad_json", None).await;
}

#[tokio::test]
async fn sends_that_are_wrong() {
    let (house, mut room) = room().await;
    let eve = house.device("eve").await;
    let dan = house.device("dan").await;
    let foreign = house.group(&[&eve, &dan]).await;
    let group = room.group;
    let send = |target: Value, id: Value, body: Value| {
        let mut frame = json!({"type": "send", "ref": 5, "client_msg_id": id, "body": body});
        frame.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        frame
    };
    let (here, text) = (json!({"conversation": group}), json!({"type": "text", "text": "x"}));
    let deep = (0..limits::BODY_DEPTH_MAX).fold(json!(1), |inner, _| json!([inner]));
    let large = "a".repeat(limits::BODY_BYTES_MAX);
    let cases = [
        (json!({}), json!("m"), text.clone(), "bad_frame"),
        (json!({"conversation": group, "user": "ben"}), json!("m"), text.clone(), "bad_frame"),
        (json!({"conversation": "room"}), json!("m"), text.clone(), "bad_frame"),
        (json!({"user": "service:x"}), json!("m"), text.clone(), "bad_frame"),
        (json!({"user": "x".repeat(65)}), json!("m"), text.clone(), "bad_frame"),
        (here.clone(), json!(""), text.clone(), "bad_frame"),
        (here.clone(), json!("x".repeat(65)), text.clone(), "bad_frame"),
        (here.clone(), json!("a\u{0}b"), text.clone(), "bad_frame"),
        (here.clone(), json!(7), text.clone(), "bad_frame"),
        (here.clone(), json!("m"), json!("text"), "bad_body"),
        (here.clone(), json!("m"), json!({}), "bad_body"),
        (here.clone(), json!("m"), json!({"type": ""}), "bad_body"),
        (here.clone(), json!("m"), json!({"type": "x", "v": deep}), "bad_body"),
        (here.clone(), json!("m"), json!({"type": "text", "text": large}), "body_too_large"),
        (json!({"conversation": foreign}), json!("m"), text.clone(), "no_such_conversation"),
        (json!({"conversation": ConversationId::generate()}), json!("m"), text.clone(), "no_such_conversation"),
        (json!({"user": "nobody"}), json!("m"), text.clone(), "no_such_user"),
        (json!({"user": "ana"}), json!("m"), text.clone(), "no_such_user"),
        // The first probe's id, for something else.
        (here.clone(), json!("probe-1"), json!({"type": "text", "text": "other"}), "duplicate_id"),
    ];
    room.probe("nothing").await;
    for (target, id, body, code) in cases {
        room.check(&send(target, id, body).to_string(), code, Some(5)).await;
    }
    // The same id with the same body is the same message.
    let body = json!({"type": "text", "text": "probe"});
    room.wire.send(send(here, json!("probe-1"), body)).await;
    let again = room.wire.until("sent").await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    room.probe("a resend").await;
}

#[tokio::test]
async fn acks_and_reads_that_are_wrong() {
    let (_house, mut room) = room().await;
    room.probe("nothing").await;
    let unknown = ConversationId::generate();
    let group = room.group;
    let ack = |conversation: ConversationId, seq: Value| json!({"type": "ack", "cursors": [{"conversation": conversation, "seq": seq}]});
    let read = |conversation: ConversationId, seq: Value| json!({"type": "read", "ref": 5, "conversation": conversation, "seq": seq});
    let cases = [
        (ack(group, json!(1_000)), "ack_beyond", None),
        (ack(unknown, json!(1)), "no_such_conversation", None),
        (ack(group, json!(-1)), "bad_frame", None),
        (ack(group, json!(1.5)), "bad_frame", None),
        (ack(group, json!(9_007_199_254_740_992_u64)), "bad_frame", None),
        (ack(group, json!("1")), "bad_frame", None),
        (json!({"type": "ack", "cursors": vec![json!({"conversation": group, "seq": 0}); 1_001]}), "bad_frame", None),
        (read(group, json!(1_000)), "read_beyond", Some(5)),
        (read(unknown, json!(1)), "no_such_conversation", Some(5)),
        (read(group, json!(-1)), "bad_frame", Some(5)),
    ];
    for (frame, code, reference) in cases {
        room.check(&frame.to_string(), code, reference).await;
    }
    // An ack of nothing new changes nothing and is no error; a read of what was delivered is done.
    room.wire.send(ack(group, json!(0))).await;
    room.wire.send(read(group, json!(1))).await;
    assert_eq!(room.wire.until("done").await["ref"], 5);
}
