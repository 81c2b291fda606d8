//! The task of a client: it moves bytes, time and store calls between the machine and the world.

use crate::machine::{ConnectError, Effect, HistoryQuery, Machine, Question, Settings};
use crate::transport::{self, Incoming, Socket};
use crate::{AskError, ClientConfig, Counters, Event, OutboxItem, RenewError, SendError, Sent, StopReason};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lockstep_protocol::{Body, ClientMsgId, ConversationId, Offset, Ref, Source, Unread, UserId};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Frames and commands taken in one turn, so that one store call covers them.
const TURN_MAX: usize = 256;

/// What a handle asks.
pub(crate) enum Command {
    Send {
        item: OutboxItem,
        /// Answered when the message is in the store.
        saved: oneshot::Sender<Result<(), SendError>>,
        /// Answered when the server has answered.
        answer: oneshot::Sender<Result<Sent, SendError>>,
    },
    Read {
        offset: Offset,
        taken: oneshot::Sender<Result<(), SendError>>,
    },
    Renew {
        token: String,
        /// Answered when the server has answered; dropped if the connection ends first.
        answer: oneshot::Sender<Result<(), RenewError>>,
    },
    Ask {
        question: Question,
        /// Answered when the server has answered; dropped if the connection ends first.
        answer: oneshot::Sender<Result<Vec<Unread>, AskError>>,
    },
    Signal {
        conversation: ConversationId,
        body: Body,
    },
    Watch {
        users: Vec<UserId>,
    },
    Bootstrap {
        entries: u32,
        source: Source,
    },
    Stop,
}

/// Who waits for a message. As many as callers: a handful at most.
#[derive(Default)]
struct Waiters {
    saved: Vec<oneshot::Sender<Result<(), SendError>>>,
    answer: Vec<oneshot::Sender<Result<Sent, SendError>>>,
}

type Connecting = BoxFuture<'static, Result<(Socket, String), ConnectError>>;

pub(crate) struct Service {
    config: ClientConfig,
    machine: Machine,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events that nobody has taken yet.
    untaken: VecDeque<Event>,
    waiters: HashMap<ClientMsgId, Waiters>,
    renewals: HashMap<Ref, oneshot::Sender<Result<(), RenewError>>>,
    questions: HashMap<Ref, oneshot::Sender<Result<Vec<Unread>, AskError>>>,
    connecting: Option<Connecting>,
    socket: Option<Socket>,
    unflushed: bool,
    counters: Arc<Mutex<Counters>>,
}

/// What a turn of the task begins with.
enum Woken {
    Command(Option<Command>),
    Connected(Result<(Socket, String), ConnectError>),
    Incoming(Incoming),
    EventTaken(bool),
    Timeout,
}

impl Service {
    pub(crate) async fn run(
        config: ClientConfig,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        counters: Arc<Mutex<Counters>>,
        stopped: CancellationToken,
    ) {
        let _on_exit = stopped.clone().drop_guard();
        let state = match config.store.load().await {
            Ok(state) => state,
            Err(error) => {
                drop(commands);
                stopped.cancel();
                let _ = events.send(Event::Stopped(StopReason::Store(error.to_string()))).await;
                return;
            }
        };
        let settings = Settings {
            outbox_max: config.outbox_max,
            connect_timeout: config.connect_timeout,
            fill_entries: config.fill_entries,
            gives_history: config.gives_history.is_some(),
        };
        let mut service = Self {
            config,
            machine: Machine::new(settings, state, rand::random(), now()),
            commands,
            events,
            untaken: VecDeque::new(),
            waiters: HashMap::new(),
            renewals: HashMap::new(),
            questions: HashMap::new(),
            connecting: None,
            socket: None,
            unflushed: false,
            counters,
        };
        while !service.machine.is_stopped() {
            service.turn().await;
        }
        let Self { commands, waiters, untaken, events, .. } = service;
        // Whoever still waits learns that the client has stopped.
        drop((commands, waiters));
        stopped.cancel();
        for event in untaken {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }

    async fn turn(&mut self) {
        match self.wait().await {
            Woken::Command(command) => self.take_commands(command),
            Woken::Connected(Ok((socket, token))) => {
                self.connecting = None;
                self.socket = Some(socket);
                self.machine.handle_connected(now(), &token);
            }
            Woken::Connected(Err(error)) => {
                self.connecting = None;
                self.machine.handle_not_connected(now(), error);
            }
            Woken::Incoming(incoming) => self.take_incoming(incoming),
            Woken::EventTaken(true) => {}
            // Nobody listens any more.
            Woken::EventTaken(false) => self.untaken.clear(),
            Woken::Timeout => self.machine.handle_timeout(now()),
        }
        self.drain().await;
        *self.counters.lock() = self.machine.counters();
    }

    async fn wait(&mut self) -> Woken {
        let deadline = self.machine.poll_timeout().map(tokio::time::Instant::from_std);
        let may_read = self.may_read(0);
        tokio::select! {
            command = self.commands.recv() => Woken::Command(command),
            outcome = poll_option(&mut self.connecting), if may_read => Woken::Connected(outcome),
            incoming = read_option(&mut self.socket), if may_read => Woken::Incoming(incoming),
            permit = self.events.reserve(), if !self.untaken.is_empty() => match permit {
                Ok(permit) => {
                    if let Some(event) = self.untaken.pop_front() {
                        permit.send(event);
                    }
                    Woken::EventTaken(true)
                }
                Err(_) => Woken::EventTaken(false),
            },
            () = sleep_option(deadline) => Woken::Timeout,
        }
    }

    /// With too many events untaken nothing is read and no connection is opened: the server, or its absence, waits. One
    /// frame more than the bound may be read, and what the connection's end has to tell.
    fn may_read(&self, events_staged: usize) -> bool {
        self.untaken.len() + events_staged < self.config.events_max.max(1)
    }

    fn take_commands(&mut self, first: Option<Command>) {
        let Some(first) = first else { return self.machine.handle_stop() };
        let mut next = Some(first);
        let mut turns = 0;
        while let Some(command) = next {
            self.take_command(command);
            turns += 1;
            next = if turns < TURN_MAX { self.commands.try_recv().ok() } else { None };
        }
    }

    fn take_command(&mut self, command: Command) {
        match command {
            Command::Send { item, saved, answer } => {
                let client_msg_id = item.client_msg_id.clone();
                match self.machine.handle_send(item) {
                    Ok(()) => {
                        let waiters = self.waiters.entry(client_msg_id).or_default();
                        waiters.saved.push(saved);
                        waiters.answer.push(answer);
                    }
                    Err(error) => drop(saved.send(Err(error))),
                }
            }
            Command::Read { offset, taken } => drop(taken.send(self.machine.handle_read(now(), offset))),
            Command::Renew { token, answer } => {
                if let Some(reference) = self.machine.handle_renew(&token) {
                    self.renewals.insert(reference, answer);
                }
            }
            Command::Ask { question, answer } => {
                if let Some(reference) = self.machine.handle_question(question) {
                    self.questions.insert(reference, answer);
                }
            }
            Command::Signal { conversation, body } => self.machine.handle_signal(conversation, body),
            Command::Watch { users } => self.machine.handle_watch(users),
            Command::Bootstrap { entries, source } => self.machine.handle_bootstrap(now(), entries, source),
            Command::Stop => self.machine.handle_stop(),
        }
    }

    fn take_incoming(&mut self, first: Incoming) {
        let mut next = Some(first);
        let mut turns = 0;
        while let Some(incoming) = next {
            match incoming {
                Incoming::Text(text) => self.machine.handle_text(now(), &text),
                Incoming::Closed(code) => return self.machine.handle_closed(now(), code),
            }
            turns += 1;
            let may_read = turns < TURN_MAX && self.may_read(self.machine.events_staged());
            next = self.socket.as_mut().filter(|_| may_read).and_then(Socket::read_ready);
        }
    }

    /// Does all that the machine wants done, then writes what waits.
    async fn drain(&mut self) {
        loop {
            while let Some(effect) = self.machine.poll_effect() {
                self.perform(effect).await;
            }
            let Some(socket) = self.socket.as_mut().filter(|_| self.unflushed) else { return };
            self.unflushed = false;
            if !socket.flush().await {
                self.machine.handle_closed(now(), None);
            }
        }
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect(reason) => {
                self.connecting = Some(transport::connect(self.config.clone(), reason).boxed());
            }
            Effect::Write(frame) => {
                let Some(socket) = &mut self.socket else { return };
                self.unflushed = true;
                if !socket.feed(&frame).await {
                    self.machine.handle_closed(now(), None);
                }
            }
            Effect::Close => {
                self.connecting = None;
                self.unflushed = false;
                self.renewals.clear();
                self.questions.clear();
                if let Some(socket) = self.socket.take() {
                    socket.close().await;
                }
            }
            Effect::Store(changes) => match self.config.store.apply(&changes).await {
                Ok(()) => self.machine.handle_stored(now()),
                Err(error) => {
                    tracing::warn!(%error, "the local store failed");
                    self.machine.handle_store_failed(now(), changes, &error.to_string());
                }
            },
            Effect::ReadHistory(query) => self.read_history(query).await,
            Effect::Event(event) => self.give_out(event),
            Effect::Saved(id) => {
                let saved = self.waiters.get_mut(&id).map(|waiters| std::mem::take(&mut waiters.saved));
                saved.into_iter().flatten().for_each(|saved| drop(saved.send(Ok(()))));
            }
            Effect::Answer { client_msg_id, outcome } => self.answer(client_msg_id, outcome),
            Effect::Told { reference, outcome } => {
                if let Some(answer) = self.questions.remove(&reference) {
                    // Whoever asked may be gone.
                    let _ = answer.send(outcome);
                }
            }
            Effect::Renewed { reference, outcome } => {
                if let Some(answer) = self.renewals.remove(&reference) {
                    // Whoever asked may be gone.
                    let _ = answer.send(outcome);
                }
            }
        }
    }

    async fn read_history(&mut self, query: HistoryQuery) {
        let Some(history) = &self.config.gives_history else { return };
        match query {
            HistoryQuery::Held => {
                let held = history.held().await;
                self.machine.handle_held(now(), held);
            }
            HistoryQuery::Latest { conversation, entries, to } => {
                let latest = history.latest(conversation, entries, to).await;
                self.machine.handle_latest(now(), latest);
            }
            HistoryQuery::Stretch { conversation, from, to, bytes_max } => {
                let stretch = history.stretch(conversation, from, to, bytes_max).await;
                self.machine.handle_stretch(now(), stretch);
            }
        }
    }

    fn answer(&mut self, client_msg_id: ClientMsgId, outcome: Result<Sent, SendError>) {
        let Waiters { saved, answer } = self.waiters.remove(&client_msg_id).unwrap_or_default();
        // Without `saved` before it, the message never got into the store, or had its answer at once.
        let mut heard = false;
        for saved in saved {
            let outcome = outcome.clone().map(|_| ());
            heard |= saved.send(outcome.or_else(|error| if is_store(&error) { Err(error) } else { Ok(()) })).is_ok();
        }
        for answer in answer {
            heard |= answer.send(outcome.clone()).is_ok();
        }
        if !heard {
            self.give_out(Event::Answered { client_msg_id, outcome });
        }
    }

    fn give_out(&mut self, event: Event) {
        if !self.events.is_closed() {
            self.untaken.push_back(event);
        }
    }
}

fn is_store(error: &SendError) -> bool {
    matches!(error, SendError::Store(_))
}

/// The clock of the runtime, so that tests can turn it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn poll_option(connecting: &mut Option<Connecting>) -> Result<(Socket, String), ConnectError> {
    match connecting {
        Some(connecting) => connecting.await,
        None => std::future::pending().await,
    }
}

async fn read_option(socket: &mut Option<Socket>) -> Incoming {
    match socket {
        Some(socket) => socket.read().await,
        None => std::future::pending().await,
    }
}

async fn sleep_option(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
