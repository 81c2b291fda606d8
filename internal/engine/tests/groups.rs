//! Stays that begin and end while devices are live, away or slow (I11), and states that logs tell of.

mod common;

use common::device::SessionDevice;
use common::register::{Roll, race};
use common::watched::WatchedBroker;
use common::{House, user};
use lockstep_engine::{EngineConfig, Slice};
use lockstep_model::{
    Ask, Code, ConversationId, ConversationKind, Cursor, CustomObject, DetailsChange, Device, FeedChange, History,
    LogChange, Notice, Offset, Role, Seq, Shown, Target,
};
use lockstep_ports::{Broker, CursorRow, Directory, MessageLog};
use lockstep_session::SessionConfig;
use std::sync::Arc;

const GROUP: ConversationKind = ConversationKind::Group;

/// Ana's group of ana and ben, whose log has two entries.
struct Scene {
    house: House,
    ana: Device,
    ben: Device,
    group: ConversationId,
}

impl Scene {
    async fn set(history: History) -> Self {
        Self::set_in(House::new().await, history).await
    }

    async fn set_in(house: House, history: History) -> Self {
        let (ana, ben) = (house.device("ana").await, house.device("ben").await);
        let group = house.club(GROUP, history, &[&ana, &ben]).await;
        Self { house, ana, ben, group }
    }

    async fn send(&self, count: u64) {
        for _ in 0..count {
            self.house.send(&self.ana, Target::Conversation(self.group), "x").await.unwrap();
        }
    }

    async fn remove_ben(&self) -> Seq {
        self.house.engine.remove_member(&self.ana.user, self.group, user("ben")).await.unwrap();
        self.house.engine.history(&self.ana.user, self.group, Slice::Latest, 1).await.unwrap().head
    }

    async fn invite_ben(&self) {
        self.house.engine.invite(&self.ana.user, self.group, vec![user("ben")]).await.unwrap();
    }

    /// Lets all that is on its way to ben's device arrive: what it is told now was written last.
    async fn catch_up(&self, device: &mut SessionDevice) {
        let (id, kind) = (self.house.club(GROUP, History::None, &[&self.ben]).await, GROUP);
        device.until_told(FeedChange::ConversationAdded { conversation: id, kind }).await;
        device.until(|device| !device.seqs(id).is_empty()).await;
    }

    fn removed(&self) -> LogChange {
        LogChange::MemberRemoved { by: user("ana"), member: user("ben") }
    }
}

#[tokio::test]
async fn a_live_device_gets_the_entry_by_which_its_user_is_removed_and_nothing_after() {
    let scene = Scene::set(History::None).await;
    let mut device = SessionDevice::start(&scene.house, &scene.ben).await;
    let consumers = scene.house.broker.consumers();
    scene.send(2).await;
    let left = scene.remove_ben().await;
    scene.send(3).await;
    scene.catch_up(&mut device).await;
    assert_eq!((device.seqs(scene.group), left), (vec![1, 2, 3, 4, 5], Seq::new(5)));
    assert_eq!(device.last_change(scene.group), Some(scene.removed()));
    let removed = FeedChange::ConversationRemoved { conversation: scene.group };
    assert!(device.told().contains(&removed));
    assert_eq!(scene.house.broker.consumers(), consumers, "one conversation less, one more");
    // Nothing more can be written, and what is written reaches nobody.
    let target = Target::Conversation(scene.group);
    assert_eq!(scene.house.send(&scene.ben, target, "x").await, Err(Code::NoSuchConversation));
    device.reconnect(&scene.house, &scene.ben).await;
    scene.send(1).await;
    scene.catch_up(&mut device).await;
    assert_eq!(device.seqs(scene.group), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn one_who_was_away_when_removed_gets_what_came_before() {
    let scene = Scene::set(History::None).await;
    scene.send(2).await;
    scene.remove_ben().await;
    scene.send(3).await;
    // A device that was away, and one that was never there.
    let mut device = SessionDevice::start(&scene.house, &scene.ben).await;
    assert_eq!(device.seqs(scene.group), [1, 2, 3, 4, 5]);
    scene.catch_up(&mut device).await;
    device.reconnect(&scene.house, &scene.ben).await;
    assert!(device.session.conversations().all(|it| it != scene.group), "nothing of it is left to bring");
    let mut other = SessionDevice::start(&scene.house, &scene.house.device("ben").await).await;
    scene.catch_up(&mut other).await;
    assert_eq!(other.seqs(scene.group), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn one_who_was_invited_and_removed_before_the_device_heard_of_it_gets_what_lies_between() {
    let scene = Scene::set(History::None).await;
    scene.remove_ben().await;
    let mut device = SessionDevice::with(&scene.house, &scene.ben, SessionConfig::default(), false).await;
    device.acks = true;
    scene.invite_ben().await;
    scene.send(1).await;
    scene.remove_ben().await;
    scene.send(1).await;
    scene.catch_up(&mut device).await;
    device.until(|device| device.seqs(scene.group).last() == Some(&6)).await;
    assert_eq!(device.seqs(scene.group), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_slow_device_gets_no_more_than_its_stay() {
    let config = SessionConfig { window_entries: 2, ..SessionConfig::default() };
    for retained in [false, true] {
        // Memory holds too little to answer instead of the log.
        let engine = EngineConfig { ring_entries_max: 1, ..EngineConfig::default() };
        let scene = Scene::set_in(House::with(engine).await, History::None).await;
        let mut device = SessionDevice::with(&scene.house, &scene.ben, config.clone(), false).await;
        device.until(|device| device.seqs(scene.group).len() == 2).await;
        // The window is full: what comes now is for the log.
        scene.send(3).await;
        let left = scene.remove_ben().await;
        scene.send(4).await;
        scene.catch_up(&mut device).await;
        assert_eq!(device.seqs(scene.group), [1, 2]);
        if retained {
            // Even the entry by which it ended is gone.
            scene.house.store.raise_floor(scene.group, Seq::new(left.get() + 3)).await.unwrap();
        }
        device.acks = true;
        device.ack_all();
        scene.catch_up(&mut device).await;
        let expected: &[u64] = if retained { &[1, 2] } else { &[1, 2, 3, 4, 5, 6] };
        device.until(|device| device.session.conversations().all(|it| it != scene.group)).await;
        assert_eq!((device.seqs(scene.group), left), (expected.to_vec(), Seq::new(6)), "retained: {retained}");
        // And it may come back.
        scene.invite_ben().await;
        scene.send(1).await;
        device.until(|device| device.seqs(scene.group).last() == Some(&12)).await;
        assert_eq!(device.seqs(scene.group)[expected.len()..], [11, 12]);
    }
}

#[tokio::test]
async fn newcomers_see_what_the_conversation_shows_them() {
    let cases: [(History, &[u64]); 3] =
        [(History::None, &[6, 7]), (History::Last(2), &[4, 5, 6, 7]), (History::All, &[1, 2, 3, 4, 5, 6, 7])];
    for (history, expected) in cases {
        let scene = Scene::set(history).await;
        let eve = scene.house.device("eve").await;
        let mut live = SessionDevice::start(&scene.house, &eve).await;
        scene.send(3).await;
        scene.house.engine.invite(&scene.ana.user, scene.group, vec![user("eve")]).await.unwrap();
        scene.send(1).await;
        live.until(|device| device.seqs(scene.group).last() == Some(&7)).await;
        let late = SessionDevice::start(&scene.house, &scene.house.device("eve").await).await;
        for device in [&live, &late] {
            assert_eq!(device.seqs(scene.group), expected, "{history:?}");
        }
        let page = scene.house.engine.history(&eve.user, scene.group, Slice::After(Seq::ZERO), 100).await.unwrap();
        assert_eq!(page.entries.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>(), expected, "{history:?}");
    }
}

#[tokio::test]
async fn pages_pass_over_what_is_not_shown_and_are_empty_only_at_the_end() {
    let scene = Scene::set(History::None).await;
    scene.send(10).await;
    let left = scene.remove_ben().await;
    scene.send(10).await;
    scene.invite_ben().await;
    scene.send(2).await;
    assert_eq!(left, Seq::new(13));
    let page = async |slice, count| {
        let page = scene.house.engine.history(&scene.ben.user, scene.group, slice, count).await.unwrap();
        page.entries.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>()
    };
    let (after, before) = (|seq| Slice::After(Seq::new(seq)), |seq| Slice::Before(Seq::new(seq)));
    assert_eq!(page(after(13), 3).await, [24, 25, 26]);
    assert_eq!(page(after(26), 3).await, [0; 0]);
    assert_eq!(page(before(24), 3).await, [11, 12, 13]);
    assert_eq!(page(Slice::Latest, 2).await, [25, 26]);
    // With a floor, a page before something holds nothing else.
    scene.house.store.raise_floor(scene.group, Seq::new(5)).await.unwrap();
    for (slice, expected) in [(before(8), vec![5, 6, 7]), (before(5), vec![]), (before(1), vec![])] {
        assert_eq!(page(slice, 10).await, expected, "{slice:?}");
    }
    assert_eq!(page(after(0), 3).await, [5, 6, 7]);
    // A newcomer sees nothing of what was before.
    let eve = scene.house.device("eve").await;
    scene.house.engine.invite(&scene.ana.user, scene.group, vec![user("eve")]).await.unwrap();
    let page = scene.house.engine.history(&eve.user, scene.group, after(0), 3).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>(), [27]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_and_coming_back_quickly_leaves_no_hole_and_no_leak() {
    const ROUNDS: usize = 40;
    let scene = Scene::set(History::None).await;
    let mut device = SessionDevice::start(&scene.house, &scene.ben).await;
    let (engine, ana, group) = (scene.house.engine.clone(), scene.ana.clone(), scene.group);
    let changes = tokio::spawn(async move {
        let send = async || {
            let (id, body) = (lockstep_model::ClientMsgId::random(), lockstep_model::Body::text("x"));
            engine.send(ana.user.clone(), ana.id, Target::Conversation(group), id, body).await.unwrap();
        };
        for _ in 0..ROUNDS {
            send().await;
            engine.remove_member(&ana.user, group, user("ben")).await.unwrap();
            send().await;
            engine.invite(&ana.user, group, vec![user("ben")]).await.unwrap();
        }
        send().await;
    });
    // Two entries, then four in each round, of which the one while ben is away is not for him.
    let last = 3 + 4 * ROUNDS as u64;
    device.until(|device| device.seqs(scene.group).last() == Some(&last)).await;
    changes.await.unwrap();
    let expected: Vec<u64> = (1..=last).filter(|seq| *seq < 3 || seq % 4 != 1).collect();
    assert_eq!(device.seqs(scene.group), expected);
    scene.send(1).await;
    device.until(|device| device.seqs(scene.group).last() == Some(&(last + 1))).await;
}

/// Makes a few hundred changes, chosen by a seed, of which many are refused.
async fn change_at_random(house: &House, room: ConversationId, names: &[&str], mut seed: u64) {
    let mut dice = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for number in 0..300 {
        let (by, whom) = (user(names[dice(names.len())]), user(names[dice(names.len())]));
        let engine = &house.engine;
        // The observer stays.
        let is_observer = |name: &lockstep_model::UserId| name.as_str() == names[0];
        let _refused = match dice(7) {
            0 | 1 => engine.invite(&by, room, vec![whom]).await.map(drop),
            2 if !is_observer(&whom) => engine.remove_member(&by, room, whom).await,
            3 if !is_observer(&by) => engine.leave(&by, room).await,
            4 => engine.join(&by, room).await.map(drop),
            5 => {
                let role = [Role::Member, Role::Admin, Role::Owner][dice(3)];
                engine.set_role(&by, room, whom, role).await
            }
            _ => {
                // Each is left, taken away, or changed.
                let mut wish = |text: String| [None, Some(None), Some(Some(text))][dice(3)].clone();
                let title = wish(format!("title {number}"));
                let avatar = wish(format!("https://example.org/{number}.png"));
                let custom = wish(format!(r#"{{"number":{number}}}"#));
                let custom = custom.map(|json| json.and_then(|json| CustomObject::from_json(&json)));
                let history = [None, Some(History::None), Some(History::Last(5)), Some(History::All)][dice(4)];
                let change = DetailsChange { title, avatar, history, custom };
                engine.change_details(&by, room, change).await.map(drop)
            }
        };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_asked_for_and_the_changes_after_it_are_all_the_changes() {
    let house = House::new().await;
    let names = ["ana", "ben", "cleo", "dan", "eve"];
    let mut devices = Vec::new();
    for name in names {
        devices.push(house.device(name).await);
    }
    for seed in 1..=3 {
        let room = house.club(ConversationKind::Room, History::All, &[&devices[0], &devices[1]]).await;
        race::<Roll>(&house, &devices[0].user, room, change_at_random(&house, room, &names, seed)).await;
    }
}

/// What a session has of a conversation says where it goes on, and what it may see is told from there: the stored cursor may
/// stand above, where an earlier connection was told to skip what lies between two stays.
#[tokio::test]
async fn one_who_comes_again_goes_on_where_the_session_is() {
    let scene = Scene::set(History::None).await;
    let left = scene.remove_ben().await;
    scene.send(3).await;
    scene.invite_ben().await;
    let between = Seq::new(left.get() + 3);
    let mut live = scene.house.resume(&scene.ben).await;
    let stored = CursorRow { device: scene.ben.id, conversation: scene.group, seq: between };
    scene.house.store.store_cursors(vec![stored]).await.unwrap();
    live.ask(Ask::Follow(Offset { conversation: scene.group, seq: left }));
    let followed = live.find(|notice| matches!(notice, Notice::Followed(_))).await;
    let Notice::Followed(point) = followed else { unreachable!() };
    assert_eq!(point.cursor, left);
    live.ask(Ask::Read { conversation: scene.group, from: left.next(), count: 10, head: point.head });
    let Notice::Page(page) = live.find(|notice| matches!(notice, Notice::Page(_))).await else { unreachable!() };
    assert_eq!((page.skip.map(|skip| skip.to), page.entries.len()), (Some(between), 0));
}

/// Stays that a device has to their end are not asked for any more, unless it has lost them.
#[tokio::test]
async fn a_device_that_shows_less_gets_what_earlier_stays_showed() {
    for returns in [true, false] {
        let scene = Scene::set(History::None).await;
        let (house, group, ben) = (&scene.house, scene.group, &scene.ben);
        scene.send(2).await;
        let mut head = scene.remove_ben().await;
        let left = head;
        if returns {
            scene.send(2).await;
            scene.invite_ben().await;
            scene.send(1).await;
            head = house.engine.history(&ben.user, group, Slice::Latest, 1).await.unwrap().head;
        }
        let cursor = CursorRow { device: ben.id, conversation: group, seq: head };
        house.store.store_cursors(vec![cursor]).await.unwrap();
        let epochs_differ = [false, true];
        for (shown, verify) in
            [(None, false)].into_iter().chain(epochs_differ.map(|verify| (Some(Seq::new(3)), verify)))
        {
            let mut live = house.connect(ben).await;
            let entry = house.engine.history(&scene.ana.user, group, Slice::After(Seq::new(2)), 1).await.unwrap();
            let cursor = |seq| Cursor { seq, entry: Some(entry.entries[0].id) };
            let shown = shown.map(|seq| Shown { conversation: group, cursor: cursor(seq) });
            live.ask(Ask::Resume { shown: shown.into_iter().collect(), verify });
            let Notice::Resumed(points) = live.find(|notice| matches!(notice, Notice::Resumed(_))).await else {
                unreachable!()
            };
            let point = points.iter().find(|point| point.conversation == group);
            let begins = shown.map(|shown| shown.cursor.seq).or(returns.then_some(head));
            assert_eq!(point.map(|point| (point.cursor, point.reset)), begins.map(|seq| (seq, false)), "{shown:?}");
            if shown.is_some() {
                live.ask(Ask::Read { conversation: group, from: Seq::new(4), count: 9, head });
                let Notice::Page(page) = live.find(|notice| matches!(notice, Notice::Page(_))).await else {
                    unreachable!()
                };
                let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.seq.get()).collect();
                assert_eq!((seqs, page.skip, page.ended), ((4..=left.get()).collect(), None, true));
                house
                    .store
                    .store_cursors(vec![CursorRow { device: ben.id, conversation: group, seq: head }])
                    .await
                    .unwrap();
            }
        }
    }
}

/// A consumer is a channel in the transport: who is no member any more, or never was, makes none by asking.
#[tokio::test]
async fn who_is_no_member_opens_no_consumer() {
    let watched = Arc::new(WatchedBroker::default());
    let broker = Arc::clone(&watched);
    let house = House::made(EngineConfig::default(), |ports, _| ports.broker = broker).await;
    let scene = Scene::set_in(house, History::None).await;
    let (house, group) = (&scene.house, scene.group);
    let eve = house.device("eve").await;
    scene.remove_ben().await;
    let (mut ben_live, mut eve_live) = (house.resume(&scene.ben).await, house.resume(&eve).await);
    watched.opened.lock().clear();
    let is_answer = |notice: &Notice| matches!(notice, Notice::Followed(_) | Notice::Unfollowed(_));
    for live in [&mut ben_live, &mut eve_live] {
        for conversation in [group, ConversationId::generate()] {
            live.ask(Ask::Follow(Offset { conversation, seq: Seq::ZERO }));
            live.find(is_answer).await;
        }
    }
    assert_eq!(*watched.opened.lock(), []);
    scene.invite_ben().await;
    ben_live.ask(Ask::Follow(Offset { conversation: group, seq: Seq::ZERO }));
    ben_live.find(is_answer).await;
    assert_eq!(*watched.opened.lock(), [group]);
}
