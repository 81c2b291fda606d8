//! An engine on the embedded adapters, and devices that are driven by hand.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod device;
pub mod faulty;
pub mod register;
pub mod watched;

use futures_util::FutureExt;
use lockstep_broker_embedded::EmbeddedBroker;
use lockstep_engine::{Admission, Claim, Connection, Engine, EngineConfig, GroupDraft, Ports};
use lockstep_model::{
    Ask, Body, ClientMsgId, Code, ConversationId, ConversationKind, Device, DeviceKind, History, Notice,
    OffsetsVersion, SendOutcome, Target, UnixMs, UserId,
};
use lockstep_ports::{Broker, Directory, NewConversation, Wakeup};
use lockstep_store_sql::{SqliteOptions, SqliteStore};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

pub struct House {
    pub engine: Engine,
    pub store: SqliteStore,
    pub broker: Arc<EmbeddedBroker>,
    _folder: tempfile::TempDir,
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// Waits no longer than a broken test may take.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it did not happen in time")
}

/// Asks for something and hangs up before there can be an answer: it is polled once and dropped. What goes on by itself then
/// is the engine's.
pub fn asked_and_given_up(command: impl Future) {
    assert!(command.now_or_never().is_none(), "it was answered at once");
}

impl House {
    pub async fn new() -> Self {
        Self::with(EngineConfig::default()).await
    }

    pub async fn with(config: EngineConfig) -> Self {
        Self::made(config, |_, _| {}).await
    }

    /// An engine on ports that a test has changed.
    pub async fn made(config: EngineConfig, change: impl FnOnce(&mut Ports, &SqliteStore)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), SqliteOptions::default()).await.unwrap();
        let broker = Arc::new(EmbeddedBroker::new());
        let mut ports = Ports {
            log: Arc::new(store.clone()),
            directory: Arc::new(store.clone()),
            offsets: Arc::new(store.clone()),
            broker: Arc::clone(&broker) as Arc<dyn Broker>,
            events: None,
        };
        change(&mut ports, &store);
        Self { engine: Engine::start(ports, config), store, broker, _folder: folder }
    }

    /// A device of a user, who is made if need be.
    pub async fn device(&self, name: &str) -> Device {
        self.engine.ensure_user(user(name)).await.unwrap();
        self.engine.create_device(&user(name), "phone", DeviceKind::Main).await.unwrap()
    }

    pub async fn try_connect(&self, device: &Device) -> Result<Admission, Code> {
        let claim = claim(device);
        self.engine.connect(claim, Some(self.engine.epoch()), OffsetsVersion::ZERO, Default::default()).await
    }

    /// A live connection without conversations.
    pub async fn connect(&self, device: &Device) -> Live {
        let admission = self.try_connect(device).await.unwrap();
        Live::of(self, admission.connection)
    }

    /// A live connection whose conversations are open.
    pub async fn resume(&self, device: &Device) -> Live {
        let mut live = self.connect(device).await;
        live.ask(Ask::Resume { shown: Vec::new(), verify: false });
        live.find(|notice| matches!(notice, Notice::Resumed(_))).await;
        live
    }

    pub async fn send(&self, device: &Device, target: Target, text: &str) -> SendOutcome {
        let (user, id) = (device.user.clone(), device.id);
        self.engine.send(user, id, target, ClientMsgId::random(), Body::text(text)).await
    }

    /// A group whose log is empty and in which nobody has a role.
    /// A group whose log is empty, so that its messages have the seqs 1, 2, 3, ...
    pub async fn silent_group(&self, members: &[&Device]) -> ConversationId {
        let (id, kind) = (ConversationId::generate(), ConversationKind::Group);
        let members = members.iter().map(|device| device.user.clone()).collect();
        let group = NewConversation { id, kind, title: None, members, now: UnixMs::now() };
        self.store.create_conversation(group).await.unwrap().unwrap();
        id
    }

    pub async fn group(&self, members: &[&Device]) -> ConversationId {
        let (id, kind, now) = (ConversationId::generate(), ConversationKind::Group, UnixMs::now());
        let members = members.iter().map(|device| device.user.clone()).collect();
        let new = NewConversation { id, kind, title: None, members, now };
        self.store.create_conversation(new).await.unwrap().unwrap().value.id
    }

    /// A group or room that the first of them made, and in which newcomers see so much. Its log tells of it.
    pub async fn club(&self, kind: ConversationKind, history: History, members: &[&Device]) -> ConversationId {
        let others = members[1..].iter().map(|device| device.user.clone()).collect();
        let draft = GroupDraft { kind, history: Some(history), ..GroupDraft::group(None, others) };
        self.engine.create(&members[0].user, draft).await.unwrap().id
    }
}

pub fn claim(device: &Device) -> Claim {
    Claim { user: device.user.clone(), device: device.id, token_generation: device.token_generation }
}

/// The shell of a connection, as far as a test needs one.
pub struct Live {
    pub engine: Engine,
    pub connection: Arc<Connection>,
    waiting: VecDeque<Notice>,
}

impl Live {
    pub fn of(house: &House, connection: Arc<Connection>) -> Self {
        Self { engine: house.engine.clone(), connection, waiting: VecDeque::new() }
    }

    pub fn ask(&self, ask: Ask) {
        self.engine.ask(&self.connection, ask);
    }

    /// The next notice, or the code with which the mailbox was closed.
    pub async fn next(&mut self) -> Result<Notice, Code> {
        loop {
            if let Some(notice) = self.waiting.pop_front() {
                return Ok(notice);
            }
            let mut inbox = Vec::new();
            let wakeup = soon(poll_fn(|context| self.connection.mailbox.poll_take(context, &mut inbox))).await;
            self.waiting.extend(inbox);
            if let Wakeup::Closed(code) = wakeup {
                return Err(code);
            }
        }
    }

    /// The first notice that fits; those before it are dropped.
    pub async fn find(&mut self, fits: impl Fn(&Notice) -> bool) -> Notice {
        loop {
            let notice = self.next().await.expect("the connection was closed");
            if fits(&notice) {
                return notice;
            }
        }
    }

    pub async fn closed(&mut self) -> Code {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}
