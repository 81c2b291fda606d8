//! Recalls: once one is answered, nobody reads what it has erased.

mod common;

use common::faulty::SlowLog;
use common::{House, Live, soon, user};
use lockstep_engine::{EngineConfig, Slice};
use lockstep_model::{Ask, Body, ClientMsgId, ConversationId, Device, Kind, Notice, Page, SendOutcome, Seq, Target};
use lockstep_ports::MessageLog;
use std::sync::Arc;
use std::sync::atomic::Ordering;

async fn send(house: &House, device: &Device, room: ConversationId, kind: Kind, body: Body) -> SendOutcome {
    let target = Target::Conversation(room);
    house.engine.send_as(device.user.clone(), device.id, target, ClientMsgId::random(), kind, body).await
}

async fn read(live: &mut Live, conversation: ConversationId, head: u64) -> Page {
    read_from(live, conversation, 1, head).await
}

async fn read_from(live: &mut Live, conversation: ConversationId, from: u64, head: u64) -> Page {
    live.ask(Ask::Read { conversation, from: Seq::new(from), count: 10, head: Seq::new(head) });
    match live.find(|notice| matches!(notice, Notice::Page(_))).await {
        Notice::Page(page) => *page,
        other => panic!("{other:?}"),
    }
}

fn bodies(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.body.as_json()).collect()
}

#[tokio::test]
async fn a_late_reader_gets_the_stub_from_the_ring_and_from_the_store() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    let mut live = house.resume(&ben).await;
    send(&house, &ana, room, Kind::Message, Body::text("secret")).await.unwrap();
    let edit = Body::edit(Seq::new(1), &Body::text("secret"));
    send(&house, &ana, room, Kind::Edit, edit).await.unwrap();
    assert!(bodies(&read(&mut live, room, 2).await).concat().contains("secret"), "it is in the ring");
    send(&house, &ana, room, Kind::Recall, Body::recall(Seq::new(1))).await.unwrap();
    let stub = Body::recalled();
    let expected = [stub.as_json(), stub.as_json(), r#"{"type":"recall","target":1}"#];
    // Also one who knows of less.
    for head in [3, 3, 2, 1] {
        assert_eq!(bodies(&read(&mut live, room, head).await), expected[..head as usize], "head {head}");
    }
    let page = house.engine.history(&user("ana"), room, Slice::Latest, 10).await.unwrap();
    let found: Vec<&str> = page.entries.iter().map(|entry| entry.body.as_json()).collect();
    assert_eq!(found, expected);
}

/// Retention has taken the message, and its edit is still in memory.
#[tokio::test]
async fn the_edit_of_a_message_that_is_gone_goes_too() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    let mut live = house.resume(&ben).await;
    send(&house, &ana, room, Kind::Message, Body::text("secret")).await.unwrap();
    let edit = Body::edit(Seq::new(1), &Body::text("secret"));
    send(&house, &ana, room, Kind::Edit, edit).await.unwrap();
    house.store.raise_floor(room, Seq::new(2)).await.unwrap();
    assert!(bodies(&read_from(&mut live, room, 2, 2).await).concat().contains("secret"), "it is in the ring");
    send(&house, &ana, room, Kind::Recall, Body::recall(Seq::new(1))).await.unwrap();
    let stub = Body::recalled();
    for head in [3, 2] {
        let expected = [stub.as_json(), r#"{"type":"recall","target":1}"#];
        let page = read_from(&mut live, room, 2, head).await;
        assert_eq!(bodies(&page), expected[..head as usize - 1], "head {head}");
    }
    let page = house.engine.history(&user("ana"), room, Slice::Latest, 10).await.unwrap();
    assert!(page.entries.iter().all(|entry| !entry.body.as_json().contains("secret")));
}

/// A read that found the old body before the recall and comes back after it may not bring it back into memory.
#[tokio::test]
async fn a_read_under_way_while_a_recall_commits() {
    let mut slow = None;
    let house = House::made(EngineConfig::default(), |ports, store| {
        let log = Arc::new(SlowLog::new(store.clone()));
        slow = Some(Arc::clone(&log));
        ports.log = log as Arc<dyn MessageLog>;
    })
    .await;
    let slow = slow.unwrap();
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    send(&house, &ana, room, Kind::Message, Body::text("secret")).await.unwrap();
    // It follows nothing, so the recall itself does not come into memory and leaves room for what is older.
    let mut live = house.connect(&ben).await;

    slow.is_slow.store(true, Ordering::SeqCst);
    live.ask(Ask::Read { conversation: room, from: Seq::new(1), count: 10, head: Seq::new(1) });
    soon(slow.read.acquire()).await.unwrap().forget();
    send(&house, &ana, room, Kind::Recall, Body::recall(Seq::new(1))).await.unwrap();
    slow.is_slow.store(false, Ordering::SeqCst);
    slow.go_on.add_permits(1);
    live.find(|notice| matches!(notice, Notice::Page(_))).await;

    for head in [1, 2, 2] {
        let page = read(&mut live, room, head).await;
        assert!(page.entries[0].body.is_recalled(), "head {head}: {page:?}");
    }
}

/// A message and its recall in one batch: the ring never has what stands before a recall.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_recalled_at_once() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    let mut live = house.resume(&ben).await;
    let sender = house.resume(&ana).await;
    for seq in (1..400).step_by(2) {
        let parts = [(Kind::Message, Body::text("secret")), (Kind::Recall, Body::recall(Seq::new(seq)))];
        for (kind, body) in parts {
            sender.ask(Ask::Append {
                reference: None,
                target: Target::Conversation(room),
                client_msg_id: ClientMsgId::random(),
                kind,
                body,
            });
        }
    }
    // Nobody knows in which batches they were committed: after each recall that came, nothing before it is readable.
    let mut head = 0;
    while head < 400 {
        if let Notice::Entry(entry) = live.next().await.unwrap()
            && entry.conversation == room
        {
            head = entry.seq.get();
        }
    }
    let page = house.engine.history(&user("ben"), room, Slice::Latest, 1_000).await.unwrap();
    assert!(page.entries.iter().all(|entry| !entry.body.as_json().contains("secret")));
    for from in [1, 200, 398, 399] {
        live.ask(Ask::Read { conversation: room, from: Seq::new(from), count: 400, head: Seq::new(400) });
        let Notice::Page(page) = live.find(|notice| matches!(notice, Notice::Page(_))).await else { continue };
        assert!(bodies(&page).iter().all(|body| !body.contains("secret")), "from {from}");
    }
}

/// An edit to a user without a direct conversation is about nothing: none is made for it.
#[tokio::test]
async fn only_a_message_begins_a_direct_conversation() {
    let house = House::new().await;
    let (ana, _ben) = (house.device("ana").await, house.device("ben").await);
    let target = Target::User(user("ben"));
    let recall = (Kind::Recall, Body::recall(Seq::new(1)));
    let outcome =
        house.engine.send_as(ana.user.clone(), ana.id, target, ClientMsgId::random(), recall.0, recall.1).await;
    assert_eq!(outcome, Err(lockstep_model::Code::NoSuchConversation));
    assert!(house.engine.conversations(&ana.user, None, 10).await.unwrap().is_empty());
}
