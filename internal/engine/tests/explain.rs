//! What operators are told about a message and a device: one case for each verdict.

mod common;

use common::device::SessionDevice;
use common::faulty::{CountingLog, LosingBroker, SlowLog};
use common::{House, soon};
use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_engine::EngineConfig;
use lockstep_model::StageName::{
    Acknowledged, Behind, Committed, Connected, Delivered, Disconnected, Live, Published, Recalled, Removed,
};
use lockstep_model::{
    Body, ClientMsgId, Code, ConversationId, ConversationKind, Device, DeviceId, EntryId, Explanation, History, Kind,
    MessageRef, Seq, StageName, StateChange, Target, TopicMode, UnixMs, Verdict,
};
use lockstep_ports::{Append, Author, CursorRow, Directory, MessageLog};
use lockstep_session::SessionConfig;
use std::sync::Arc;
use std::sync::atomic::Ordering;

async fn fill(house: &House, device: &Device, room: ConversationId, count: u64) {
    for number in 0..count {
        house.send(device, Target::Conversation(room), &format!("secret {number}")).await.unwrap();
    }
}

/// Asks, and holds the answer against what every answer must be.
async fn explain(house: &House, device: &Device, message: MessageRef) -> Explanation {
    let explanation = soon(house.engine.explain(device.id, message)).await.unwrap();
    let json = serde_json::to_string(&explanation).unwrap();
    assert!(!json.contains("secret"), "{json}");
    assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
    assert!(explanation.stages.is_sorted_by_key(|stage| stage.at), "{json}");
    assert!(explanation.sentence.ends_with('.') && !explanation.sentence.contains("  "), "{json}");
    explanation
}

fn at(conversation: ConversationId, seq: u64) -> MessageRef {
    MessageRef::Place { conversation, seq: Seq::new(seq) }
}

fn all_stages(explanation: &Explanation) -> Vec<StageName> {
    explanation.stages.iter().map(|stage| stage.stage).collect()
}

/// Those of the message: the device may have come and gone in the same millisecond.
fn stages(explanation: &Explanation) -> Vec<StageName> {
    let mut stages = all_stages(explanation);
    stages.retain(|stage| ![Connected, Disconnected].contains(stage));
    stages
}

/// Bounds with a small window, which the feed does not fill.
fn narrow() -> SessionConfig {
    SessionConfig { window_entries: 4, ..SessionConfig::default() }
}

#[tokio::test]
async fn delivered_and_acknowledged_by_a_live_device() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    let mut device = SessionDevice::start(&house, &ben).await;
    device.acks = false;
    fill(&house, &ana, room, 2).await;
    device.until(|device| device.seqs(room) == [1, 2]).await;

    let waiting = device.beside(explain(&house, &ben, at(room, 2))).await;
    assert_eq!(waiting.verdict, Verdict::InFlight);
    assert_eq!(stages(&waiting), [Committed, Published, Delivered]);
    assert!(waiting.sentence.contains("2 of the conversation are in flight"), "{}", waiting.sentence);
    let connection = waiting.connection.unwrap();
    assert_eq!((connection.generation, connection.topic.mode), (1, TopicMode::Live));
    assert_eq!((connection.topic.next, connection.topic.acked), (Seq::new(3), Seq::ZERO));

    device.ack_all();
    let had = device.beside(explain(&house, &ben, at(room, 1))).await;
    assert_eq!((had.verdict, had.cursor), (Verdict::Acknowledged, Some(Seq::new(2))));
    assert_eq!(stages(&had), [Committed, Published, Delivered, Acknowledged]);
    let last = had.stages.last().unwrap();
    assert_eq!((last.generation, last.from, last.to), (Some(1), None, Some(Seq::new(2))));
    assert!(had.sentence.starts_with("The device acknowledged it at "), "{}", had.sentence);

    // Afterwards it is known without the device.
    device.leave(&house).await;
    let later = explain(&house, &ben, at(room, 1)).await;
    assert_eq!((later.verdict, later.connection), (Verdict::Acknowledged, None));
    assert_eq!(all_stages(&later).last(), Some(&Disconnected));
    assert!(all_stages(&later).contains(&Connected));
}

#[tokio::test]
async fn without_the_trace_the_cursor_still_tells() {
    let house = House::with(EngineConfig { trace_records: 0, ..EngineConfig::default() }).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    let mut device = SessionDevice::start(&house, &ben).await;
    fill(&house, &ana, room, 1).await;
    device.until(|device| device.seqs(room) == [1]).await;
    let had = device.beside(explain(&house, &ben, at(room, 1))).await;
    assert_eq!((had.verdict, stages(&had), had.traced_since), (Verdict::Acknowledged, vec![Committed], None));
    assert!(had.sentence.contains("all up to 1, since when, the trace does not tell"), "{}", had.sentence);
}

#[tokio::test]
async fn a_device_that_is_away() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    fill(&house, &ana, room, 1).await;
    let never = explain(&house, &ben, at(room, 1)).await;
    assert_eq!((never.verdict, stages(&never)), (Verdict::Away, vec![Committed]), "nobody followed it: not published");
    assert!(never.sentence.contains("never connected"), "{}", never.sentence);

    let mut device = SessionDevice::start(&house, &ben).await;
    device.leave(&house).await;
    fill(&house, &ana, room, 1).await;
    let gone = explain(&house, &ben, at(room, 2)).await;
    assert_eq!(gone.verdict, Verdict::Away);
    assert!(gone.sentence.contains("no connection since 2"), "{}", gone.sentence);
    assert_eq!(gone.cursor, Some(Seq::new(1)));

    // He has another one: the last main device is not removed.
    house.device("ben").await;
    house.engine.remove_device(ben.id).await.unwrap();
    let removed = explain(&house, &ben, at(room, 2)).await;
    assert_eq!((removed.verdict, stages(&removed).last()), (Verdict::DeviceRemoved, Some(&Removed)));
    assert!(removed.sentence.starts_with("The device was removed at 2"), "{}", removed.sentence);
    let before = explain(&house, &ben, at(room, 1)).await;
    assert_eq!(before.verdict, Verdict::Acknowledged, "the trace has seen it");
}

#[tokio::test]
async fn a_conversation_in_log_mode() {
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
    // It has all of its feed: the one read is the room's.
    let mut device = SessionDevice::with(&house, &ben, narrow(), true).await;
    device.leave(&house).await;
    device.acks = false;
    fill(&house, &ana, room, 10).await;
    device.reconnect(&house, &ben).await;
    slow.is_slow.store(true, Ordering::SeqCst);
    device.turn().await;
    soon(slow.read.acquire()).await.unwrap().forget();
    slow.is_slow.store(false, Ordering::SeqCst);
    let reading = device.beside(explain(&house, &ben, at(room, 10))).await;
    assert_eq!((reading.verdict, stages(&reading)), (Verdict::Reading, vec![Committed, Behind]));
    slow.go_on.add_permits(1);

    device.until(|device| device.seqs(room).len() == 4).await;
    let full = device.beside(explain(&house, &ben, at(room, 10))).await;
    assert_eq!(full.verdict, Verdict::WindowFull);
    assert!(full.sentence.contains("reads from 5 on: 4 of it are in flight"), "{}", full.sentence);
    assert_eq!(device.beside(explain(&house, &ben, at(room, 4))).await.verdict, Verdict::InFlight);

    device.acks = true;
    device.ack_all();
    device.until(|device| device.seqs(room).len() == 10).await;
    let had = device.beside(explain(&house, &ben, at(room, 10))).await;
    assert_eq!(had.verdict, Verdict::Acknowledged);
    let told = stages(&had);
    assert!(told.contains(&Live) && told.contains(&Delivered) && !told.contains(&Published), "{told:?}");
}

#[tokio::test]
async fn an_entry_that_the_broker_has_lost() {
    let config = EngineConfig { heads_period: std::time::Duration::from_secs(3_600), ..EngineConfig::default() };
    let house = House::made(config, |ports, _| ports.broker = Arc::new(LosingBroker(EmbeddedBroker::new()))).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    let mut device = SessionDevice::start(&house, &ben).await;
    fill(&house, &ana, room, 1).await;
    let lost = device.beside(explain(&house, &ben, at(room, 1))).await;
    assert_eq!((lost.verdict, stages(&lost)), (Verdict::Waiting, vec![Committed, Published]));
    // A conversation that its feed has not told of yet.
    let new = house.silent_group(&[&ana, &ben]).await;
    fill(&house, &ana, new, 1).await;
    let unheard = device.beside(explain(&house, &ben, at(new, 1))).await;
    assert_eq!((unheard.verdict, unheard.connection.unwrap().topic.mode), (Verdict::Waiting, TopicMode::NotFollowed));
}

#[tokio::test]
async fn a_connection_that_is_being_let_in() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    fill(&house, &ana, room, 1).await;
    let mut device = SessionDevice::silent(&house, &ben).await;
    let opening = device.beside(explain(&house, &ben, at(room, 1))).await;
    assert_eq!((opening.verdict, opening.connection.unwrap().topic.mode), (Verdict::Opening, TopicMode::Opening));
}

#[tokio::test]
async fn a_connection_that_does_not_answer() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    fill(&house, &ana, room, 1).await;
    let live = house.connect(&ben).await;
    let busy = explain(&house, &ben, at(room, 1)).await;
    assert_eq!((busy.verdict, busy.connection), (Verdict::Busy, None));
    live.connection.mailbox.close(Code::SlowReader);
    assert_eq!(explain(&house, &ben, at(room, 1)).await.verdict, Verdict::Away);
}

#[tokio::test]
async fn what_the_user_may_not_see() {
    let house = House::new().await;
    let (ana, ben, eve) = (house.device("ana").await, house.device("ben").await, house.device("eve").await);
    let room = house.club(ConversationKind::Room, History::None, &[&ana]).await;
    fill(&house, &ana, room, 2).await;
    // 1: created; 2 and 3: before; 4: joined; 5: seen; 6: left; 7: after.
    house.engine.join(&ben.user, room).await.unwrap();
    fill(&house, &ana, room, 1).await;
    house.engine.leave(&ben.user, room).await.unwrap();
    fill(&house, &ana, room, 1).await;
    for seq in [3, 7] {
        let outside = explain(&house, &ben, at(room, seq)).await;
        assert_eq!(outside.verdict, Verdict::NotMember, "{seq}");
        assert!(outside.sentence.ends_with("and sees 4 to 6."), "{}", outside.sentence);
    }
    assert_eq!(explain(&house, &ben, at(room, 5)).await.verdict, Verdict::Away, "one who left still gets it");
    let never = explain(&house, &eve, at(room, 5)).await;
    assert_eq!((never.verdict, &*never.sentence), (Verdict::NotMember, "eve never was a member of the conversation."));

    let hide = StateChange { delete_before: Some(Seq::new(3)), ..StateChange::default() };
    house.engine.change_state(&ana.user, room, hide).await.unwrap();
    let hidden = explain(&house, &ana, at(room, 2)).await;
    assert_eq!((hidden.verdict, &*hidden.sentence), (Verdict::Hidden, "ana has hidden the conversation up to 2."));
    assert_eq!(explain(&house, &ana, at(room, 3)).await.verdict, Verdict::Away);
}

#[tokio::test]
async fn what_the_log_has_no_more() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    fill(&house, &ana, room, 3).await;
    let recall = Body::recall(Seq::new(3));
    let target = Target::Conversation(room);
    let (user, id) = (ana.user.clone(), ana.id);
    house.engine.send_as(user, id, target, ClientMsgId::random(), Kind::Recall, recall).await.unwrap();
    let recalled = explain(&house, &ben, at(room, 3)).await;
    assert_eq!((recalled.verdict, stages(&recalled)), (Verdict::Recalled, vec![Committed, Recalled]));
    assert!(recalled.sentence.contains("gets is a stub. The device has never"), "{}", recalled.sentence);

    house.store.raise_floor(room, Seq::new(3)).await.unwrap();
    let below = explain(&house, &ben, at(room, 2)).await;
    assert_eq!((below.verdict, below.id), (Verdict::BelowFloor, None));
    assert!(below.sentence.contains("below 3, before the device had it"), "{}", below.sentence);
    let device = SessionDevice::start(&house, &ben).await;
    let mut device = device;
    let skipped = device.beside(explain(&house, &ben, at(room, 2))).await;
    assert_eq!(skipped.verdict, Verdict::BelowFloor, "what was left out was acknowledged, but not delivered");
    assert!(skipped.sentence.contains("or was told to leave it out"), "{}", skipped.sentence);
    let had = device.beside(explain(&house, &ben, at(room, 3))).await;
    assert_eq!(had.verdict, Verdict::Acknowledged);
    assert!(had.sentence.contains("It was recalled at 2"), "{}", had.sentence);
}

#[tokio::test]
async fn what_is_not_there() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    fill(&house, &ana, room, 1).await;
    let nowhere = ConversationId::generate();
    let old = EntryId::from_bytes([0; 16]);
    for message in [at(room, 2), at(nowhere, 1), MessageRef::Id(EntryId::generate()), MessageRef::Id(old)] {
        let none = explain(&house, &ben, message).await;
        assert_eq!((none.verdict, none.id, none.stages.len()), (Verdict::NotFound, None, 0), "{}", none.sentence);
    }
    assert_eq!(house.engine.explain(DeviceId::generate(), at(room, 1)).await, Err(Code::NoSuchDevice));
}

#[tokio::test]
async fn an_entry_is_found_by_its_id() {
    let house = House::new().await;
    let (ana, ben, eve) = (house.device("ana").await, house.device("ben").await, house.device("eve").await);
    let mut rooms = Vec::new();
    let mut sent = Vec::new();
    for _ in 0..3 {
        rooms.push(house.silent_group(&[&ana, &ben]).await);
    }
    for round in 0..40 {
        for room in &rooms[..1 + round % 3] {
            sent.push(house.send(&ana, Target::Conversation(*room), "secret").await.unwrap());
        }
    }
    house.store.raise_floor(rooms[0], Seq::new(5)).await.unwrap();
    for one in &sent {
        let found = explain(&house, &ben, MessageRef::Id(one.id)).await;
        if one.conversation == rooms[0] && one.seq < Seq::new(5) {
            assert_eq!(found.verdict, Verdict::NotFound);
        } else {
            assert_eq!((found.conversation, found.seq), (Some(one.conversation), Some(one.seq)));
            assert_eq!((found.id, found.kind, found.verdict), (Some(one.id), Some(Kind::Message), Verdict::Away));
        }
    }
    // Only the conversations of the device's user are looked through.
    let foreign = explain(&house, &eve, MessageRef::Id(sent[sent.len() - 1].id)).await;
    assert_eq!((foreign.verdict, foreign.conversation), (Verdict::NotFound, None));
}

#[tokio::test]
async fn what_is_over_and_acknowledged_is_found_by_its_id_too() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.club(ConversationKind::Room, History::None, &[&ana]).await;
    house.engine.join(&ben.user, room).await.unwrap();
    let sent = house.send(&ana, Target::Conversation(room), "secret").await.unwrap();
    house.engine.leave(&ben.user, room).await.unwrap();
    let after = house.send(&ana, Target::Conversation(room), "secret").await.unwrap();
    let cursor = CursorRow { device: ben.id, conversation: room, seq: Seq::new(after.seq.get() - 1) };
    house.store.store_cursors(vec![cursor]).await.unwrap();
    let followed = house.store.followed(ben.user.clone(), ben.id).await.unwrap();
    assert!(followed.iter().all(|row| row.conversation != room), "the device hears no more of it: {followed:?}");
    let had = explain(&house, &ben, MessageRef::Id(sent.id)).await;
    assert_eq!((had.conversation, had.seq, had.verdict), (Some(room), Some(sent.seq), Verdict::Acknowledged));
    let outside = explain(&house, &ben, MessageRef::Id(after.id)).await;
    assert_eq!((outside.seq, outside.verdict), (Some(after.seq), Verdict::NotMember));
}

#[tokio::test]
async fn little_is_read_at_a_time() {
    let mut counting = None;
    let house = House::made(EngineConfig::default(), |ports, store| {
        let log = Arc::new(CountingLog::new(store.clone()));
        counting = Some(Arc::clone(&log));
        ports.log = log as Arc<dyn MessageLog>;
    })
    .await;
    let counting = counting.unwrap();
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.silent_group(&[&ana, &ben]).await;
    // All of one time: each is near the one that is looked for.
    let append = |number: u64| Append {
        conversation: room,
        author: Author::Device { user: ana.user.clone(), device: ana.id },
        client_msg_id: ClientMsgId::random(),
        kind: if number == 300 { Kind::Recall } else { Kind::Message },
        body: if number == 300 { Body::recall(Seq::new(2)) } else { Body::text("secret") },
        id: EntryId::generate(),
        sent_at: UnixMs::now(),
    };
    let batch: Vec<_> = (0..=300).map(append).collect();
    let ids: Vec<_> = batch.iter().map(|append| append.id).collect();
    assert!(house.store.append(batch).await.unwrap().iter().all(Result::is_ok));

    let recalled = explain(&house, &ben, at(room, 2)).await;
    assert_eq!(recalled.verdict, Verdict::Recalled);
    assert_eq!(stages(&recalled), [Committed, Recalled], "its recall lies far behind it");
    for number in (0..300).step_by(23) {
        let found = explain(&house, &ben, MessageRef::Id(ids[number])).await;
        assert_eq!(found.id, Some(ids[number]), "{number}");
    }
    let none = explain(&house, &ben, MessageRef::Id(EntryId::generate())).await;
    assert_eq!(none.verdict, Verdict::NotFound);
    assert!(counting.entries_max.load(Ordering::SeqCst) <= 64, "with 64 KiB each, that is enough");

    let asking = (0..8).map(|_| {
        let (engine, id) = (house.engine.clone(), ids[40]);
        tokio::spawn(async move { engine.explain(ben.id, MessageRef::Id(id)).await })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(soon(asked).await.unwrap().unwrap().id, Some(ids[40]));
    }
    assert_eq!(counting.open_max.load(Ordering::SeqCst), 1, "one is answered at a time");
}
