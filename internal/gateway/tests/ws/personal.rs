//! What a user keeps, counts and hears of others, by frames.

use crate::house::{House, Wire};
use lockstep_model::{ConversationId, Device, ReceiptSettingsChange};
use serde_json::{Value, json};

struct Two {
    house: House,
    ana: Device,
    ben: Device,
    group: ConversationId,
}

impl Two {
    async fn new() -> Self {
        let house = House::new().await;
        let (ana, ben) = (house.device("ana").await, house.device("ben").await);
        let group = house.group(&[&ana, &ben]).await;
        Self { house, ana, ben, group }
    }

    async fn send(&self, wire: &mut Wire, text: &str) {
        let body = json!({"type": "text", "text": text});
        wire.send(json!({"type": "send", "conversation": self.group, "client_msg_id": text, "body": body})).await;
        wire.until("sent").await;
    }

    async fn hide(&self, device: &Device, delivered: bool, read: bool) {
        let change = ReceiptSettingsChange { delivered: Some(delivered), read: Some(read) };
        self.house.engine.change_receipt_settings(&device.user, change).await.unwrap();
    }
}

/// Waits for an entry of the group, and acknowledges it.
async fn take(wire: &mut Wire, group: ConversationId, seq: u64) {
    loop {
        let entry = wire.until("entry").await;
        let is_it = entry["conversation"] == group.to_string() && entry["seq"] == seq;
        let cursor = json!({"conversation": entry["conversation"], "seq": entry["seq"]});
        wire.send(json!({"type": "ack", "cursors": [cursor]})).await;
        if is_it {
            return;
        }
    }
}

async fn read(wire: &mut Wire, group: ConversationId, seq: u64) {
    wire.send(json!({"type": "read", "ref": 9, "conversation": group, "seq": seq})).await;
    wire.until("done").await;
}

/// The next receipt of ben that says this.
async fn receipt_of_ben(wire: &mut Wire, name: &str) -> Value {
    loop {
        let told = wire.until("receipts").await;
        let receipts = told["receipts"].as_array().unwrap();
        assert!(receipts.iter().all(|receipt| receipt["user"] != "ana"), "of others alone: {told}");
        if let Some(receipt) = receipts.iter().find(|receipt| !receipt[name].is_null()) {
            return receipt.clone();
        }
    }
}

#[tokio::test]
async fn the_state_of_a_conversation_reaches_all_own_devices() {
    let two = Two::new().await;
    let laptop = two.house.device("ana").await;
    let (mut phone, mut other) = (two.house.live(&two.ana).await, two.house.live(&laptop).await);
    let change = json!({"type": "state", "ref": 3, "conversation": two.group, "pinned": true, "delete_before": 0});
    phone.send(change).await;
    assert_eq!(phone.until("done").await["ref"], 3);
    let mut told = other.until("entry").await;
    while told["body"]["type"] != "member_state" {
        told = other.until("entry").await;
    }
    let expected = json!({"type": "member_state", "conversation": two.group, "pinned": true, "archived": false,
        "muted_until": 0, "marked_unread": false, "delete_before": 0});
    assert_eq!(told["body"], expected);
    let foreign = json!({"type": "state", "ref": 4, "conversation": ConversationId::generate(), "pinned": true});
    phone.send(foreign).await;
    assert_eq!(phone.until("error").await["code"], "no_such_conversation");
}

#[tokio::test]
async fn what_is_unread_is_counted() {
    let two = Two::new().await;
    let (mut ana, mut ben) = (two.house.live(&two.ana).await, two.house.live(&two.ben).await);
    for text in ["one", "two", "three"] {
        two.send(&mut ben, text).await;
    }
    take(&mut ana, two.group, 3).await;
    read(&mut ana, two.group, 1).await;
    for (wire, place, count) in [(&mut ana, 1, 2), (&mut ben, 0, 0)] {
        wire.send(json!({"type": "unread", "ref": 5, "conversations": [two.group, ConversationId::generate()]})).await;
        let counted = json!({"conversation": two.group, "read": place, "head": 3, "unread": count, "mentions": 0, "marked": false});
        assert_eq!(wire.until("unread").await, json!({"type": "unread", "ref": 5, "conversations": [counted]}));
    }
}

#[tokio::test]
async fn frames_that_do_not_fit_are_refused() {
    let two = Two::new().await;
    let mut ana = two.house.live(&two.ana).await;
    let many = vec![two.group.to_string(); 101];
    for frame in [
        json!({"type": "unread", "ref": 6, "conversations": many}),
        json!({"type": "unread", "ref": 6, "conversations": "x"}),
        json!({"type": "unread", "ref": 6}),
        json!({"type": "state", "ref": 6, "pinned": true}),
        json!({"type": "state", "ref": 6, "conversation": two.group, "pinned": "yes"}),
        json!({"type": "state", "ref": 6, "conversation": two.group, "muted_until": -1}),
    ] {
        ana.send(frame.clone()).await;
        let error = ana.until("error").await;
        assert_eq!(
            (&error["code"], &error["ref"], &error["close"]),
            (&json!("bad_frame"), &json!(6), &json!(false)),
            "{frame}"
        );
    }
}

#[tokio::test]
async fn others_hear_how_far_one_has_got_as_far_as_both_tell() {
    let two = Two::new().await;
    let (mut ana, mut ben) = (two.house.live(&two.ana).await, two.house.live(&two.ben).await);
    two.send(&mut ana, "one").await;
    take(&mut ben, two.group, 1).await;
    assert_eq!(receipt_of_ben(&mut ana, "delivered").await, json!({"user": "ben", "delivered": 1}));
    read(&mut ben, two.group, 1).await;
    assert_eq!(receipt_of_ben(&mut ana, "read").await["read"], 1);

    // Ben tells no more what he has read: what comes next is delivered alone.
    two.hide(&two.ben, true, false).await;
    two.send(&mut ana, "two").await;
    take(&mut ben, two.group, 2).await;
    read(&mut ben, two.group, 2).await;
    assert_eq!(receipt_of_ben(&mut ana, "delivered").await, json!({"user": "ben", "delivered": 2}));
    two.hide(&two.ben, false, true).await;
    two.send(&mut ana, "three").await;
    take(&mut ben, two.group, 3).await;
    read(&mut ben, two.group, 3).await;
    assert_eq!(receipt_of_ben(&mut ana, "read").await, json!({"user": "ben", "read": 3}));

    // Ana tells nothing of what she has read, and so hears nothing of it.
    two.hide(&two.ben, true, true).await;
    two.hide(&two.ana, true, false).await;
    let mut told = ana.until("entry").await;
    while told["body"]["type"] != "settings_changed" {
        told = ana.until("entry").await;
    }
    read(&mut ben, two.group, 3).await;
    two.send(&mut ana, "four").await;
    take(&mut ben, two.group, 4).await;
    read(&mut ben, two.group, 4).await;
    assert_eq!(receipt_of_ben(&mut ana, "delivered").await, json!({"user": "ben", "delivered": 4}));
    // One that connects later knows the settings from the beginning.
    drop(ana);
    let mut again = two.house.live(&two.ana).await;
    two.send(&mut again, "five").await;
    take(&mut ben, two.group, 5).await;
    read(&mut ben, two.group, 5).await;
    assert_eq!(receipt_of_ben(&mut again, "delivered").await, json!({"user": "ben", "delivered": 5}));
}

#[tokio::test]
async fn a_read_without_a_connection_is_told_too() {
    let two = Two::new().await;
    let mut ana = two.house.live(&two.ana).await;
    two.send(&mut ana, "one").await;
    let (user, seq) = (&two.ben.user, lockstep_model::Seq::new(1));
    two.house.engine.read_up_to(user, two.group, seq).await.unwrap();
    assert_eq!(receipt_of_ben(&mut ana, "read").await, json!({"user": "ben", "read": 1}));
}

#[tokio::test]
async fn large_conversations_are_silent() {
    let two = Two::new().await;
    let mut members = vec![two.ana.clone(), two.ben.clone()];
    for number in 0..31 {
        members.push(two.house.device(&format!("user{number}")).await);
    }
    let large = two.house.group(&members.iter().collect::<Vec<_>>()).await;
    let (mut ana, mut ben) = (two.house.live(&two.ana).await, two.house.live(&two.ben).await);
    let body = json!({"type": "text", "text": "hi"});
    ana.send(json!({"type": "send", "conversation": large, "client_msg_id": "large", "body": body})).await;
    take(&mut ben, large, 1).await;
    read(&mut ben, large, 1).await;
    two.house.engine.read_up_to(&members[2].user, large, lockstep_model::Seq::new(1)).await.unwrap();
    // What is told first is of the small one.
    two.send(&mut ana, "small").await;
    take(&mut ben, two.group, 1).await;
    assert_eq!(ana.until("receipts").await["conversation"], two.group.to_string());
    let all = two.house.engine.receipts(&two.ana.user, large, None, 100).await.unwrap();
    assert_eq!(all.len(), 33);
    assert_eq!(all.iter().filter(|(_, receipt)| receipt.read.is_some_and(|read| read.get() == 1)).count(), 2);
}
