//! Signals and presence, as far as the engine decides about them.

mod common;

use common::{House, Live, user};
use lockstep_engine::EngineConfig;
use lockstep_model::{Ask, Body, ConversationId, Device, Notice, OffsetsVersion, Online, Ref, Seq, Target};

fn signal(conversation: ConversationId, text: &str) -> Ask {
    Ask::Signal { conversation, body: Body::text(text) }
}

fn online(name: &str, online: bool) -> Online {
    Online { user: user(name), online }
}

/// All that waits in the mailbox once this question is answered.
async fn until_answered(live: &mut Live, reference: Ref) -> Vec<Notice> {
    live.ask(Ask::Watch { reference: Some(reference), users: vec![] });
    let mut notices = Vec::new();
    loop {
        match live.next().await.unwrap() {
            Notice::Watched { reference: Some(answered), .. } if answered == reference => return notices,
            notice => notices.push(notice),
        }
    }
}

#[tokio::test]
async fn only_members_signal() {
    let house = House::new().await;
    let (ana, ben, eve) = (house.device("ana").await, house.device("ben").await, house.device("eve").await);
    let room = house.group(&[&ana, &ben]).await;
    let (ana_live, mut ben_live, eve_live) =
        (house.resume(&ana).await, house.resume(&ben).await, house.resume(&eve).await);
    // A session that is a moment behind would ask so.
    eve_live.ask(signal(room, "from a stranger"));
    eve_live.ask(signal(ConversationId::generate(), "nowhere"));
    ana_live.ask(signal(room, "from a member"));
    let is_signal = |notice: &Notice| matches!(notice, Notice::Signal(_));
    let Notice::Signal(found) = ben_live.find(is_signal).await else { unreachable!() };
    assert_eq!((found.user.as_str(), found.device), ("ana", ana.id));
    // Questions run side by side: asked for again once those of the stranger must have been looked up.
    let mut eve_live = eve_live;
    until_answered(&mut eve_live, Seq::new(1)).await;
    assert!(!until_answered(&mut ben_live, Seq::new(1)).await.iter().any(is_signal));
}

#[tokio::test]
async fn nothing_ephemeral_crosses_a_block() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let direct = house.engine.open_direct(&ana.user, &ben.user).await.unwrap().id;
    let room = house.group(&[&ana, &ben]).await;
    let (mut ana_live, mut ben_live) = (house.resume(&ana).await, house.resume(&ben).await);
    assert_eq!(watch(&mut ben_live, &["ana"]).await, [online("ana", true)]);
    assert_eq!(watch(&mut ana_live, &["ben"]).await, [online("ben", true)]);
    house.engine.put_block(&ana.user, ben.user.clone()).await.unwrap();
    // At once, and nothing after it, whoever watched whom.
    for (live, name) in [(&mut ben_live, "ana"), (&mut ana_live, "ben")] {
        let told = live.find(|notice| matches!(notice, Notice::Presence(_))).await;
        assert_eq!(told, Notice::Presence([online(name, false)].into()));
    }
    house.engine.disconnect(&ana_live.connection, vec![direct, room], None).await;
    let mut ana_live = house.resume(&ana).await;
    let is_presence = |notice: &Notice| matches!(notice, Notice::Presence(_));
    assert!(!until_answered(&mut ben_live, Seq::new(7)).await.iter().any(is_presence), "ben hears of ana");
    for (live, name) in [(&mut ana_live, "ben"), (&mut ben_live, "ana")] {
        assert_eq!(watch(live, &[name]).await, []);
    }
    // Both lookups are over when the answer that follows has come.
    ana_live.ask(signal(direct, "across a block"));
    until_answered(&mut ana_live, Seq::new(1)).await;
    ana_live.ask(signal(room, "among others"));
    let is_signal = |notice: &Notice| matches!(notice, Notice::Signal(_));
    let Notice::Signal(found) = ben_live.find(is_signal).await else { unreachable!() };
    assert_eq!(found.conversation, room);
    house.engine.remove_block(&ana.user, ben.user.clone()).await.unwrap();
    assert_eq!(watch(&mut ben_live, &["ana"]).await, [online("ana", true)]);
    ana_live.ask(signal(direct, "no block any more"));
    let Notice::Signal(found) = ben_live.find(is_signal).await else { unreachable!() };
    assert_eq!(found.conversation, direct);
}

#[tokio::test]
async fn signals_without_room_are_no_reason_to_look_for_anything() {
    let house = House::with(EngineConfig { mailbox_max: 4, ..EngineConfig::default() }).await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let room = house.group(&[&ana, &ben]).await;
    let ana_live = house.resume(&ana).await;
    let mut ben_live = house.resume(&ben).await;
    for number in 0..40 {
        ana_live.ask(signal(room, &number.to_string()));
    }
    let mut ana_live = ana_live;
    until_answered(&mut ana_live, Seq::new(1)).await;
    let notices = until_answered(&mut ben_live, Seq::new(1)).await;
    assert!(!notices.contains(&Notice::Overflowed), "{notices:?}");
}

async fn watch(live: &mut Live, names: &[&str]) -> Vec<Online> {
    live.ask(Ask::Watch { reference: None, users: names.iter().map(|name| user(name)).collect() });
    match live.find(|notice| matches!(notice, Notice::Watched { .. })).await {
        Notice::Watched { outcome, .. } => outcome.unwrap(),
        _ => unreachable!(),
    }
}

async fn friends(house: &House) -> (Device, Device) {
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    house.engine.open_direct(&ana.user, &ben.user).await.unwrap();
    (ana, ben)
}

/// What was dropped from a full mailbox is told again when the session rechecks.
#[tokio::test]
async fn presence_that_was_missed_is_told_by_a_recheck() {
    let house = House::with(EngineConfig { mailbox_max: 2, ..EngineConfig::default() }).await;
    let (ana, ben) = friends(&house).await;
    let mut ana_live = house.resume(&ana).await;
    assert_eq!(watch(&mut ana_live, &["ben"]).await, [online("ben", false)]);
    for _ in 0..4 {
        let ben_live = house.connect(&ben).await;
        house.engine.disconnect(&ben_live.connection, vec![], None).await;
    }
    let _ben_live = house.connect(&ben).await;
    ana_live.find(|notice| matches!(notice, Notice::Overflowed)).await;
    ana_live
        .ask(Ask::Recheck { conversations: vec![ConversationId::generate()], offsets_version: OffsetsVersion::ZERO });
    let told = ana_live.find(|notice| matches!(notice, Notice::Presence(_))).await;
    assert_eq!(told, Notice::Presence([online("ben", true)].into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_word_is_right_however_often_somebody_comes_and_goes() {
    let house = House::new().await;
    let (ana, ben) = friends(&house).await;
    let mut ana_live = house.resume(&ana).await;
    watch(&mut ana_live, &["ben"]).await;
    let second = house.device("ben").await;
    let coming_and_going = |device: Device| {
        let house = &house;
        async move {
            for _ in 0..50 {
                let live = house.connect(&device).await;
                tokio::task::yield_now().await;
                house.engine.disconnect(&live.connection, vec![], None).await;
            }
        }
    };
    tokio::join!(coming_and_going(ben), coming_and_going(second));
    let notices = until_answered(&mut ana_live, Seq::new(1)).await;
    let told: Vec<bool> = notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Presence(users) => Some(users[0].online),
            _ => None,
        })
        .collect();
    assert!(
        !told.is_empty() && told.iter().enumerate().all(|(number, online)| *online == (number % 2 == 0)),
        "{told:?}"
    );
    assert_eq!(told.last(), Some(&false));
}

/// Receipts of ben that ana is told in one conversation after ben has got and read up to here.
async fn told(
    house: &House,
    ana_live: &mut Live,
    ben_live: &Live,
    direct: ConversationId,
    room: ConversationId,
) -> bool {
    let seq = house.engine.conversation(&user("ben"), direct).await.unwrap().conversation.bounds.head;
    ben_live.ask(Ask::Acked { conversation: direct, seq });
    ben_live.ask(Ask::Acked { conversation: room, seq });
    let mut heard = false;
    loop {
        // One for each conversation is told at a time; when that of the room has come, the other one has if it comes.
        let Notice::Receipts(told) = ana_live.find(|notice| matches!(notice, Notice::Receipts(_))).await else {
            unreachable!()
        };
        heard |= told.conversation == direct;
        if told.conversation == room {
            ana_live.ask(Ask::Watch { reference: Some(Seq::new(1)), users: vec![] });
            loop {
                match ana_live.next().await.unwrap() {
                    Notice::Watched { .. } => return heard,
                    Notice::Receipts(told) => heard |= told.conversation == direct,
                    _ => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn receipts_do_not_cross_a_block() {
    let house = House::new().await;
    let (ana, ben) = (house.device("ana").await, house.device("ben").await);
    let direct = house.engine.open_direct(&ana.user, &ben.user).await.unwrap().id;
    let room = house.group(&[&ana, &ben]).await;
    house.send(&ana, Target::Conversation(direct), "hello").await.unwrap();
    house.send(&ana, Target::Conversation(room), "hello").await.unwrap();
    let (mut ana_live, ben_live) = (house.resume(&ana).await, house.resume(&ben).await);
    assert!(told(&house, &mut ana_live, &ben_live, direct, room).await);
    house.engine.put_block(&ana.user, ben.user.clone()).await.unwrap();
    assert!(!told(&house, &mut ana_live, &ben_live, direct, room).await, "a live connection");
    house.engine.disconnect(&ben_live.connection, vec![direct, room], None).await;
    let ben_live = house.resume(&ben).await;
    assert!(!told(&house, &mut ana_live, &ben_live, direct, room).await, "a new connection");
    // Read by REST, and asked for there.
    house.engine.read_up_to(&ben.user, direct, Seq::new(1)).await.unwrap();
    assert!(!told(&house, &mut ana_live, &ben_live, direct, room).await, "said without a connection");
    let asked = house.engine.receipts(&ana.user, direct, None, 10).await.unwrap();
    assert!(asked.iter().all(|(_, receipt)| receipt.delivered.is_none() && receipt.read.is_none()), "{asked:?}");
    // It goes both ways, and ends with the last block of the two.
    house.engine.put_block(&ben.user, ana.user.clone()).await.unwrap();
    house.engine.remove_block(&ana.user, ben.user.clone()).await.unwrap();
    assert!(!told(&house, &mut ana_live, &ben_live, direct, room).await, "the other one's block");
    house.engine.remove_block(&ben.user, ana.user.clone()).await.unwrap();
    assert!(told(&house, &mut ana_live, &ben_live, direct, room).await);
}
