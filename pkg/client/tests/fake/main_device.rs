//! A main device with a store in memory and a clock that the test turns.

use super::frames::{conversation, welcome, welcome_of};
use futures_util::FutureExt;
use lockstep_client::machine::{Effect, HistoryQuery, Machine, Settings};
use lockstep_client::protocol::{
    BootstrapFrame, BootstrapId, BootstrapNews, ChunkAck, ClientFrame, Seq, ServerFrame, encode_client, limits,
};
use lockstep_client::{Change, Event, HistorySource, LocalStore, MemoryStore, StoreError};
use std::time::{Duration, Instant};

fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

/// A main device that is connected and has caught up.
pub(crate) struct Main {
    store: MemoryStore,
    pub(crate) machine: Machine,
    pub(crate) now: Instant,
    pub(crate) events: Vec<Event>,
    /// The store answers nothing.
    pub(crate) store_fails: bool,
    /// The most entries that one answer of the store had.
    pub(crate) read_max: usize,
}

impl Main {
    pub(crate) fn new(changes: &[Change]) -> Self {
        Self::greeted(changes, None, welcome(25_000))
    }

    /// One that is to be filled itself.
    pub(crate) fn unfilled(changes: &[Change]) -> Self {
        Self::greeted(changes, Some(100), ServerFrame::Welcome(Box::new(welcome_of(25_000, true))))
    }

    pub(crate) fn greeted(changes: &[Change], fill_entries: Option<u32>, welcome: ServerFrame) -> Self {
        let (store, now) = (MemoryStore::with_history(usize::MAX), Instant::now());
        done(store.apply(changes)).expect("the store takes it");
        let connect_timeout = Duration::from_secs(10);
        let settings = Settings { outbox_max: 10, connect_timeout, fill_entries, gives_history: true };
        let machine = Machine::new(settings, done(store.load()).expect("a state"), 1, now);
        let mut main = Self { store, machine, now, events: Vec::new(), store_fails: false, read_max: 0 };
        main.pass(0);
        main.machine.handle_connected(main.now, "token");
        main.take(welcome);
        main
    }

    pub(crate) fn take(&mut self, frame: ServerFrame) -> Vec<BootstrapFrame> {
        self.machine.handle_frame(self.now, frame);
        self.drain()
    }

    pub(crate) fn pass(&mut self, ms: u64) -> Vec<BootstrapFrame> {
        self.now += Duration::from_millis(ms);
        self.machine.handle_timeout(self.now);
        self.drain()
    }

    /// What is written about fillings.
    pub(crate) fn drain(&mut self) -> Vec<BootstrapFrame> {
        let mut written = Vec::new();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Write(frame) => {
                    let bytes = encode_client(&frame).len();
                    assert!(bytes <= limits::FRAME_BYTES_MAX, "a frame of {bytes} bytes");
                    if let ClientFrame::Bootstrap(frame) = frame {
                        written.push(frame);
                    }
                }
                Effect::Store(changes) => {
                    done(self.store.apply(&changes)).expect("the store takes it");
                    self.machine.handle_stored(self.now);
                }
                Effect::ReadHistory(HistoryQuery::Held) => {
                    let held = self.answer(done(self.store.held()));
                    self.machine.handle_held(self.now, held);
                }
                Effect::ReadHistory(HistoryQuery::Latest { conversation, entries, to }) => {
                    let latest = self.answer(done(self.store.latest(conversation, entries, to)));
                    self.machine.handle_latest(self.now, latest);
                }
                Effect::ReadHistory(HistoryQuery::Stretch { conversation, from, to, bytes_max }) => {
                    let stretch = self.answer(done(self.store.stretch(conversation, from, to, bytes_max)));
                    self.read_max = self.read_max.max(stretch.as_ref().map_or(0, Vec::len));
                    self.machine.handle_stretch(self.now, stretch);
                }
                Effect::Event(event) => self.events.push(event),
                _ => {}
            }
        }
        written
    }

    fn answer<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if self.store_fails { Err(StoreError("broken".to_owned())) } else { answer }
    }

    pub(crate) fn news(&mut self, news: BootstrapNews) -> Vec<BootstrapFrame> {
        self.take(ServerFrame::Bootstrap(news))
    }

    pub(crate) fn acked(&mut self, n: u8, seq: u64) -> Vec<BootstrapFrame> {
        self.news(BootstrapNews::ChunkAcked(ChunkAck { bootstrap: id(1), conversation: conversation(n), seq: at(seq) }))
    }
}

pub(crate) fn at(seq: u64) -> Seq {
    Seq::new(seq)
}

pub(crate) fn id(n: u8) -> BootstrapId {
    BootstrapId::from_bytes([n; 16])
}
