//! The device's state machine: no I/O, no clock, no task.
//!
//! It takes what happened through `handle_*`, each with the time, and gives what is to be done through
//! [`Machine::poll_effect`]. After every `handle_*`, drain the effects in their order until there is none. An
//! [`Effect::Store`] has to be answered by [`Machine::handle_stored`] or [`Machine::handle_store_failed`] before the
//! next is taken: events and acknowledgements of what it stores come after it. At [`Machine::poll_timeout`], call
//! [`Machine::handle_timeout`].
//!
//! One file per concern: `handshake` (connect, hello, welcome, resume, the end of a connection), `receive` (entries,
//! gaps, resets), `acks`, `outbox` and `sends` (messages), `reads` (read offsets), `renewals` (fresh tokens),
//! `questions` (unread, state), `ephemeral` (signals, presence), `filling` (being filled from a main device), `giving`
//! and `giver` (filling others), `staged` (what waits for the store), `backoff`.

mod acks;
mod backoff;
mod ephemeral;
mod filling;
mod giver;
mod giving;
mod handshake;
mod io;
mod outbox;
mod questions;
mod reads;
mod receive;
mod renewals;
mod sends;
mod staged;

use crate::{Change, Counters, DisconnectReason, Event, OutboxItem, SendError, Sent, State, StopReason, TokenReason};
use acks::Acks;
use backoff::Backoff;
use filling::Filler;
use giver::Giver;
pub use giving::HistoryQuery;
use handshake::Phase;
pub use io::{ConnectError, Effect, Settings};
use lockstep_protocol::{
    BootstrapFrame, ClientFrame, ClientLimits, Offset, Ref, Seq, ServerFrame, UserId, decode_server, limits,
};
use outbox::Outbox;
pub use questions::Question;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reads::Reads;
use receive::Replica;
use staged::{Output, Staged};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a request may stay without an answer before it is sent again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The wait before a request that was answered with "later", but not with when, is sent again.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// What a request that is under way is about.
#[derive(Debug, Clone)]
enum Asked {
    Send(u64),
    Read(Offset),
    Renew,
    Question,
    Bootstrap,
}

/// One device's side of the protocol.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    rng: StdRng,
    phase: Phase,
    /// Counts connections, so that what belongs to an earlier one is known.
    connection: u64,
    limits: ClientLimits,
    replica: Replica,
    acks: Acks,
    outbox: Outbox,
    reads: Reads,
    filler: Filler,
    giver: Giver,
    backoff: Backoff,
    asked: HashMap<Ref, Asked>,
    next_ref: u64,
    /// Whose presence the application wants to know.
    watched: Option<Vec<UserId>>,
    /// The server has asked for no more sends before this moment.
    sends_paused_until: Option<Instant>,
    effects: VecDeque<Effect>,
    staged: Staged,
    counters: Counters,
}

impl Machine {
    /// A machine that goes on from `state` and connects at once. `seed` feeds the waits' randomness.
    pub fn new(settings: Settings, mut state: State, seed: u64, now: Instant) -> Self {
        let (outbox, reads) = (std::mem::take(&mut state.outbox), std::mem::take(&mut state.reads));
        Self {
            settings,
            rng: StdRng::seed_from_u64(seed),
            phase: Phase::Waiting { until: now, reason: TokenReason::Connect },
            connection: 0,
            limits: default_limits(),
            replica: Replica::new(state),
            acks: Acks::default(),
            outbox: Outbox::new(outbox),
            reads: Reads::new(reads),
            filler: Filler::new(settings.fill_entries),
            giver: Giver::new(settings.gives_history),
            backoff: Backoff::default(),
            asked: HashMap::new(),
            next_ref: 1,
            watched: None,
            sends_paused_until: None,
            effects: VecDeque::new(),
            staged: Staged::default(),
            counters: Counters::default(),
        }
    }

    /// A text frame came.
    pub fn handle_text(&mut self, now: Instant, text: &str) {
        match decode_server(text) {
            Ok(Some(frame)) => self.handle_frame(now, frame),
            // A frame of a later version is still a sign of life.
            Ok(None) => self.heard(now),
            Err(error) => self.disconnect(now, DisconnectReason::Protocol(error.message)),
        }
    }

    /// A frame came.
    pub fn handle_frame(&mut self, now: Instant, frame: ServerFrame) {
        if let Phase::Greeting { .. } = self.phase {
            match frame {
                ServerFrame::Welcome(welcome) => self.handle_welcome(now, *welcome),
                ServerFrame::Error(error) => self.handle_error(now, error),
                // Not answered: until welcome the server takes nothing but hello.
                ServerFrame::Heartbeat => {}
                _ => self.disconnect(now, DisconnectReason::Protocol("A welcome was expected.".to_owned())),
            }
            return;
        }
        if !self.is_live() {
            return;
        }
        self.heard(now);
        match frame {
            ServerFrame::Entry(entry) => self.handle_entry(now, entry),
            ServerFrame::Entries { entries } => entries.into_iter().for_each(|entry| self.handle_entry(now, entry)),
            ServerFrame::Skip { conversation, from, to, reason } => {
                self.handle_skip(now, conversation, from, to, reason);
            }
            ServerFrame::Reset { conversation, floor, head, .. } => self.handle_reset(conversation, floor, head),
            ServerFrame::Offsets { version, offsets } => self.handle_offsets(Some(version), offsets),
            ServerFrame::CaughtUp => self.handle_caught_up(now),
            ServerFrame::Heartbeat => self.write(ClientFrame::Heartbeat),
            ServerFrame::Sent { reference, conversation, seq, id, sent_at, duplicate } => {
                self.handle_sent(now, reference, |client_msg_id| Sent {
                    client_msg_id,
                    conversation,
                    seq,
                    id,
                    sent_at,
                    duplicate,
                });
            }
            ServerFrame::Done { reference } => self.handle_done(now, reference),
            ServerFrame::Error(error) => self.handle_error(now, error),
            ServerFrame::Signal(signal) => self.handle_signalled(signal),
            ServerFrame::Devices { devices } => self.handle_devices(devices),
            ServerFrame::Presence { users, .. } => self.handle_presence(users),
            ServerFrame::Receipts { conversation, receipts } => self.event(Event::Receipts { conversation, receipts }),
            ServerFrame::Unread { reference, conversations } => self.handle_unread(reference, conversations),
            ServerFrame::Bootstrap(news) => self.handle_bootstrap_news(now, news),
            ServerFrame::Welcome(_) => {}
        }
    }

    /// The application sends a message.
    ///
    /// # Errors
    ///
    /// If it is refused at once; then nothing is kept. Else [`Effect::Saved`] and later [`Effect::Answer`] follow, or
    /// the latter alone if the store fails.
    pub fn handle_send(&mut self, item: OutboxItem) -> Result<(), SendError> {
        self.take_send(item)
    }

    /// The user has read up to here.
    ///
    /// # Errors
    ///
    /// If the client has stopped or keeps too many offsets already.
    pub fn handle_read(&mut self, now: Instant, offset: Offset) -> Result<(), SendError> {
        self.take_read(now, offset)
    }

    /// The application wants no more. Acknowledgements that wait are written first.
    pub fn handle_stop(&mut self) {
        self.release_staged();
        self.flush_acks();
        self.stop(StopReason::Asked);
    }

    /// The changes of the last [`Effect::Store`] are in the store.
    pub fn handle_stored(&mut self, now: Instant) {
        self.replica.settle();
        let outputs = self.staged.take_storing();
        outputs.into_iter().for_each(|output| self.release(output));
        self.pump(now);
    }

    /// The changes of the last [`Effect::Store`] are not in the store. The connection is given up: the next one shows
    /// what the store has.
    pub fn handle_store_failed(&mut self, now: Instant, changes: Vec<Change>, error: &str) {
        self.replica.revert();
        self.outbox.reopen();
        // What was staged while the store was busy builds on what it did not take.
        let (outputs, later) = self.staged.take_failed();
        for change in changes.into_iter().chain(later) {
            if let Change::OutboxAdded(item) = change {
                self.outbox.remove(&item.client_msg_id);
                let outcome = Err(SendError::Store(error.to_owned()));
                self.effects.push_back(Effect::Answer { client_msg_id: item.client_msg_id, outcome });
            }
        }
        for output in outputs {
            match output {
                // Delivered, or answered, again on the next connection.
                Output::Event(
                    Event::Entry(_)
                    | Event::Skip { .. }
                    | Event::Reset { .. }
                    | Event::Offsets(_)
                    | Event::CaughtUp
                    | Event::Filling(_),
                )
                | Output::Ack { .. }
                | Output::ChunkAck { .. }
                | Output::Answer { .. } => {}
                other => self.staged.push(other),
            }
        }
        self.disconnect(now, DisconnectReason::Store(error.to_owned()));
    }

    /// When [`Machine::handle_timeout`] is to be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let life = self.life_deadline();
        if !self.is_live() {
            return life;
        }
        let reads = if self.has_caught_up() { self.reads.due() } else { None };
        [life, self.acks.due(), self.send_due(), reads, self.filler.due(), self.giver.due()].into_iter().flatten().min()
    }

    /// The moment of [`Machine::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.check_life(now);
        if self.acks.due().is_some_and(|due| due <= now) {
            self.flush_acks();
        }
        self.pump(now);
    }

    /// What is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        loop {
            if let Some(effect) = self.effects.pop_front() {
                return Some(effect);
            }
            if !self.staged.is_pending() {
                return None;
            }
            if let Some(changes) = self.staged.begin_storing() {
                return Some(Effect::Store(changes));
            }
            self.release_staged();
        }
    }

    /// How many events, at most, wait for the next store call.
    pub fn events_staged(&self) -> usize {
        self.staged.len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether the machine has stopped: nothing is to be done any more but its last effects.
    pub fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    fn pump(&mut self, now: Instant) {
        if self.is_live() {
            self.pump_sends(now);
            self.pump_reads(now);
            self.pump_filling(now);
            self.pump_giving(now);
        }
    }

    fn write(&mut self, frame: ClientFrame) {
        self.effects.push_back(Effect::Write(frame));
    }

    fn event(&mut self, event: Event) {
        self.staged.push(Output::Event(event));
    }

    fn next_reference(&mut self) -> Ref {
        let reference = Seq::new(self.next_ref);
        self.next_ref += 1;
        reference
    }

    fn ask(&mut self, asked: Asked) -> Ref {
        let reference = self.next_reference();
        self.asked.insert(reference, asked);
        reference
    }

    /// Outputs for which nothing has to be stored first.
    fn release_staged(&mut self) {
        let outputs = self.staged.take_outputs();
        outputs.into_iter().for_each(|output| self.release(output));
    }

    fn release(&mut self, output: Output) {
        match output {
            Output::Event(event) => {
                if let Event::Entry(entry) = &event {
                    self.note_held(entry.conversation, entry.seq);
                }
                self.effects.push_back(Effect::Event(event));
            }
            Output::ChunkAck { connection, ack } => {
                if connection == self.connection && self.is_live() {
                    self.write(ClientFrame::Bootstrap(BootstrapFrame::Ack(ack)));
                }
            }
            Output::Saved(position) => {
                if let Some(client_msg_id) = self.outbox.saved(position) {
                    self.effects.push_back(Effect::Saved(client_msg_id));
                }
            }
            Output::Answer { position, outcome } => {
                if let Some(OutboxItem { client_msg_id, .. }) = self.outbox.take(position) {
                    self.effects.push_back(Effect::Answer { client_msg_id, outcome });
                }
            }
            Output::Ack { connection, conversation, seq, bytes, at } => {
                if connection == self.connection && self.is_live() {
                    self.acks.add(conversation, seq, bytes, at);
                    if self.acks.is_full(self.limits.window_entries) {
                        self.flush_acks();
                    }
                }
            }
        }
    }
}

/// What a server allows that has not said so yet.
fn default_limits() -> ClientLimits {
    ClientLimits {
        heartbeat_ms: limits::HEARTBEAT_MS,
        ack_timeout_ms: limits::ACK_TIMEOUT_MS,
        frame_bytes_max: limits::FRAME_BYTES_MAX,
        body_bytes_max: limits::BODY_BYTES_MAX,
        window_entries: limits::WINDOW_ENTRIES_MAX,
    }
}
