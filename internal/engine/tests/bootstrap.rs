//! A new device is filled from one that keeps the history (I8), over real sessions and a real store.

mod common;

use common::device::SessionDevice;
use common::{House, soon, user};
use lockstep_engine::{BootstrapConfig, EngineConfig};
use lockstep_model::{
    About, BootstrapFrame, BootstrapNews, BootstrapState, Chunk, ChunkAck, Code, ConversationId, ConversationKind,
    Coverage, DetailsChange, Device, DeviceId, DeviceKind, Event, EventKind, Fill, FillRefuse, Filled, Held, History,
    Offset, Seq, SkipReason, Source, Start, Target, UnixMs,
};
use lockstep_ports::{Directory, Events, Groups, NewDevice};
use lockstep_session::Request;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A device that is still to be filled.
async fn unfilled(house: &House, of: &Device, kind: DeviceKind) -> Device {
    let (id, now) = (DeviceId::generate(), UnixMs::now());
    let new = NewDevice { id, user: of.user.clone(), name: "laptop".into(), kind, unfilled: true, now };
    house.store.create_device(new).await.unwrap().unwrap().value
}

fn say(device: &mut SessionDevice, frame: BootstrapFrame) {
    device.request(Request::Bootstrap(Box::new(frame)));
}

fn start(entries: u32, at: Vec<Offset>) -> BootstrapFrame {
    BootstrapFrame::Start(Start { reference: None, entries, at, source: Source::Main })
}

fn covers(conversations: &[(ConversationId, u64)]) -> BootstrapFrame {
    let held =
        |(conversation, from): &(ConversationId, u64)| Held { conversation: *conversation, from_seq: Seq::new(*from) };
    BootstrapFrame::Coverage(Coverage { conversations: conversations.iter().map(held).collect(), more: false })
}

fn chunk(fill: &Fill, number: u64, from: u64, to: u64, last: bool) -> Chunk {
    let body = format!("[{from},{to}]");
    Chunk {
        bootstrap: fill.bootstrap,
        number,
        conversation: fill.conversation,
        from_seq: Seq::new(from),
        to_seq: Seq::new(to),
        digest: Chunk::digest_of(&body),
        last,
        sealed: None,
        body,
    }
}

fn give(device: &mut SessionDevice, chunk: Chunk) {
    say(device, BootstrapFrame::Chunk { reference: None, chunk: Box::new(chunk) });
}

fn ack(device: &mut SessionDevice, chunk: &Chunk) {
    let Chunk { bootstrap, conversation, to_seq: seq, .. } = *chunk;
    say(device, BootstrapFrame::Ack(ChunkAck { bootstrap, conversation, seq }));
}

/// The next news of a kind; those before it are dropped.
macro_rules! next {
    ($device:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {
        loop {
            match $device.news.pop_front() {
                Some($pattern) $(if $guard)? => break $value,
                Some(_) => {}
                None => $device.turn().await,
            }
        }
    };
}

async fn next_fill(device: &mut SessionDevice) -> Fill {
    next!(device, BootstrapNews::Fill(fill) => fill)
}

async fn next_chunk(device: &mut SessionDevice) -> Chunk {
    next!(device, BootstrapNews::Chunk(chunk) => *chunk)
}

async fn next_filled(device: &mut SessionDevice) -> Filled {
    next!(device, BootstrapNews::BootstrapProgress(progress) if progress.filled.is_some() => progress.filled.unwrap())
}

async fn until_state(device: &mut SessionDevice, state: BootstrapState) {
    let seen = next!(device, BootstrapNews::BootstrapProgress(progress) if progress.state == state => progress.state);
    assert_eq!(seen, state);
}

async fn next_refusal(device: &mut SessionDevice) -> Code {
    device.until(|device| !device.refused.is_empty()).await;
    device.refused.remove(0)
}

async fn send(house: &House, from: &Device, conversation: ConversationId, count: u64) {
    for number in 0..count {
        house.send(from, Target::Conversation(conversation), &number.to_string()).await.unwrap();
    }
}

#[tokio::test]
async fn chunks_and_the_log_follow_each_other() {
    let house = House::new().await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let (old, new) = (house.silent_group(&[&phone, &bens]).await, house.silent_group(&[&phone, &bens]).await);
    send(&house, &bens, old, 3).await;
    send(&house, &bens, new, 30).await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let mut main = SessionDevice::start(&house, &phone).await;
    say(&mut main, covers(&[(old, 1), (new, 1)]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    assert_eq!((sub.seqs(old), sub.seqs(new)), (vec![], vec![]), "nothing comes before it is filled");
    say(&mut sub, start(10, vec![]));
    let about: Box<About> = next!(sub, BootstrapNews::BootstrapConversation(about) => about);
    assert_eq!(
        (about.conversation, about.kind.as_str(), about.member_count),
        (new, "group", 2),
        "the last active first"
    );
    assert_eq!((about.unread.head.get(), about.unread.unread, about.members.len()), (30, 30, 2));
    let fill = next_fill(&mut main).await;
    assert_eq!((fill.conversation, fill.device, fill.entries, fill.head.get()), (new, laptop.id, 10, 30));
    let second = next_fill(&mut main).await;
    // What comes meanwhile is the log's.
    send(&house, &bens, new, 2).await;
    let parts = [chunk(&fill, 1, 21, 25, false), chunk(&fill, 2, 26, 28, true)];
    parts.iter().for_each(|part| give(&mut main, part.clone()));
    for part in &parts {
        assert_eq!(next_chunk(&mut sub).await, *part);
        assert_eq!(sub.seqs(new), Vec::<u64>::new());
        ack(&mut sub, part);
        let acked = next!(main, BootstrapNews::ChunkAcked(acked) => acked.seq);
        assert_eq!(acked, part.to_seq);
    }
    let filled = Filled { conversation: new, seq: Seq::new(28), source: Source::Main };
    assert_eq!((next_filled(&mut sub).await, next_filled(&mut main).await), (filled, filled));
    sub.until(|sub| sub.seqs(new).len() == 4).await;
    assert_eq!((sub.seqs(new), sub.seqs(old)), (vec![29, 30, 31, 32], vec![]), "the other one still waits");
    send(&house, &bens, new, 1).await;
    sub.until(|sub| sub.seqs(new).ends_with(&[33])).await;
    let part = chunk(&second, 1, 1, 3, true);
    give(&mut main, part.clone());
    assert_eq!(next_chunk(&mut sub).await, part);
    ack(&mut sub, &part);
    until_state(&mut sub, BootstrapState::Done).await;
    until_state(&mut main, BootstrapState::Done).await;
    assert!(!house.store.device(laptop.id).await.unwrap().unwrap().unfilled);
    send(&house, &bens, old, 1).await;
    sub.until(|sub| sub.seqs(old) == [4]).await;
    say(&mut sub, start(10, vec![]));
    assert_eq!(next_refusal(&mut sub).await, Code::NotUnfilled);
    // It comes back without a main device.
    main.leave(&house).await;
    sub.cursors.insert(old, Seq::new(4));
    sub.reconnect(&house, &laptop).await;
    send(&house, &bens, old, 1).await;
    sub.until(|sub| sub.seqs(old) == [4, 5]).await;
}

#[tokio::test]
async fn it_goes_on_where_the_device_stands_and_with_another_main_device() {
    let house = House::new().await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let tablet = house.device("ana").await;
    let group = house.silent_group(&[&phone, &bens]).await;
    send(&house, &bens, group, 20).await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let mut main = SessionDevice::start(&house, &phone).await;
    say(&mut main, covers(&[(group, 1)]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    say(&mut sub, start(100, vec![]));
    let fill = next_fill(&mut main).await;
    let part = chunk(&fill, 1, 1, 5, false);
    give(&mut main, part.clone());
    assert_eq!(next_chunk(&mut sub).await, part);
    ack(&mut sub, &part);
    assert_eq!(next!(main, BootstrapNews::ChunkAcked(acked) => acked.seq.get()), 5);
    // The device drops, and the main device hears that it may stop.
    sub.reconnect(&house, &laptop).await;
    until_state(&mut main, BootstrapState::Stopped).await;
    give(&mut main, chunk(&fill, 2, 6, 10, false));
    assert_eq!(next_refusal(&mut main).await, Code::NoSuchBootstrap);
    say(&mut sub, start(100, vec![Offset { conversation: group, seq: Seq::new(5) }]));
    let again = next_fill(&mut main).await;
    assert_eq!((again.bootstrap, again.from_seq), (fill.bootstrap, Some(Seq::new(6))), "it is the same filling");
    // The main device goes; another one comes, which has less.
    main.leave(&house).await;
    until_state(&mut sub, BootstrapState::Waiting).await;
    let mut other = SessionDevice::start(&house, &tablet).await;
    say(&mut other, covers(&[(group, 1)]));
    let last = next_fill(&mut other).await;
    assert_eq!(last.from_seq, Some(Seq::new(6)));
    let part = chunk(&last, 1, 6, 12, true);
    give(&mut other, part.clone());
    assert_eq!(next_chunk(&mut sub).await, part);
    ack(&mut sub, &part);
    until_state(&mut sub, BootstrapState::Done).await;
    sub.until(|sub| sub.seqs(group).len() == 8).await;
    assert_eq!(sub.seqs(group), (13..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_filled_stays_filled() {
    let config = EngineConfig { cursors_period: Duration::from_millis(5), ..EngineConfig::default() };
    let house = House::with(config).await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let (one, other) = (house.silent_group(&[&phone, &bens]).await, house.silent_group(&[&phone, &bens]).await);
    send(&house, &bens, other, 2).await;
    send(&house, &bens, one, 2).await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let mut main = SessionDevice::start(&house, &phone).await;
    say(&mut main, covers(&[(one, 1), (other, 1)]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    say(&mut sub, start(10, vec![]));
    let fill = next_fill(&mut main).await;
    assert_eq!(fill.conversation, one);
    let part = chunk(&fill, 1, 1, 2, true);
    give(&mut main, part.clone());
    next_chunk(&mut sub).await;
    ack(&mut sub, &part);
    next_filled(&mut sub).await;
    let stored = async || house.store.followed_one(phone.user.clone(), laptop.id, one).await.unwrap().unwrap().cursor;
    soon(async { while stored().await != Some(Seq::new(2)) {} }).await;
    // It shows nothing: what is stored counts.
    sub.cursors.clear();
    sub.reconnect(&house, &laptop).await;
    say(&mut sub, start(10, vec![]));
    let begun = next!(sub, BootstrapNews::BootstrapStarted { total, done, .. } => (total, done));
    assert_eq!(begun, (2, 1));
    send(&house, &bens, one, 1).await;
    sub.until(|sub| sub.seqs(one) == [3]).await;
}

#[tokio::test]
async fn what_no_main_device_has() {
    for log_fallback in [false, true] {
        let bootstrap = BootstrapConfig { log_fallback, ..BootstrapConfig::default() };
        let house = House::with(EngineConfig { bootstrap, ..EngineConfig::default() }).await;
        let (phone, bens) = (house.device("ana").await, house.device("ben").await);
        let (one, other) = (house.silent_group(&[&phone, &bens]).await, house.silent_group(&[&phone, &bens]).await);
        send(&house, &bens, one, 20).await;
        send(&house, &bens, other, 20).await;
        let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
        let mut main = SessionDevice::start(&house, &phone).await;
        say(&mut main, covers(&[(other, 1)]));
        let mut sub = SessionDevice::start(&house, &laptop).await;
        say(&mut sub, start(5, vec![]));
        let fill = next_fill(&mut main).await;
        let refuse = FillRefuse { reference: None, bootstrap: fill.bootstrap, conversation: Some(other) };
        say(&mut main, BootstrapFrame::Refuse(refuse));
        let seen = [next_filled(&mut sub).await, next_filled(&mut sub).await];
        until_state(&mut sub, BootstrapState::Done).await;
        let (seq, source) = if log_fallback { (15, Source::Log) } else { (20, Source::None) };
        for conversation in [one, other] {
            assert!(seen.contains(&Filled { conversation, seq: Seq::new(seq), source }), "{seen:?}");
            let reason = if log_fallback { SkipReason::Bootstrap } else { SkipReason::NotHeld };
            assert!(sub.skips.contains(&(conversation, 1, seq, reason)), "{:?}", sub.skips);
        }
        send(&house, &bens, one, 1).await;
        sub.until(|sub| sub.seqs(one).ends_with(&[21])).await;
        assert_eq!(sub.seqs(one), (seq + 1..=21).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn one_who_has_left_gets_what_came_before_and_nothing_after() {
    let house = House::new().await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let club = house.club(ConversationKind::Group, History::All, &[&bens, &phone]).await;
    send(&house, &bens, club, 3).await;
    house.engine.leave(&user("ana"), club).await.unwrap();
    send(&house, &bens, club, 3).await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let mut main = SessionDevice::start(&house, &phone).await;
    say(&mut main, covers(&[(club, 1)]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    say(&mut sub, start(100, vec![]));
    let about: Box<About> = next!(sub, BootstrapNews::BootstrapConversation(about) => about);
    assert_eq!((about.members.len(), about.role.as_deref()), (0, None), "who is there now is not told");
    let fill = next_fill(&mut main).await;
    let end = fill.head.get();
    assert_eq!(main.seqs(club).last(), Some(&end), "to where the stay ended");
    give(&mut main, chunk(&fill, 1, 1, end + 1, true));
    assert_eq!(next_refusal(&mut main).await, Code::ChunkBeyond);
    let part = chunk(&fill, 1, 1, end - 1, true);
    give(&mut main, part.clone());
    assert_eq!(next_chunk(&mut sub).await, part);
    ack(&mut sub, &part);
    until_state(&mut sub, BootstrapState::Done).await;
    sub.until(|sub| !sub.seqs(club).is_empty()).await;
    send(&house, &bens, club, 1).await;
    let direct = house.send(&bens, Target::User(user("ana")), "still there?").await.unwrap();
    sub.until(|sub| !sub.seqs(direct.conversation).is_empty()).await;
    assert_eq!(sub.seqs(club), [end]);
}

/// Counts who was asked for to be woken.
#[derive(Default)]
struct Wakes(Mutex<Vec<DeviceId>>);

impl Events for Wakes {
    fn wants(&self, kind: EventKind) -> bool {
        kind == EventKind::PushWanted
    }

    fn emit(&self, event: Event) {
        if let Event::PushWanted { device, .. } = event {
            self.0.lock().unwrap().push(device);
        }
    }
}

#[tokio::test]
async fn without_a_main_device() {
    let wakes = Arc::new(Wakes::default());
    let events = Arc::clone(&wakes);
    let house = House::made(EngineConfig::default(), |ports, _| ports.events = Some(events)).await;
    let phone = house.device("ana").await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    assert_eq!(house.try_connect(&laptop).await.unwrap_err(), Code::MainOffline);
    assert_eq!(*wakes.0.lock().unwrap(), [laptop.id]);
    // Another sub device is no help, nor is a main device that is itself to be filled.
    let second = unfilled(&house, &phone, DeviceKind::Main).await;
    let waiting = SessionDevice::start(&house, &second).await;
    assert_eq!(house.try_connect(&laptop).await.unwrap_err(), Code::MainOffline);
    let main = SessionDevice::start(&house, &phone).await;
    assert!(house.try_connect(&laptop).await.unwrap().unfilled);
    drop((main, waiting));
    // One who has no other main device at all goes on from the log.
    house.engine.ensure_user(user("ben")).await.unwrap();
    let watch = house.engine.create_device(&user("ben"), "watch", DeviceKind::Sub).await.unwrap();
    let bens_only = unfilled(&house, &watch, DeviceKind::Sub).await;
    assert!(!house.try_connect(&bens_only).await.unwrap().unfilled);
}

#[tokio::test]
async fn a_setting_asks_for_a_main_device_on_every_connect() {
    let bootstrap = BootstrapConfig { sub_needs_main_always: true, ..BootstrapConfig::default() };
    let house = House::with(EngineConfig { bootstrap, ..EngineConfig::default() }).await;
    let phone = house.device("ana").await;
    let laptop = house.engine.create_device(&user("ana"), "laptop", DeviceKind::Sub).await.unwrap();
    assert_eq!(house.try_connect(&laptop).await.unwrap_err(), Code::MainOffline);
    let _main = SessionDevice::start(&house, &phone).await;
    assert!(!house.try_connect(&laptop).await.unwrap().unfilled);
}

#[tokio::test]
async fn who_may_say_what() {
    let house = House::with(EngineConfig {
        bootstrap: BootstrapConfig { fillings_max: 1, ..BootstrapConfig::default() },
        ..EngineConfig::default()
    })
    .await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let group = house.silent_group(&[&phone, &bens]).await;
    send(&house, &bens, group, 5).await;
    let (laptop, tablet) =
        (unfilled(&house, &phone, DeviceKind::Sub).await, unfilled(&house, &phone, DeviceKind::Sub).await);
    let (mut main, mut stranger) =
        (SessionDevice::start(&house, &phone).await, SessionDevice::start(&house, &bens).await);
    say(&mut main, covers(&[(group, 1)]));
    say(&mut stranger, covers(&[(group, 1)]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    let mut waits = SessionDevice::start(&house, &tablet).await;
    say(&mut sub, start(5, vec![]));
    let fill = next_fill(&mut main).await;
    say(&mut waits, start(5, vec![]));
    assert_eq!(next_refusal(&mut waits).await, Code::TooManyBootstraps);
    let part = chunk(&fill, 1, 1, 5, true);
    give(&mut stranger, part.clone());
    assert_eq!(next_refusal(&mut stranger).await, Code::NoSuchBootstrap, "of another user");
    give(&mut sub, part.clone());
    assert_eq!(next_refusal(&mut sub).await, Code::Forbidden, "a sub device gives nothing");
    say(&mut sub, covers(&[(group, 1)]));
    assert_eq!(next_refusal(&mut sub).await, Code::Forbidden);
    give(&mut main, Chunk { digest: Chunk::digest_of("x"), ..part.clone() });
    assert_eq!(next_refusal(&mut main).await, Code::ChunkDigest);
    let from_log = Start { reference: None, entries: 5, at: vec![], source: Source::Log };
    say(&mut sub, BootstrapFrame::Start(from_log));
    assert_eq!(next_refusal(&mut sub).await, Code::Forbidden);
    ack(&mut waits, &part);
    assert_eq!(next_refusal(&mut waits).await, Code::NoSuchBootstrap);
    ack(&mut sub, &part);
    assert_eq!(next_refusal(&mut sub).await, Code::AckBeyond, "it was not passed on");
    // In mid-filling the device is removed: its main device is told, and its place is free.
    house.engine.remove_device(laptop.id).await.unwrap();
    until_state(&mut main, BootstrapState::Stopped).await;
    give(&mut main, part);
    assert_eq!(next_refusal(&mut main).await, Code::NoSuchBootstrap);
    // What it has just said begins nothing behind its removal.
    say(&mut sub, start(5, vec![]));
    say(&mut waits, start(5, vec![]));
    assert_eq!(next_fill(&mut main).await.device, tablet.id);
}

#[tokio::test]
async fn a_silent_main_device_is_replaced() {
    let stall = Duration::from_millis(100);
    let bootstrap = BootstrapConfig { stall, wait: Duration::from_millis(400), ..BootstrapConfig::default() };
    let house = House::with(EngineConfig { bootstrap, ..EngineConfig::default() }).await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let tablet = house.device("ana").await;
    let group = house.silent_group(&[&phone, &bens]).await;
    send(&house, &bens, group, 5).await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let (mut main, mut other) =
        (SessionDevice::start(&house, &phone).await, SessionDevice::start(&house, &tablet).await);
    say(&mut main, covers(&[(group, 1)]));
    say(&mut other, covers(&[(group, 2)]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    say(&mut sub, start(5, vec![]));
    next_fill(&mut main).await;
    until_state(&mut main, BootstrapState::Stopped).await;
    next_fill(&mut other).await;
    until_state(&mut other, BootstrapState::Stopped).await;
    until_state(&mut sub, BootstrapState::Waiting).await;
    assert_eq!(sub.live.closed().await, Code::MainOffline, "nobody comes");
}

#[tokio::test]
async fn one_who_is_removed_in_mid_filling_gets_nothing_of_what_comes_after() {
    let house = House::new().await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let club = house.club(ConversationKind::Group, History::All, &[&bens, &phone]).await;
    send(&house, &bens, club, 3).await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let mut main = SessionDevice::start(&house, &phone).await;
    say(&mut main, covers(&[(club, 1)]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    house.engine.remove_member(&user("ben"), club, user("ana")).await.unwrap();
    let title = Some(Some("what we never told ana".to_owned()));
    let change = DetailsChange { title, avatar: None, history: None, custom: None };
    house.engine.change_details(&user("ben"), club, change).await.unwrap();
    say(&mut sub, start(100, vec![]));
    let about: Box<About> = next!(sub, BootstrapNews::BootstrapConversation(about) => about);
    assert_eq!((&about.title, about.member_count), (&None, 0), "what it is called now is not told");
    let fill = next_fill(&mut main).await;
    // The entry by which she was removed comes from the main device: the log has nothing more for her.
    let part = chunk(&fill, 1, 1, fill.head.get(), true);
    give(&mut main, part.clone());
    next_chunk(&mut sub).await;
    ack(&mut sub, &part);
    until_state(&mut sub, BootstrapState::Done).await;
    send(&house, &bens, club, 1).await;
    let direct = house.send(&bens, Target::User(user("ana")), "still there?").await.unwrap();
    sub.until(|sub| !sub.seqs(direct.conversation).is_empty()).await;
    assert_eq!(sub.seqs(club), Vec::<u64>::new());
}

#[tokio::test]
async fn a_main_device_that_has_nothing_itself_decides_nothing() {
    let bootstrap = BootstrapConfig { stall: Duration::from_millis(400), ..BootstrapConfig::default() };
    let house = House::with(EngineConfig { bootstrap, ..EngineConfig::default() }).await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let group = house.silent_group(&[&phone, &bens]).await;
    send(&house, &bens, group, 20).await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let tablet = unfilled(&house, &phone, DeviceKind::Main).await;
    // The phone has not told yet what it has; the tablet has nothing.
    let mut main = SessionDevice::start(&house, &phone).await;
    let mut other = SessionDevice::start(&house, &tablet).await;
    say(&mut other, covers(&[]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    say(&mut sub, start(10, vec![]));
    until_state(&mut sub, BootstrapState::Waiting).await;
    say(&mut main, covers(&[(group, 1)]));
    next_fill(&mut main).await;
    main.leave(&house).await;
    until_state(&mut sub, BootstrapState::Waiting).await;
    let mut main = SessionDevice::start(&house, &phone).await;
    say(&mut main, covers(&[(group, 1)]));
    next_fill(&mut main).await;
    // It is silent, and asked again after a while.
    until_state(&mut main, BootstrapState::Stopped).await;
    assert_eq!(next_fill(&mut main).await.conversation, group);
}

#[tokio::test]
async fn a_main_device_that_comes_again_before_it_is_gone_is_asked_again() {
    let house = House::new().await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    let group = house.silent_group(&[&phone, &bens]).await;
    send(&house, &bens, group, 20).await;
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let mut main = SessionDevice::start(&house, &phone).await;
    say(&mut main, covers(&[(group, 1)]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    say(&mut sub, start(10, vec![]));
    next_fill(&mut main).await;
    let mut again = SessionDevice::start(&house, &phone).await;
    say(&mut again, covers(&[(group, 1)]));
    assert_eq!(next_fill(&mut again).await.conversation, group);
    main.leave(&house).await;
    // So is a device that is filled: its older connection takes nothing over.
    let mut newer = SessionDevice::start(&house, &laptop).await;
    say(&mut newer, start(10, vec![]));
    let fill = next_fill(&mut again).await;
    say(&mut sub, start(10, vec![]));
    sub.leave(&house).await;
    let part = chunk(&fill, 1, 11, 20, true);
    give(&mut again, part.clone());
    assert_eq!(next_chunk(&mut newer).await, part);
}

#[tokio::test]
async fn many_conversations_that_nobody_has() {
    let house = House::new().await;
    let (phone, bens) = (house.device("ana").await, house.device("ben").await);
    for _ in 0..40 {
        let group = house.silent_group(&[&phone, &bens]).await;
        send(&house, &bens, group, 1).await;
    }
    let laptop = unfilled(&house, &phone, DeviceKind::Sub).await;
    let mut main = SessionDevice::start(&house, &phone).await;
    say(&mut main, covers(&[]));
    let mut sub = SessionDevice::start(&house, &laptop).await;
    say(&mut sub, start(10, vec![]));
    until_state(&mut sub, BootstrapState::Done).await;
}
