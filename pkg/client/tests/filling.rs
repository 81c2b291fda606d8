//! A device that is filled, frame by frame.

#[path = "fake/frames.rs"]
mod frames;

use frames::{conversation, entry, welcome, welcome_of};
use futures_util::FutureExt;
use lockstep_client::machine::{Effect, Machine, Settings};
use lockstep_client::protocol::{
    BootstrapFrame, BootstrapId, BootstrapNews, Chunk, ChunkAck, ClientFrame, Cursor, Entry, Epoch, Seq, ServerFrame,
    Shown,
};
use lockstep_client::{Change, Event, Filling, LocalStore, MemoryStore};
use std::time::{Duration, Instant};

const FILLING: BootstrapId = BootstrapId::from_bytes([9; 16]);

fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

fn at(seq: u64) -> Seq {
    Seq::new(seq)
}

/// A device that is connected, and is to be filled or not.
struct Sub {
    store: MemoryStore,
    machine: Machine,
    now: Instant,
    events: Vec<Event>,
}

impl Sub {
    /// The device, and what it shows.
    fn new(changes: &[Change], unfilled: bool) -> (Self, Vec<Shown>) {
        let (store, now) = (MemoryStore::with_history(usize::MAX), Instant::now());
        done(store.apply(changes)).expect("the store takes it");
        let settings = Settings {
            outbox_max: 10,
            connect_timeout: Duration::from_secs(10),
            fill_entries: Some(100),
            gives_history: false,
        };
        let machine = Machine::new(settings, done(store.load()).expect("a state"), 1, now);
        let mut sub = Self { store, machine, now, events: Vec::new() };
        sub.machine.handle_timeout(now);
        sub.drain();
        sub.machine.handle_connected(now, "token");
        let unfilled = unfilled.then(|| ServerFrame::Welcome(Box::new(welcome_of(25_000, true))));
        sub.machine.handle_frame(now, unfilled.unwrap_or_else(|| welcome(25_000)));
        let shown = sub.drain().into_iter().filter_map(|frame| match frame {
            ClientFrame::Resume(resume) => Some(resume.conversations),
            _ => None,
        });
        let shown = shown.flatten().collect();
        (sub, shown)
    }

    /// All that was missed has come, and the server fills it.
    fn begin(&mut self) {
        self.machine.handle_frame(self.now, ServerFrame::CaughtUp);
        let reference = self.drain().into_iter().find_map(|frame| match frame {
            ClientFrame::Bootstrap(BootstrapFrame::Start(start)) => start.reference,
            _ => None,
        });
        assert!(reference.is_some(), "it asks to be filled");
        self.take(BootstrapNews::BootstrapStarted { reference, bootstrap: FILLING, total: 1, done: 0 });
        self.drain();
    }

    fn take(&mut self, news: BootstrapNews) {
        self.machine.handle_frame(self.now, ServerFrame::Bootstrap(news));
    }

    fn take_chunk(&mut self, number: u64, from: u64, to: u64, last: bool) {
        let entries: Vec<Entry> = (from..=to).map(|seq| entry(1, seq)).collect();
        let body = serde_json::to_string(&entries).expect("JSON");
        self.take(BootstrapNews::Chunk(Box::new(Chunk {
            bootstrap: FILLING,
            number,
            conversation: conversation(1),
            from_seq: at(from),
            to_seq: at(to),
            digest: Chunk::digest_of(&body),
            last,
            sealed: None,
            body,
        })));
    }

    fn drain(&mut self) -> Vec<ClientFrame> {
        let mut written = Vec::new();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Write(frame) => written.push(frame),
                Effect::Store(changes) => {
                    done(self.store.apply(&changes)).expect("the store takes it");
                    self.machine.handle_stored(self.now);
                }
                Effect::Event(event) => self.events.push(event),
                _ => {}
            }
        }
        written
    }
}

fn acked(seq: u64) -> ClientFrame {
    let ack = ChunkAck { bootstrap: FILLING, conversation: conversation(1), seq: at(seq) };
    ClientFrame::Bootstrap(BootstrapFrame::Ack(ack))
}

/// A conversation that was filled up to 5, and that the user has left.
fn left(epoch: Epoch) -> [Change; 3] {
    let filled = Change::Filled { conversation: conversation(1), cursor: Cursor { seq: at(5), entry: None } };
    [Change::Epoch(epoch), filled, Change::Left(conversation(1))]
}

#[test]
fn conversations_that_were_left_are_shown_where_the_server_may_not_know_of_them() {
    let same = welcome_of(25_000, false).epoch;
    for (unfilled, epoch, is_shown) in
        [(false, same, false), (true, same, true), (false, Epoch::from_bytes([7; 16]), true)]
    {
        let (_, shown) = Sub::new(&left(epoch), unfilled);
        let cursor = Cursor { seq: at(5), entry: None };
        let expected = is_shown.then(|| Shown { conversation: conversation(1), cursor });
        assert_eq!(shown, expected.into_iter().collect::<Vec<_>>(), "unfilled: {unfilled}, {epoch}");
    }
}

#[test]
fn a_chunk_of_what_is_here_is_acknowledged_and_dropped() {
    let (mut sub, _) = Sub::new(&left(welcome_of(25_000, true).epoch), true);
    sub.begin();
    for (number, from, to, last) in [(1, 1, 3, false), (2, 4, 5, true)] {
        sub.take_chunk(number, from, to, last);
        assert_eq!(sub.drain(), [acked(to)]);
    }
    let is_told = |event: &Event| matches!(event, Event::Disconnected { .. } | Event::Filling(Filling::Entries { .. }));
    assert!(!sub.events.iter().any(is_told), "{:?}", sub.events);
    let state = done(sub.store.load()).expect("a state");
    assert_eq!(state.cursors[&conversation(1)], Cursor { seq: at(5), entry: None });
    assert_eq!(done(sub.store.history(conversation(1), 10)).expect("a history"), []);
    // What goes beyond has to begin where the device stands.
    sub.take_chunk(3, 4, 9, true);
    assert_eq!(sub.drain(), []);
    assert!(matches!(sub.events.last(), Some(Event::Disconnected { .. })));
}

#[test]
fn chunks_that_are_stored_together_are_acknowledged_together() {
    let (mut sub, _) = Sub::new(&[], true);
    sub.begin();
    for number in 1..=3 {
        sub.take_chunk(number, 2 * number, 2 * number + 1, false);
    }
    assert_eq!(sub.drain(), [acked(7)]);
    sub.take_chunk(4, 8, 9, true);
    assert_eq!(sub.drain(), [acked(9)]);
    let history = done(sub.store.history(conversation(1), 10)).expect("a history");
    assert_eq!(history.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>(), (2..=9).collect::<Vec<_>>());
}
