//! One device of the demo: the SDK, and a record of everything it handed out.

use anyhow::{Context, Result, bail};
use lockstep_client::{Client, ClientConfig, Conversations, Event, Events, FixedToken, MemoryStore, Sent};
use lockstep_protocol::{Body, ClientMsgId, ConversationId, Entry, Offset, Seq, Target};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a device may take to get what it is waiting for: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(15);

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
struct Seen {
    entries: Vec<Entry>,
    /// How often the device was let in.
    connects: usize,
    caught_up: usize,
    /// What the user has read, as other devices of the user were told.
    offsets: Vec<Offset>,
    stopped: Option<String>,
}

impl Device {
    /// A device that has never been connected.
    pub(super) fn new(name: &'static str, server: SocketAddr, token: String) -> Self {
        let token = Arc::new(FixedToken::new(token));
        let rest = Conversations::new(format!("http://{server}"), token.clone());
        let config = ClientConfig::new(format!("ws://{server}/v1/ws"), token, Arc::new(MemoryStore::new()));
        Self { name, config, rest, seen: Arc::default(), running: None }
    }

    /// Connects, and waits until everything that was missed is there.
    pub(super) async fn come(&mut self) -> Result<()> {
        let before = self.seen.borrow().caught_up;
        self.seen.send_modify(|seen| seen.stopped = None);
        let (client, events) = Client::start(self.config.clone());
        self.running = Some((client, tokio::spawn(record(events, self.seen.clone()))));
        self.wait("caught up", |seen| seen.caught_up > before).await
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

    /// How often the server has let it in.
    pub(super) fn connects(&self) -> usize {
        self.seen.borrow().connects
    }

    /// What it got of a conversation, in the order in which it came.
    pub(super) fn entries(&self, conversation: ConversationId) -> Vec<Entry> {
        self.seen.borrow().entries.iter().filter(|entry| entry.conversation == conversation).cloned().collect()
    }

    async fn wait(&self, what: &str, condition: impl Fn(&Seen) -> bool) -> Result<()> {
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
            Event::Connected { .. } => seen.connects += 1,
            Event::CaughtUp => seen.caught_up += 1,
            Event::Entry(entry) => seen.entries.push(entry),
            Event::Offsets(offsets) => seen.offsets.extend(offsets),
            Event::Stopped(reason) => seen.stopped = Some(reason.to_string()),
            _ => {}
        });
    }
}
