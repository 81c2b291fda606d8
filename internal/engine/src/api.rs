//! The handle that doors hold, and what is behind it.

use crate::bootstrap::Bootstraps;
use crate::connections::Connections;
use crate::cursors::Cursors;
use crate::events::Emitter;
use crate::ingest::answered;
use crate::lane::{Lane, Reply, Waiting};
use crate::links::LinkWaiters;
use crate::presence::Presence;
use crate::publisher::Publisher;
use crate::questions::Questions;
use crate::reader::Reader;
use crate::receipts::{Place, Teller};
use crate::sign_ins::SignIns;
use crate::signals::Signals;
use crate::teardowns::Teardowns;
use crate::trace::Trace;
use crate::{Connection, EngineConfig};
use lockstep_model::{
    Ask, Body, ClientMsgId, Code, ConversationId, DeviceId, EntryId, Epoch, Kind, Notice, SendOutcome, StageName,
    Target, UnixMs, UserId,
};
use lockstep_ports::{Append, Author, Broker, Directory, Events, MessageLog, Offsets, StoreError};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the engine stands on.
#[derive(Clone)]
pub struct Ports {
    /// The log.
    pub log: Arc<dyn MessageLog>,
    /// Users, devices, conversations.
    pub directory: Arc<dyn Directory>,
    /// Read offsets.
    pub offsets: Arc<dyn Offsets>,
    /// The transport of live entries.
    pub broker: Arc<dyn Broker>,
    /// Who tells services what happens, if anybody does.
    pub events: Option<Arc<dyn Events>>,
}

/// The handle of the engine: cheap to clone, shared by all doors.
///
/// What a session asks goes through [`ask`](Self::ask) and is answered into the connection's mailbox; what REST and the
/// administration ask are async methods. All refuse with a [`Code`].
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) ports: Ports,
    pub(crate) config: EngineConfig,
    pub(crate) connections: Arc<Connections>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) events: Emitter,
    pub(crate) lane: Lane,
    pub(crate) reader: Reader,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) presence: Presence,
    /// Held while a block that began or ended is noted, one at a time.
    pub(crate) noting_blocks: tokio::sync::Mutex<()>,
    pub(crate) signals: Signals,
    pub(crate) receipts: Arc<Teller>,
    /// Rises with every change of what users let others hear.
    pub(crate) settings_changes: AtomicU64,
    /// Held while such a change is stored and told, so that connections hear of two in the order of their commits.
    pub(crate) changing_settings: tokio::sync::Mutex<()>,
    pub(crate) sign_ins: SignIns,
    pub(crate) link_waiters: Arc<LinkWaiters>,
    pub(crate) trace: Arc<Trace>,
    pub(crate) questions: Questions,
    /// Held while an operator's question about a message is answered.
    pub(crate) explaining: tokio::sync::Mutex<()>,
    pub(crate) teardowns: Arc<Teardowns>,
    pub(crate) bootstraps: Bootstraps,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl Engine {
    /// Starts the engine's tasks.
    pub fn start(ports: Ports, config: EngineConfig) -> Self {
        let tasks = TaskTracker::new();
        let stopping = CancellationToken::new();
        let events = Emitter::new(ports.events.clone());
        let trace = Arc::new(Trace::new(config.trace_records));
        let publisher =
            Arc::new(Publisher::new(Arc::clone(&ports.broker), events.clone(), Arc::clone(&trace), &config));
        let lane = Lane::start(&ports, Arc::clone(&publisher), &config, &tasks);
        let reader = Reader::start(&ports, &publisher, &tasks);
        let cursors = Cursors::start(Arc::clone(&ports.directory), config.cursors_period, &tasks, &stopping);
        let receipts = Teller::start(Arc::clone(&ports.broker), &config, &tasks, &stopping);
        crate::heads::start(&ports, &publisher, config.heads_period, &tasks, &stopping);
        let (connections, sign_ins) = (Arc::new(Connections::default()), SignIns::default());
        let teardowns = Teardowns::start(&ports, &connections, &config, &tasks, &stopping);
        let engine = Self(Arc::new(Inner {
            ports,
            config,
            connections,
            publisher,
            events,
            lane,
            reader,
            cursors,
            presence: Presence::default(),
            noting_blocks: tokio::sync::Mutex::default(),
            signals: Signals::default(),
            receipts,
            settings_changes: AtomicU64::new(0),
            changing_settings: tokio::sync::Mutex::default(),
            sign_ins,
            link_waiters: Arc::default(),
            trace,
            questions: Questions::default(),
            explaining: tokio::sync::Mutex::default(),
            teardowns,
            bootstraps: Bootstraps::default(),
            tasks,
            stopping,
        }));
        engine.start_bootstraps();
        engine
    }

    /// Stops in order: lets nobody in, closes all connections with `shutting_down`, waits until they are gone, finishes
    /// what was asked, and stores what is batched.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.connections.close_all(Code::ShuttingDown);
        self.0.connections.wait_until_empty().await;
        self.0.lane.close();
        self.0.reader.close();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.cursors.flush().await;
        self.0.cursors.seen.flush().await;
    }

    /// The store's identity.
    pub fn epoch(&self) -> Epoch {
        self.0.ports.log.epoch()
    }

    /// Takes what a connection's session asks. The answer comes into its mailbox.
    pub fn ask(&self, connection: &Arc<Connection>, ask: Ask) {
        match ask {
            // Whoever waits for the answer still gets it, or its end.
            Ask::Described { question, topic } => self.0.questions.answered(question, topic),
            _ if connection.mailbox.is_barred() => {}
            Ask::Append { reference, target, client_msg_id, kind, body } => {
                let reply = Reply::Connection { connection: Arc::clone(connection), reference };
                let (user, device) = (connection.user.clone(), connection.device);
                let append = append_to(user, device, target, client_msg_id, kind, body);
                self.0.lane.send(append.waiting(reply));
            }
            Ask::Read { conversation, from, count, head } => {
                self.0.trace.note_of(connection, StageName::Behind, conversation, from);
                self.read(connection, conversation, from, count, head);
            }
            // Not from a connection that is over: the next one of the device may have shown less meanwhile.
            Ask::Acked { .. } if connection.mailbox.is_closed() => {}
            Ask::Acked { conversation, seq } => {
                self.0.trace.note_of(connection, StageName::Acknowledged, conversation, seq);
                self.0.cursors.note(connection.device, conversation, seq);
                let place = Place { delivered: Some(seq), read: None };
                self.0.receipts.note_of(connection, conversation, place);
            }
            Ask::Resume { shown, verify } => self.spawn(connection, |engine, connection| async move {
                engine.resume(connection, shown, verify).await;
            }),
            Ask::Follow(after) => self.spawn(connection, move |engine, connection| async move {
                engine.follow(connection, after).await;
            }),
            Ask::AdvanceOffset { reference, conversation, seq } => {
                self.spawn(connection, move |engine, connection| async move {
                    engine.advance_offset(connection, reference, conversation, seq).await;
                });
            }
            Ask::Signal { conversation, body } => self.spawn(connection, move |engine, connection| async move {
                engine.signal(connection, conversation, body).await;
            }),
            Ask::Watch { reference, users } => {
                let turn = connection.watching.next_turn();
                self.spawn(connection, move |engine, connection| async move {
                    engine.watch(connection, reference, turn, users).await;
                });
            }
            Ask::ChangeState { reference, conversation, change } => {
                self.spawn(connection, move |engine, connection| async move {
                    let refusal = engine.change_state(&connection.user, conversation, change).await.err();
                    let _gone = connection.mailbox.answer(Notice::ReadDone { reference, refusal });
                });
            }
            Ask::Unread { reference, conversations } => {
                self.spawn(connection, move |engine, connection| async move {
                    let outcome = Box::new(engine.unread(&connection.user, conversations).await);
                    let _gone = connection.mailbox.answer(Notice::Unread { reference, outcome });
                });
            }
            Ask::Bootstrap(frame) => self.bootstrap(connection, *frame),
            Ask::Recheck { conversations, offsets_version } => {
                self.spawn(connection, move |engine, connection| async move {
                    engine.recheck(connection, conversations, offsets_version).await;
                });
            }
        }
    }

    /// Sends a message of a device for REST. Returns once it is on disk (I1).
    pub async fn send(
        &self,
        user: UserId,
        device: DeviceId,
        target: Target,
        client_msg_id: ClientMsgId,
        body: Body,
    ) -> SendOutcome {
        self.send_as(user, device, target, client_msg_id, Kind::Message, body).await
    }

    /// Sends an entry of any kind that devices may send. Returns once it is on disk (I1).
    pub async fn send_as(
        &self,
        user: UserId,
        device: DeviceId,
        target: Target,
        client_msg_id: ClientMsgId,
        kind: Kind,
        body: Body,
    ) -> SendOutcome {
        let (sender, outcome) = oneshot::channel();
        let addressed = append_to(user, device, target, client_msg_id, kind, body);
        self.0.lane.send(addressed.waiting(Reply::Request(sender)));
        answered(outcome).await
    }

    /// Runs a command and all that has to follow its commit, even if the caller gives up on the way: a client that breaks
    /// off its request must not keep a connection alive whose tokens the commit has ended.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        command: impl Future<Output = Result<T, Code>> + Send + 'static,
    ) -> Result<T, Code> {
        self.0.tasks.spawn(command).await.unwrap_or_else(|broken| {
            tracing::error!(%broken, "a command broke off");
            Err(Code::Internal)
        })
    }

    /// Runs one question of a connection. Questions are bounded by the session that asks them.
    fn spawn<F, T>(&self, connection: &Arc<Connection>, work: F)
    where
        F: FnOnce(Self, Arc<Connection>) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        self.0.tasks.spawn(work(self.clone(), Arc::clone(connection)));
    }
}

/// What a device sends, and the user that it is for if it names one.
struct Addressed {
    append: Append,
    peer: Option<UserId>,
}

impl Addressed {
    fn waiting(self, reply: Reply) -> Waiting {
        Waiting { append: self.append, peer: self.peer, reply }
    }
}

fn append_to(
    user: UserId,
    device: DeviceId,
    target: Target,
    client_msg_id: ClientMsgId,
    kind: Kind,
    body: Body,
) -> Addressed {
    let (conversation, peer) = match target {
        Target::Conversation(conversation) => (conversation, None),
        Target::User(peer) => (ConversationId::direct(&user, &peer), Some(peer)),
    };
    Addressed { append: append(Author::Device { user, device }, conversation, client_msg_id, kind, body), peer }
}

/// An entry as the store takes it.
pub(crate) fn append(
    author: Author,
    conversation: ConversationId,
    client_msg_id: ClientMsgId,
    kind: Kind,
    body: Body,
) -> Append {
    let (id, sent_at) = (EntryId::generate(), UnixMs::now());
    Append { conversation, author, client_msg_id, kind, body, id, sent_at }
}

/// A store's failure as a code: what could not be stored may be sent again, what could not be read ends a connection.
pub(crate) fn store_failed(error: &StoreError) -> Code {
    tracing::error!(error = %error, cause = std::error::Error::source(error), "the store failed");
    Code::TryAgain
}
