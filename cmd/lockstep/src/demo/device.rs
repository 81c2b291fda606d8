//! One device of the demo: the SDK, and a record of everything it handed out.

use anyhow::{Context, Result, bail};
use lockstep_client::{
    Client, ClientConfig, Conversations, DisconnectReason, Event, Events, Filling, FixedToken, LocalStore, MemoryStore,
    Sent, StopReason, TokenSource,
};
use lockstep_protocol::{Body, ClientMsgId, ConversationId, DeviceId, Entry, Offset, Seq, Target};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a device may take to get what it is waiting for: far longer than it ever should.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// A device. What it has got stays when it leaves and comes back, as on a disk.
pub(super) struct Device {
    pub(super) name: &'static str,
    config: ClientConfig,
    /// What it asks beside its connection.
    pub(super) rest: Conversations,
    seen: Arc<watch::Sender<Seen>>,
    running: Option<(Client, JoinHandle<()>)>,
}

/// What the SDK has handed out, over all connections.
#[derive(Default)]
pub(super) struct Seen {
    /// The device's id, once it was let in.
    id: Option<DeviceId>,
    pub(super) entries: Vec<Entry>,
    /// How often the device was let in.
    connects: usize,
    caught_up: usize,
    /// What the user has read, as other devices of the user were told.
    offsets: Vec<Offset>,
    /// Which other devices of the user are there, as far as it was told.
    online: HashMap<DeviceId, bool>,
    /// What came about filling, this device or another from it.
    pub(super) fillings: Vec<Filling>,
    /// The server's word when it closed a connection last, and when the device comes again.
    pub(super) turned_away: Option<(String, Duration)>,
    pub(super) stopped: Option<StopReason>,
}

impl Device {
    /// A device that has never been connected. A main one gives its history to those that are filled.
    pub(super) fn new(name: &'static str, server: SocketAddr, token: String, is_main: bool) -> Self {
        let store = Arc::new(MemoryStore::new());
        let mut device = Self::on_store(name, server, token, store.clone());
        if is_main {
            device.config.gives_history = Some(store);
        }
        device
    }

    /// A device that has never been connected, and keeps what it gets in this store.
    pub(super) fn on_store(name: &'static str, server: SocketAddr, token: String, store: Arc<dyn LocalStore>) -> Self {
        let token = Arc::new(FixedToken::new(token));
        let rest = Conversations::new(format!("http://{server}"), token.clone());
        let config = ClientConfig::new(format!("ws://{server}/v1/ws"), token, store);
        Self { name, config, rest, seen: Arc::default(), running: None }
    }

    /// Connects, and waits until everything that was missed is there.
    pub(super) async fn come(&mut self) -> Result<()> {
        let before = self.seen.borrow().caught_up;
        self.set_out();
        self.wait("caught up", |seen| seen.caught_up > before).await
    }

    /// Begins to connect.
    pub(super) fn set_out(&mut self) {
        self.seen.send_modify(|seen| seen.stopped = None);
        let (client, events) = Client::start(self.config.clone());
        self.running = Some((client, tokio::spawn(record(events, self.seen.clone()))));
    }

    /// Goes away, as if switched off.
    pub(super) async fn leave(&mut self) -> Result<()> {
        if let Some((client, recording)) = self.running.take() {
            client.stop().await;
            recording.await.context("the device's record broke off")?;
        }
        Ok(())
    }

    /// Sends a text and waits until the server has it on disk.
    pub(super) async fn send(&self, target: Target, text: &str) -> Result<Sent> {
        self.send_as(ClientMsgId::random(), target, text).await
    }

    /// Sends a text under a name of its own.
    pub(super) async fn send_as(&self, id: ClientMsgId, target: Target, text: &str) -> Result<Sent> {
        let client = self.client()?;
        let sending = client.send_as(id, target, Body::text(text));
        let sent = tokio::time::timeout(PATIENCE, sending).await;
        let sent = sent.with_context(|| format!("{}: no answer to {text:?}", self.name))?;
        sent.with_context(|| format!("{}: {text:?} was not sent", self.name))
    }

    /// A handle with which another task can send.
    pub(super) fn client(&self) -> Result<Client> {
        let (client, _) = self.running.as_ref().with_context(|| format!("{} is not there", self.name))?;
        Ok(client.clone())
    }

    /// Waits until an entry has come.
    pub(super) async fn wait_for(&self, conversation: ConversationId, seq: Seq) -> Result<()> {
        let what = format!("got entry {seq}");
        self.wait(&what, |seen| seen.entries.iter().rev().any(|one| one.conversation == conversation && one.seq >= seq))
            .await
    }

    /// Waits until it has heard that its user has read up to here.
    pub(super) async fn wait_for_read(&self, conversation: ConversationId, seq: Seq) -> Result<()> {
        let what = format!("heard that {seq} is read");
        self.wait(&what, |seen| seen.offsets.contains(&Offset { conversation, seq })).await
    }

    /// Waits until it has heard that its user has pinned a conversation.
    pub(super) async fn wait_for_pin(&self, conversation: ConversationId) -> Result<()> {
        let tells = |entry: &Entry| {
            let body: serde_json::Value = serde_json::from_str(entry.body.as_json()).unwrap_or_default();
            body["type"] == "member_state" && body["conversation"] == conversation.to_string() && body["pinned"] == true
        };
        self.wait("heard of the pin", |seen| seen.entries.iter().rev().any(tells)).await
    }

    /// Waits until its user's feed has told this of a device, such as `device_linked`.
    pub(super) async fn wait_for_news(&self, news: &str, of: DeviceId) -> Result<()> {
        let tells = |entry: &Entry| {
            let body: serde_json::Value = serde_json::from_str(entry.body.as_json()).unwrap_or_default();
            body["type"] == news && body["device"] == of.to_string()
        };
        self.wait(&format!("heard {news}"), |seen| seen.entries.iter().rev().any(tells)).await
    }

    /// Waits until it has heard that another device of its user has gone.
    pub(super) async fn wait_for_parting(&self, of: &Self) -> Result<()> {
        let id = of.id()?;
        self.wait(&format!("heard that {} has gone", of.name), |seen| seen.online.get(&id) == Some(&false)).await
    }

    /// Waits until the server has closed its connection with this code, for good.
    pub(super) async fn wait_for_stop(&self, code: &str) -> Result<()> {
        let is_it = |seen: &Seen| match &seen.stopped {
            Some(StopReason::Refused { code: Some(found), .. }) => found.name() == code,
            _ => false,
        };
        self.wait(&format!("stopped with {code}"), is_it).await
    }

    /// Its id.
    pub(super) fn id(&self) -> Result<DeviceId> {
        self.seen.borrow().id.with_context(|| format!("{} was never let in", self.name))
    }

    /// What it opens with.
    pub(super) fn tokens(&self) -> Arc<dyn TokenSource> {
        self.config.tokens.clone()
    }

    /// What it was given or told so far that a reader looks for.
    pub(super) fn find<T>(&self, found: impl FnOnce(&Seen) -> T) -> T {
        found(&self.seen.borrow())
    }

    /// How often the server has let it in.
    pub(super) fn connects(&self) -> usize {
        self.seen.borrow().connects
    }

    /// What it got of a conversation, in the order in which it came.
    pub(super) fn entries(&self, conversation: ConversationId) -> Vec<Entry> {
        self.seen.borrow().entries.iter().filter(|entry| entry.conversation == conversation).cloned().collect()
    }

    /// Waits until this holds of what the SDK has handed out.
    ///
    /// # Errors
    ///
    /// If it takes too long, or the device has stopped without it.
    pub(super) async fn wait(&self, what: &str, condition: impl Fn(&Seen) -> bool) -> Result<()> {
        let mut seen = self.seen.subscribe();
        let waiting = seen.wait_for(|seen| seen.stopped.is_some() || condition(seen));
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        let found = found.with_context(|| format!("{} has not {what} in {} s", self.name, PATIENCE.as_secs()))??;
        match &found.stopped {
            Some(reason) if !condition(&found) => bail!("{} stopped: {reason}", self.name),
            _ => Ok(()),
        }
    }
}

/// Writes down what the SDK hands out, until it stops.
async fn record(mut events: Events, seen: Arc<watch::Sender<Seen>>) {
    while let Some(event) = events.next().await {
        seen.send_modify(|seen| match event {
            Event::Connected { device, .. } => {
                seen.connects += 1;
                seen.id = Some(device);
            }
            Event::CaughtUp => seen.caught_up += 1,
            Event::Entry(entry) => seen.entries.push(entry),
            Event::Offsets(offsets) => seen.offsets.extend(offsets),
            Event::Devices(devices) => seen.online.extend(devices.iter().map(|it| (it.device, it.online))),
            Event::Filling(filling) => {
                if let Filling::Entries { entries, .. } = &filling {
                    seen.entries.extend(entries.iter().cloned());
                }
                seen.fillings.push(filling);
            }
            Event::Disconnected { reason: DisconnectReason::Server { code, .. }, retry_in } => {
                seen.turned_away = Some((code, retry_in));
            }
            Event::Stopped(reason) => seen.stopped = Some(reason),
            _ => {}
        });
    }
}
