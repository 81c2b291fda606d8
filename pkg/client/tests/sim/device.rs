//! A machine with a store in memory and a clock that the test turns.

use super::server::{Connection, Server};
use futures_util::FutureExt;
use lockstep_client::machine::{Effect, Machine, Settings};
use lockstep_client::protocol::{
    Body, BootstrapFrame, ClientFrame, ClientMsgId, ConversationId, Entry, Kind, Offset, Target,
};
use lockstep_client::{DisconnectReason, Event, Filling, LocalStore, MemoryStore, OutboxItem, SendError, Sent};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

pub(crate) struct Device {
    pub(crate) store: MemoryStore,
    machine: Machine,
    pub(crate) now: Instant,
    seed: u64,
    /// The store refuses the next changes.
    pub(crate) store_fails: bool,
    /// The server refuses the next connections.
    pub(crate) unreachable: u32,
    /// Messages that were taken, in order.
    pub(crate) sends: Vec<(ConversationId, ClientMsgId)>,
    pub(crate) answers: HashMap<ClientMsgId, Vec<Result<Sent, SendError>>>,
    /// Entries given out per conversation since its last reset.
    pub(crate) entries: BTreeMap<ConversationId, Vec<Entry>>,
    pub(crate) gaps: u32,
    /// Chunks that were not taken.
    pub(crate) bad_chunks: u32,
    /// Whether the device has heard that it is filled.
    pub(crate) is_filled: bool,
}

fn settings() -> Settings {
    Settings {
        outbox_max: 1_000,
        connect_timeout: Duration::from_secs(10),
        fill_entries: Some(10),
        gives_history: false,
    }
}

fn done<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a store in memory answers at once")
}

impl Device {
    pub(crate) fn new(seed: u64) -> Self {
        let (store, now) = (MemoryStore::with_history(usize::MAX), Instant::now());
        let machine = Machine::new(settings(), done(store.load()).expect("a state"), seed, now);
        Self {
            store,
            machine,
            now,
            seed,
            store_fails: false,
            unreachable: 0,
            sends: Vec::new(),
            answers: HashMap::new(),
            entries: BTreeMap::new(),
            gaps: 0,
            bad_chunks: 0,
            is_filled: false,
        }
    }

    /// The process ends and begins anew on the same store.
    pub(crate) fn restart(&mut self, server: &mut Server) {
        server.connection = None;
        self.seed += 1;
        self.machine = Machine::new(settings(), done(self.store.load()).expect("a state"), self.seed, self.now);
    }

    pub(crate) fn send(&mut self, server: &mut Server, conversation: ConversationId) {
        let client_msg_id = ClientMsgId::new(&format!("m{}", self.sends.len())).expect("an id");
        let body = Body::text(client_msg_id.as_str());
        let target = Target::Conversation(conversation);
        self.machine
            .handle_send(OutboxItem { client_msg_id: client_msg_id.clone(), target, kind: Kind::Message, body })
            .expect("room");
        self.sends.push((conversation, client_msg_id));
        self.drain(server);
    }

    pub(crate) fn read(&mut self, server: &mut Server, offset: Offset) {
        self.machine.handle_read(self.now, offset).expect("room");
        self.drain(server);
    }

    /// Takes so many frames of the server before anything is stored.
    pub(crate) fn receive(&mut self, server: &mut Server, frames: usize) {
        for _ in 0..frames {
            let Some(frame) = server.connection.as_mut().and_then(|c| c.to_device.pop_front()) else { break };
            self.machine.handle_frame(self.now, frame);
        }
        self.drain(server);
    }

    pub(crate) fn disconnected(&mut self, server: &mut Server) {
        if server.connection.take().is_some() {
            self.machine.handle_closed(self.now, None);
            self.drain(server);
        }
    }

    pub(crate) fn pass(&mut self, server: &mut Server, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.drain(server);
            assert!(
                self.machine.poll_timeout().is_none_or(|next| next > self.now),
                "a timeout that was handled must not be due again"
            );
        }
        self.now = end;
    }

    /// How long until the machine wants to do something.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.machine.poll_timeout().map(|at| at.saturating_duration_since(self.now))
    }

    /// Up to where each conversation is stored, those that are partial too.
    pub(crate) fn stored(&self) -> BTreeMap<ConversationId, u64> {
        let state = done(self.store.load()).expect("a state");
        let partial = state.partial.iter().map(|(id, seq)| (*id, seq.get()));
        for (id, _) in partial.clone() {
            assert!(!state.cursors.contains_key(&id), "a partial conversation has a cursor");
        }
        partial.chain(state.cursors.iter().map(|(id, cursor)| (*id, cursor.seq.get()))).collect()
    }

    pub(crate) fn has_partial(&self) -> bool {
        !done(self.store.load()).expect("a state").partial.is_empty()
    }

    pub(crate) fn history(&self, conversation: ConversationId) -> Vec<Entry> {
        done(self.store.history(conversation, usize::MAX)).expect("a history")
    }

    pub(crate) fn drain(&mut self, server: &mut Server) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Connect(_) if self.unreachable > 0 => {
                    self.unreachable -= 1;
                    let error = lockstep_client::machine::ConnectError::Unreachable("refused".to_owned());
                    self.machine.handle_not_connected(self.now, error);
                }
                Effect::Connect(_) => {
                    server.connection = Some(Connection::default());
                    self.machine.handle_connected(self.now, "token");
                }
                Effect::Write(frame) => {
                    self.check_acks(&frame);
                    if let Some(connection) = &mut server.connection {
                        connection.to_server.push_back(frame);
                    }
                }
                Effect::Close => server.connection = None,
                Effect::Store(changes) if std::mem::take(&mut self.store_fails) => {
                    self.machine.handle_store_failed(self.now, changes, "full");
                }
                Effect::Store(changes) => {
                    done(self.store.apply(&changes)).expect("the store takes it");
                    self.machine.handle_stored(self.now);
                }
                Effect::Event(event) => self.take_event(event),
                Effect::ReadHistory(_) => unreachable!("this device gives nothing"),
                Effect::Saved(_) | Effect::Renewed { .. } | Effect::Told { .. } => {}
                Effect::Answer { client_msg_id, outcome } => {
                    self.answers.entry(client_msg_id).or_default().push(outcome);
                }
            }
        }
    }

    /// Nothing is acknowledged that is not stored at this moment.
    fn check_acks(&self, frame: &ClientFrame) {
        let acked = match frame {
            ClientFrame::Ack(ack) => ack.cursors.clone(),
            ClientFrame::Bootstrap(BootstrapFrame::Ack(ack)) => {
                vec![Offset { conversation: ack.conversation, seq: ack.seq }]
            }
            _ => return,
        };
        let stored = self.stored();
        for Offset { conversation, seq } in acked {
            let kept = stored.get(&conversation).copied().unwrap_or_default();
            assert!(seq.get() <= kept, "acknowledges {seq} of {conversation}, stored up to {kept}");
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Entry(entry) => self.entries.entry(entry.conversation).or_default().push(entry),
            Event::Reset { conversation, .. } => drop(self.entries.remove(&conversation)),
            Event::Filling(Filling::Entries { conversation, entries, .. }) => {
                self.entries.entry(conversation).or_default().extend(entries);
            }
            Event::Filling(Filling::Dropped(conversation)) => drop(self.entries.remove(&conversation)),
            Event::Filling(Filling::Done { .. }) => self.is_filled = true,
            Event::Disconnected { reason: DisconnectReason::Gap { .. }, .. } => self.gaps += 1,
            Event::Disconnected { reason: DisconnectReason::Chunk { .. }, .. } => self.bad_chunks += 1,
            Event::Stopped(reason) => panic!("stopped: {reason}"),
            _ => {}
        }
    }
}
