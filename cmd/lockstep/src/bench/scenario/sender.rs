//! A device that sends as fast as it is answered.

use crate::bench::device::Handler;
use crate::bench::frames;
use crate::bench::latency::Recorder;
use lockstep_model::ClientMsgId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// What all senders share.
#[derive(Debug)]
pub(super) struct Sends {
    running: AtomicBool,
    started: AtomicU64,
    answered: AtomicU64,
    received: AtomicU64,
}

impl Sends {
    pub(super) fn new() -> Arc<Self> {
        let none = || AtomicU64::new(0);
        Arc::new(Self { running: AtomicBool::new(true), started: none(), answered: none(), received: none() })
    }

    /// No more sends begin.
    pub(super) fn stop(&self) {
        self.running.store(false, Ordering::Relaxed);
    }

    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Entries that came to the senders: their own messages, each once.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// One sender: so many sends under way at a time, to its conversations in turn.
pub(super) struct Sender {
    shared: Arc<Sends>,
    recorder: Recorder,
    rooms: Vec<String>,
    body: Arc<str>,
    window: usize,
    /// How many it sends at the most.
    most: u64,
    sent: u64,
    /// The number and the time of each send under way: answers come in order.
    under_way: VecDeque<(u64, Instant)>,
}

impl Sender {
    pub(super) fn new(
        shared: Arc<Sends>,
        recorder: Recorder,
        rooms: Vec<String>,
        body: Arc<str>,
        window: usize,
        most: u64,
    ) -> Self {
        Self { shared, recorder, rooms, body, window, most, sent: 0, under_way: VecDeque::new() }
    }

    /// How many it has sent to the conversation of this place among its own.
    pub(super) fn sent_to(&self, place: usize) -> u64 {
        let rooms = self.rooms.len() as u64;
        (self.sent + rooms - 1 - place as u64) / rooms
    }

    fn fill(&mut self, frames: &mut Vec<String>) {
        while self.under_way.len() < self.window && self.sent < self.most && self.shared.running.load(Ordering::Relaxed)
        {
            let room = &self.rooms[(self.sent % self.rooms.len() as u64) as usize];
            frames.push(frames::send(self.sent, room, ClientMsgId::random().as_str(), &self.body));
            self.under_way.push_back((self.sent, Instant::now()));
            self.sent += 1;
            self.shared.started.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Handler for Sender {
    fn go(&mut self, frames: &mut Vec<String>) {
        self.fill(frames);
    }

    fn sent(&mut self, reference: u64, frames: &mut Vec<String>) {
        if let Some(place) = self.under_way.iter().position(|(number, _)| *number == reference)
            && let Some((_, at)) = self.under_way.remove(place)
        {
            self.recorder.add(at.elapsed());
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        self.fill(frames);
    }

    fn entry(&mut self, _: &str, _: u64) {
        self.shared.received.fetch_add(1, Ordering::Relaxed);
    }
}
