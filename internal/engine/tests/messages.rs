//! Sends, the conversations they make, and how they reach devices.

mod common;

use common::{House, Live, user};
use lockstep_engine::Slice;
use lockstep_model::{
    Ask, Body, ClientMsgId, Code, ConversationId, Cursor, EntryId, FeedChange, Kind, Notice, Offset, OffsetsVersion,
    ResumePoint, Seq, Shown, Target,
};

async fn entry(live: &mut Live, conversation: ConversationId) -> (u64, String) {
    let of = |notice: &Notice| matches!(notice, Notice::Entry(entry) if entry.conversation == conversation);
    let Notice::Entry(entry) = live.find(of).await else { unreachable!() };
    (entry.seq.get(), entry.body.text_field("text").unwrap_or_default())
}

#[tokio::test]
async fn the_first_message_to_a_user_makes_the_conversation() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let mut ben_live = house.resume(&ben).await;
    let sent = house.send(&ana, Target::User(user("ben")), "hi").await.unwrap();
    assert_eq!(sent.conversation, ConversationId::direct(&user("ana"), &user("ben")));
    assert_eq!((sent.seq, sent.duplicate), (Seq::new(1), false));
    // Ben hears of it in his feed, follows, and finds the message in the log.
    let Notice::Entry(told) = ben_live.find(|notice| matches!(notice, Notice::Entry(_))).await else { unreachable!() };
    let Some(FeedChange::ConversationAdded { conversation, .. }) = FeedChange::of(&told) else { panic!("{told:?}") };
    assert_eq!(conversation, sent.conversation);
    ben_live.ask(Ask::Follow(Offset { conversation, seq: Seq::ZERO }));
    let Notice::Followed(point) = ben_live.find(|notice| matches!(notice, Notice::Followed(_))).await else {
        unreachable!()
    };
    assert_eq!((point.cursor, point.head), (Seq::ZERO, Seq::new(1)));
    // From here on it is live, in both directions.
    house.send(&ben, Target::User(user("ana")), "hello").await.unwrap();
    assert_eq!(entry(&mut ben_live, conversation).await, (2, "hello".to_owned()));
}

#[tokio::test]
async fn sends_that_are_refused_store_nothing() {
    let house = House::new().await;
    let (ana, ben, eve) = (house.device("ana").await, house.device("ben").await, house.device("eve").await);
    let group = house.group(&[&ana, &ben]).await;
    let cases = [
        (&eve, Target::Conversation(group), Code::NoSuchConversation),
        (&eve, Target::Conversation(ConversationId::generate()), Code::NoSuchConversation),
        (&ana, Target::User(user("nobody")), Code::NoSuchUser),
        (&ana, Target::User(user("ana")), Code::NoSuchUser),
    ];
    for (device, target, code) in cases {
        assert_eq!(house.send(device, target, "x").await, Err(code));
    }
    let page = house.engine.history(&user("ana"), group, Slice::Latest, 10).await.unwrap();
    assert_eq!((page.entries.len(), page.head), (0, Seq::ZERO));
    assert_eq!(house.engine.history(&user("eve"), group, Slice::Latest, 10).await, Err(Code::NoSuchConversation));
    assert_eq!(house.engine.conversations(&user("eve"), None, 10).await, Ok(vec![]));
}

#[tokio::test]
async fn the_same_send_twice_reaches_nobody_again() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let mut live = house.resume(&ben).await;
    let (target, id) = (Target::Conversation(group), ClientMsgId::new("m1").unwrap());
    let send = |text: &str| house.engine.send(ana.user.clone(), ana.id, target.clone(), id.clone(), Body::text(text));
    let first = send("once").await.unwrap();
    let again = send("once").await.unwrap();
    assert_eq!((again.seq, again.id, again.duplicate), (first.seq, first.id, true));
    assert_eq!(send("other").await, Err(Code::DuplicateId));
    house.send(&ana, Target::Conversation(group), "next").await.unwrap();
    assert_eq!(entry(&mut live, group).await, (1, "once".to_owned()));
    assert_eq!(entry(&mut live, group).await, (2, "next".to_owned()));
}

#[tokio::test]
async fn many_at_once_are_committed_together_and_published_in_order() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let mut live = house.resume(&ben).await;
    let before = house.store.stats().commits;
    let sender = house.resume(&ana).await;
    for n in 0..500 {
        sender.ask(Ask::Append {
            reference: Some(Seq::new(n)),
            target: Target::Conversation(group),
            client_msg_id: ClientMsgId::new(&format!("m{n}")).unwrap(),
            kind: Kind::Message,
            body: Body::text(&n.to_string()),
        });
    }
    for n in 0..500 {
        assert_eq!(entry(&mut live, group).await, (n + 1, n.to_string()));
    }
    let commits = house.store.stats().commits - before;
    assert!(commits < 100, "{commits} commits for 500 sends");
}

async fn resumed(house: &House, device: &lockstep_model::Device, shown: Vec<Shown>, verify: bool) -> Vec<ResumePoint> {
    let mut live = house.connect(device).await;
    live.ask(Ask::Resume { shown, verify });
    let Notice::Resumed(points) = live.find(|notice| matches!(notice, Notice::Resumed(_))).await else {
        unreachable!()
    };
    points
}

#[tokio::test]
async fn a_device_resumes_where_it_shows() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(house.send(&ana, Target::Conversation(group), &n.to_string()).await.unwrap().id);
    }
    let shown = |seq, entry| vec![Shown { conversation: group, cursor: Cursor { seq: Seq::new(seq), entry } }];
    let (right, wrong) = (Some(ids[1]), Some(EntryId::generate()));
    let cases = [
        (vec![], false, 0, false),
        (shown(2, right), false, 2, false),
        (shown(9, wrong), false, 4, false),
        (shown(2, right), true, 2, false),
        (shown(2, wrong), true, 2, true),
        (shown(2, None), true, 2, true),
        (shown(9, wrong), true, 4, true),
        (shown(0, None), true, 0, false),
    ];
    for (shown, verify, cursor, reset) in cases {
        let points = resumed(&house, &ben, shown.clone(), verify).await;
        let point = points.iter().find(|point| point.conversation == group).unwrap();
        let found = (point.cursor.get(), point.head.get(), point.reset);
        assert_eq!(found, (cursor, 4, reset), "{shown:?} verify {verify}");
    }
}

#[tokio::test]
async fn a_device_that_shows_less_goes_on_there_for_good() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    for n in 0..4 {
        house.send(&ana, Target::Conversation(group), &n.to_string()).await.unwrap();
    }
    use lockstep_ports::{CursorRow, Directory};
    let stored = CursorRow { device: ben.id, conversation: group, seq: Seq::new(4) };
    house.store.store_cursors(vec![stored]).await.unwrap();
    let cursor = |points: Vec<ResumePoint>| points.iter().find(|point| point.conversation == group).unwrap().cursor;
    let shown = vec![Shown { conversation: group, cursor: Cursor { seq: Seq::new(1), entry: None } }];
    assert_eq!(cursor(resumed(&house, &ben, vec![], false).await), Seq::new(4));
    assert_eq!(cursor(resumed(&house, &ben, shown, false).await), Seq::new(1));
    assert_eq!(cursor(resumed(&house, &ben, vec![], false).await), Seq::new(1), "it showed nothing more");
}

#[tokio::test]
async fn an_acknowledgement_that_waits_goes_with_what_the_device_lost() {
    for (stored, expected) in [(None, None), (Some(1), Some(1)), (Some(2), Some(1))] {
        let expected = expected.map(Seq::new);
        assert_eq!(cursor_after_showing_less(stored).await, expected, "{stored:?} was stored");
    }
}

/// A device with this stored cursor acknowledges 4, and comes back showing 1 before that is stored.
async fn cursor_after_showing_less(stored: Option<u64>) -> Option<Seq> {
    let config = lockstep_engine::EngineConfig {
        cursors_period: std::time::Duration::from_secs(3_600),
        ..lockstep_engine::EngineConfig::default()
    };
    let house = House::with(config).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    for n in 0..4 {
        house.send(&ana, Target::Conversation(group), &n.to_string()).await.unwrap();
    }
    use lockstep_ports::{CursorRow, Directory};
    let stored = stored.map(|seq| CursorRow { device: ben.id, conversation: group, seq: Seq::new(seq) });
    house.store.store_cursors(stored.into_iter().collect()).await.unwrap();
    let mut live = house.resume(&ben).await;
    live.ask(Ask::Acked { conversation: group, seq: Seq::new(4) });
    let shown = vec![Shown { conversation: group, cursor: Cursor { seq: Seq::new(1), entry: None } }];
    live.ask(Ask::Resume { shown, verify: false });
    live.find(|notice| matches!(notice, Notice::Resumed(_))).await;
    house.engine.disconnect(&live.connection, Vec::new(), None).await;
    // What waits is stored at the end.
    house.engine.stop().await;
    let followed = house.store.followed(ben.user.clone(), ben.id).await.unwrap();
    followed.iter().find(|row| row.conversation == group).unwrap().cursor
}

#[tokio::test]
async fn strangers_follow_nothing() {
    let house = House::new().await;
    let (ana, ben, eve) = (house.device("ana").await, house.device("ben").await, house.device("eve").await);
    let (theirs, own) = (house.group(&[&ana, &ben]).await, house.group(&[&eve, &ana]).await);
    let mut live = house.resume(&eve).await;
    live.ask(Ask::Follow(Offset { conversation: theirs, seq: Seq::ZERO }));
    live.ask(Ask::Follow(Offset { conversation: ConversationId::generate(), seq: Seq::ZERO }));
    // What is refused is not answered. So many answers to later questions outlast one to an earlier.
    for _ in 0..20 {
        live.ask(Ask::Follow(Offset { conversation: own, seq: Seq::ZERO }));
        let followed = live.find(|notice| matches!(notice, Notice::Followed(_))).await;
        assert!(matches!(&followed, Notice::Followed(point) if point.conversation == own), "{followed:?}");
    }
}

#[tokio::test]
async fn all_devices_of_a_user_hear_of_a_read() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let laptop = house.device("ana").await;
    let group = house.group(&[&ana, &ben]).await;
    house.send(&ben, Target::Conversation(group), "x").await.unwrap();
    let (mut phone, mut laptop) = (house.resume(&ana).await, house.resume(&laptop).await);
    phone.ask(Ask::AdvanceOffset { reference: None, conversation: group, seq: Seq::new(1) });
    for live in [&mut phone, &mut laptop] {
        let heard = live.find(|notice| matches!(notice, Notice::Offsets { .. })).await;
        let offsets = vec![lockstep_model::Offset { conversation: group, seq: Seq::new(1) }];
        assert_eq!(heard, Notice::Offsets { since: OffsetsVersion::ZERO, version: OffsetsVersion::new(1), offsets });
    }
    phone.find(|notice| matches!(notice, Notice::ReadDone { refusal: None, .. })).await;
    // A recheck finds the same in the store.
    laptop.ask(Ask::Recheck { conversations: vec![group], offsets_version: OffsetsVersion::ZERO });
    let heads = laptop.find(|notice| matches!(notice, Notice::Heads(_))).await;
    assert_eq!(heads, Notice::Heads(vec![lockstep_model::Offset { conversation: group, seq: Seq::new(1) }]));
    laptop.find(|notice| matches!(notice, Notice::Offsets { .. })).await;
}

#[tokio::test]
async fn what_no_consumer_brought_is_found_by_its_head() {
    let config = lockstep_engine::EngineConfig {
        heads_period: std::time::Duration::from_millis(20),
        ..lockstep_engine::EngineConfig::default()
    };
    let house = House::with(config).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let group = house.group(&[&ana, &ben]).await;
    let mut live = house.resume(&ben).await;
    // A commit that nobody published: as if this process had lost the envelope.
    use lockstep_ports::{Append, Author, MessageLog};
    let author = Author::Device { user: ana.user.clone(), device: ana.id };
    let (client_msg_id, body) = (ClientMsgId::random(), Body::text("lost"));
    let (id, sent_at, kind) = (EntryId::generate(), lockstep_model::UnixMs::now(), lockstep_model::Kind::Message);
    house
        .store
        .append(vec![Append { conversation: group, author, client_msg_id, kind, body, id, sent_at }])
        .await
        .unwrap();
    let head = live.find(|notice| matches!(notice, Notice::Head(head) if head.conversation == group)).await;
    assert_eq!(head, Notice::Head(lockstep_model::Offset { conversation: group, seq: Seq::new(1) }));
}
