//! The machine's clockwork and bookkeeping, step by step, with a clock that the test turns.

#[path = "fake/frames.rs"]
mod frames;

use frames::{conversation, entry, welcome, welcome_of};
use lockstep_client::machine::{Effect, Machine, Settings};
use lockstep_client::protocol::{
    Ack, Body, BootstrapFrame, ClientFrame, ClientMsgId, Code, Cursor, DeviceId, DeviceOnline, Entry, Epoch,
    ErrorFrame, Kind, Offset, Online, Receipt, Seq, ServerFrame, Shown, Source, Start, Target, UserId,
};
use lockstep_client::{Change, Event, Filling, OutboxItem, State, TokenReason};
use std::time::{Duration, Instant};

const SETTINGS: Settings =
    Settings { outbox_max: 10, connect_timeout: Duration::from_secs(10), fill_entries: None, gives_history: false };

struct Clockwork {
    machine: Machine,
    now: Instant,
}

/// What the machine wanted done since the last look.
#[derive(Debug, Default, PartialEq)]
struct Done {
    written: Vec<ClientFrame>,
    stored: Vec<Change>,
    events: Vec<Event>,
    connects: Vec<TokenReason>,
}

impl Clockwork {
    fn new(state: State) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(SETTINGS, state, 1, now), now }
    }

    /// Welcomed, with its resume written.
    fn live(state: State) -> Self {
        Self::greeted(state, welcome(25_000))
    }

    fn greeted(state: State, welcome: ServerFrame) -> Self {
        let mut it = Self::new(state);
        assert_eq!(it.pass(0).connects, [TokenReason::Connect]);
        it.machine.handle_connected(it.now, "token");
        it.take(welcome);
        it
    }

    fn take(&mut self, frame: ServerFrame) -> Done {
        self.machine.handle_frame(self.now, frame);
        self.done()
    }

    fn pass(&mut self, ms: u64) -> Done {
        self.now += Duration::from_millis(ms);
        self.machine.handle_timeout(self.now);
        self.done()
    }

    fn done(&mut self) -> Done {
        let mut done = Done::default();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Write(frame) => done.written.push(frame),
                Effect::Store(changes) => {
                    done.stored.extend(changes);
                    self.machine.handle_stored(self.now);
                }
                Effect::Event(event) => done.events.push(event),
                Effect::Connect(reason) => done.connects.push(reason),
                Effect::Close
                | Effect::ReadHistory(_)
                | Effect::Saved(_)
                | Effect::Answer { .. }
                | Effect::Renewed { .. }
                | Effect::Told { .. } => {}
            }
        }
        done
    }
}

fn at(n: u8, seq: u64) -> Offset {
    Offset { conversation: conversation(n), seq: Seq::new(seq) }
}

#[test]
fn acknowledgements_wait_for_each_other_but_not_for_long() {
    let mut it = Clockwork::live(State::default());
    for (n, seq) in [(1, 1), (2, 7), (1, 2)] {
        assert_eq!(it.take(ServerFrame::Entry(entry(n, seq))).written, []);
        assert_eq!(it.pass(30).written, []);
    }
    let acks = ClientFrame::Ack(Ack { cursors: vec![at(1, 2), at(2, 7)] });
    assert_eq!(it.machine.poll_timeout(), Some(it.now + Duration::from_millis(10)));
    assert_eq!(it.pass(10).written, [acks]);
    assert_eq!(it.pass(1_000).written, []);
    // A duplicate is acknowledged with its own seq, and not told again.
    let done = it.take(ServerFrame::Entry(entry(1, 1)));
    assert_eq!((done.stored, done.events), (vec![], vec![]));
    assert_eq!(it.pass(100).written, [ClientFrame::Ack(Ack { cursors: vec![at(1, 1)] })]);
}

#[test]
fn signals_and_receipts_are_not_kept_and_who_is_watched_is_asked_again_after_a_reconnect() {
    let users = vec![UserId::new("ben").expect("a user")];
    let watch = ClientFrame::Watch { reference: None, users: users.clone() };
    let signal = ClientFrame::Signal { reference: None, conversation: conversation(1), body: Body::text("typing") };
    let mut it = Clockwork::live(State::default());
    it.machine.handle_watch(users.clone());
    it.machine.handle_signal(conversation(1), Body::text("typing"));
    assert_eq!(it.done().written, [], "before all is caught up the server may not follow the conversation yet");
    assert_eq!(it.take(ServerFrame::CaughtUp).written, std::slice::from_ref(&watch));
    it.machine.handle_signal(conversation(1), Body::text("typing"));
    assert_eq!(it.done().written, [signal]);
    let online = vec![Online { user: users[0].clone(), online: true }];
    let told = it.take(ServerFrame::Presence { reference: None, users: online.clone() });
    assert_eq!(told.events, [Event::Presence(online)]);
    let devices = vec![DeviceOnline { device: DeviceId::generate(), online: true }];
    let told = it.take(ServerFrame::Devices { devices: devices.clone() });
    assert_eq!((told.events, told.stored), (vec![Event::Devices(devices)], vec![]));
    let receipts = vec![Receipt { user: users[0].clone(), delivered: Some(Seq::new(2)), read: None }];
    let told = it.take(ServerFrame::Receipts { conversation: conversation(1), receipts: receipts.clone() });
    let event = Event::Receipts { conversation: conversation(1), receipts };
    assert_eq!((told.events, told.stored), (vec![event], vec![]));

    it.machine.handle_closed(it.now, None);
    it.machine.handle_signal(conversation(1), Body::text("typing"));
    it.done();
    it.pass(60_000);
    it.machine.handle_connected(it.now, "token");
    it.take(welcome(25_000));
    assert_eq!(it.take(ServerFrame::CaughtUp).written, [watch]);
}

#[test]
fn a_missing_answer_is_asked_for_again() {
    let mut it = Clockwork::live(State::default());
    let send = |id: &str| OutboxItem {
        client_msg_id: ClientMsgId::new(id).expect("an id"),
        target: Target::Conversation(conversation(1)),
        kind: Kind::Message,
        body: Body::text(id),
    };
    let sends = |done: Done| -> Vec<String> {
        let sends = done.written.into_iter().filter_map(|frame| match frame {
            ClientFrame::Send(send) => Some(send.client_msg_id.to_string()),
            _ => None,
        });
        sends.collect()
    };
    for id in ["first", "second"] {
        it.machine.handle_send(send(id)).expect("room");
    }
    // The second waits for the first one's answer: both go to the same conversation.
    assert_eq!(sends(it.done()), ["first"]);
    for _ in 0..29 {
        it.take(ServerFrame::Heartbeat);
        assert_eq!(sends(it.pass(1_000)), Vec::<String>::new());
    }
    it.take(ServerFrame::Heartbeat);
    assert_eq!(sends(it.pass(1_000)), ["first"]);
}

#[test]
fn cursors_are_shown_a_thousand_at_a_time() {
    let mut state = State { feed: Some(conversation(0)), ..State::default() };
    let id = |n: u32| {
        let mut bytes = [9; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        lockstep_client::protocol::ConversationId::from_bytes(bytes)
    };
    let cursor = Cursor { seq: Seq::new(3), entry: None };
    state.cursors = (0..2_001).map(|n| (id(n), cursor)).collect();
    state.cursors.insert(conversation(0), Cursor { seq: Seq::new(8), entry: None });
    let mut it = Clockwork::new(state);
    it.pass(0);
    it.machine.handle_connected(it.now, "token");
    let done = it.done();
    let [ClientFrame::Hello(hello)] = &done.written[..] else { panic!("a hello and no more: {done:?}") };
    assert_eq!(hello.feed.map(|feed| feed.seq), Some(Seq::new(8)));
    let mut shown: Vec<Shown> = Vec::new();
    let mut sizes = Vec::new();
    for frame in it.take(welcome(25_000)).written {
        let ClientFrame::Resume(resume) = frame else { panic!("a resume") };
        sizes.push((resume.conversations.len(), resume.more));
        shown.extend(resume.conversations);
    }
    assert_eq!(sizes, [(1_000, true), (1_000, true), (1, false)]);
    assert!(shown.iter().map(|shown| shown.conversation).eq((0..2_001).map(id)));
}

#[test]
fn what_the_user_has_left_is_not_shown() {
    let told = |seq, kind: &str| {
        let body = format!(r#"{{"type":"conversation_{kind}","conversation":"{}","kind":"room"}}"#, conversation(1));
        let body = Body::parse(&body).expect("a body");
        ServerFrame::Entry(Entry { kind: Kind::System, body, ..entry(0, seq) })
    };
    let shown = |state: &State| {
        let mut it = Clockwork::new(state.clone());
        it.pass(0);
        it.machine.handle_connected(it.now, "token");
        it.done();
        let frames = it.take(welcome(25_000)).written;
        let [ClientFrame::Resume(resume)] = &frames[..] else { panic!("one resume: {frames:?}") };
        resume.conversations.iter().map(|shown| shown.conversation).collect::<Vec<_>>()
    };
    let (one, other) = (conversation(1), conversation(2));
    let cursor = Cursor { seq: Seq::new(5), entry: None };
    let (epoch, feed) = (Some(Epoch::from_bytes([1; 16])), Some(conversation(0)));
    let cursors = [(one, cursor), (other, cursor)].into();
    let mut state = State { epoch, feed, cursors, ..State::default() };
    let mut it = Clockwork::live(state.clone());
    let removed = it.take(told(1, "removed"));
    assert!(removed.stored.contains(&Change::Left(one)), "{removed:?}");
    assert!(!it.take(told(2, "removed")).stored.contains(&Change::Left(one)), "nothing changes");
    // What still comes is kept, and the cursor with it.
    assert!(it.take(ServerFrame::Entry(entry(1, 6))).stored.contains(&Change::Entry(entry(1, 6))));
    state.left.insert(one);
    assert_eq!(shown(&state), [other]);
    // A server whose store is another one now compares all of them.
    let elsewhere = State { epoch: Some(Epoch::from_bytes([7; 16])), ..state };
    assert_eq!(shown(&elsewhere), [one, other]);
    assert!(it.take(told(3, "added")).stored.contains(&Change::Joined(one)));
    // Only the feed says so.
    let ServerFrame::Entry(posed) = told(7, "removed") else { unreachable!() };
    let posed = ServerFrame::Entry(Entry { conversation: one, ..posed });
    assert!(!it.take(posed).stored.contains(&Change::Left(one)));
}

#[test]
fn a_new_epoch_is_kept_only_after_catching_up() {
    let old = Epoch::from_bytes([7; 16]);
    let mut state = State { epoch: Some(old), ..State::default() };
    state.cursors.insert(conversation(1), Cursor { seq: Seq::new(5), entry: None });
    state.offsets.insert(conversation(1), Seq::new(5));
    let mut it = Clockwork::new(state);
    it.pass(0);
    it.machine.handle_connected(it.now, "token");
    let welcomed = it.take(welcome(25_000));
    assert!(welcomed.stored.contains(&Change::OffsetsDropped), "{welcomed:?}");
    let reset = ServerFrame::Reset {
        conversation: conversation(1),
        epoch: Epoch::from_bytes([1; 16]),
        floor: Seq::new(3),
        head: Seq::new(9),
    };
    let cursor = Cursor { seq: Seq::new(2), entry: None };
    assert_eq!(it.take(reset).stored, [Change::Reset { conversation: conversation(1), cursor }]);

    // Lost before all resets have come: the old epoch is shown again.
    it.machine.handle_closed(it.now, None);
    it.done();
    it.pass(60_000);
    it.machine.handle_connected(it.now, "token");
    let done = it.done();
    let Some(ClientFrame::Hello(hello)) = done.written.first() else { panic!("a hello: {done:?}") };
    assert_eq!(hello.epoch, Some(old));
    it.take(welcome(25_000));
    assert_eq!(it.take(ServerFrame::CaughtUp).stored, [Change::Epoch(Epoch::from_bytes([1; 16]))]);
}

#[test]
fn the_wait_grows_until_a_connection_has_proved_itself() {
    let mut it = Clockwork::new(State::default());
    let mut round = |caught_up_ms: Option<u64>, error: Option<ErrorFrame>| -> Duration {
        let until = it.machine.poll_timeout().expect("it wants to connect");
        it.now = it.now.max(until);
        it.machine.handle_timeout(it.now);
        it.done();
        it.machine.handle_connected(it.now, "token");
        it.take(welcome(3_600_000));
        if let Some(ms) = caught_up_ms {
            it.take(ServerFrame::CaughtUp);
            it.pass(ms);
        }
        match error {
            Some(error) => it.machine.handle_frame(it.now, ServerFrame::Error(error)),
            None => it.machine.handle_closed(it.now, None),
        }
        let done = it.done();
        let retry_in = done.events.iter().find_map(|event| match event {
            Event::Disconnected { retry_in, .. } => Some(*retry_in),
            _ => None,
        });
        retry_in.unwrap_or_else(|| panic!("it is disconnected: {done:?}"))
    };
    let waits: Vec<Duration> = (0..40).map(|_| round(Some(1_000), None)).collect();
    assert!(waits.iter().any(|wait| *wait > Duration::from_secs(15)), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(30)), "{waits:?}");
    assert!(round(Some(5_000), None) <= Duration::from_millis(250), "a connection that held for 5 s");
    round(Some(0), None);
    let expired = || Some(ErrorFrame::of(lockstep_client::protocol::Code::TokenExpired, None));
    assert_eq!(round(Some(5_000), expired()), Duration::ZERO, "a new token is wanted at once");
}

#[test]
fn an_unfilled_device_asks_once_it_has_caught_up_and_again_if_it_has_to_wait() {
    let mut it = Clockwork::greeted(State::default(), ServerFrame::Welcome(Box::new(welcome_of(25_000, true))));
    it.machine.handle_bootstrap(it.now, 20, Source::Main);
    assert_eq!(it.done().written, [], "before the last resume is answered the server does not take it");
    let asked = |done: Done| match &done.written[..] {
        [ClientFrame::Bootstrap(BootstrapFrame::Start(Start { reference, entries: 20, at, source: Source::Main }))] => {
            assert_eq!(at[..], []);
            *reference
        }
        other => panic!("{other:?}"),
    };
    let first = asked(it.take(ServerFrame::CaughtUp));
    assert_eq!(it.take(ServerFrame::Error(ErrorFrame::of(Code::TooManyBootstraps, first))).events, []);
    let second = asked(it.pass(30_000));
    assert_eq!(it.pass(10_000).written, [], "it is asked once");
    let refused = it.take(ServerFrame::Error(ErrorFrame::of(Code::Forbidden, second)));
    assert!(matches!(&refused.events[..], [Event::Filling(Filling::Refused { code, .. })] if code == "forbidden"));
    assert_eq!(it.pass(10_000).written, [], "the same again would be refused again");
    it.machine.handle_bootstrap(it.now, 20, Source::Main);
    asked(it.done());
}
