//! A device under test: the SDK, whose every step is written down.

use crate::{History, Mark, Record};
use anyhow::{Context, Result, bail};
use lockstep_client::{Client, ClientConfig, Event, Events, FixedToken, MemoryStore, Pending, SendError, Sent};
use lockstep_protocol::{Body, ClientMsgId, ConversationId, Seq, Target};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A device that keeps its store over all its connections, as on a disk.
pub struct Device {
    name: String,
    token: String,
    store: Arc<MemoryStore>,
    record: Record,
    /// The client of the moment, for senders. None before the first.
    current: watch::Sender<Option<Client>>,
    recording: Option<JoinHandle<()>>,
}

impl Device {
    /// A device that has never been connected.
    pub fn new(name: &str, token: String, record: Record) -> Self {
        let store = Arc::new(MemoryStore::new());
        Self { name: name.to_owned(), token, store, record, current: watch::Sender::new(None), recording: None }
    }

    /// Its name in the history.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the SDK against the door at `url`, such as `ws://127.0.0.1:8080/v1/ws`. A device that runs has to be
    /// [stopped](Self::stop) first: a store serves one client at a time.
    pub fn start(&mut self, url: &str) {
        let config = ClientConfig::new(url, Arc::new(FixedToken::new(self.token.clone())), self.store.clone());
        self.record.write(|history| history.started(&self.name));
        let (client, events) = Client::start(config);
        self.recording = Some(tokio::spawn(write_down(events, self.name.clone(), self.record.clone())));
        self.current.send_replace(Some(client));
    }

    /// Stops the SDK and writes down what it still hands out. Messages without an answer stay in the store.
    ///
    /// # Errors
    ///
    /// If the record broke off.
    pub async fn stop(&mut self) -> Result<()> {
        let client = self.current.borrow().clone();
        if let Some(client) = client {
            client.stop().await;
        }
        match self.recording.take() {
            Some(recording) => recording.await.with_context(|| format!("the record of {} broke off", self.name)),
            None => Ok(()),
        }
    }

    /// A handle that sends for this device, whichever client it has at the moment.
    pub fn sender(&self) -> Sender {
        Sender { name: self.name.clone(), record: self.record.clone(), current: self.current.subscribe() }
    }
}

/// Sends for a device.
#[derive(Clone)]
pub struct Sender {
    name: String,
    record: Record,
    current: watch::Receiver<Option<Client>>,
}

impl Sender {
    /// Sends a text and waits for the answer. If the client is stopped meanwhile the outcome is unknown: the next one
    /// may send it, and its answer is written down then.
    ///
    /// # Errors
    ///
    /// If the device refuses the message or the server does: neither happens to a device that behaves.
    pub async fn send(&mut self, conversation: ConversationId, text: &str) -> Result<()> {
        match self.try_send(conversation, text).await? {
            Outcome::Refused(code) => bail!("{} cannot send: {code}", self.name),
            Outcome::Sent(_) | Outcome::Unknown => Ok(()),
        }
    }

    /// As [`send`](Self::send), where the server may refuse: the user is perhaps no member any more.
    ///
    /// # Errors
    ///
    /// If the device refuses the message.
    pub async fn try_send(&mut self, conversation: ConversationId, text: &str) -> Result<Outcome> {
        let client = self.client().await?;
        let id = ClientMsgId::random();
        self.record.write(|history| history.sent(&self.name, conversation, &id));
        let taken = client.enqueue_as(id, Target::Conversation(conversation), Body::text(text)).await;
        self.outcome(conversation, taken).await
    }

    /// Edits a message of the user.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub async fn edit(&mut self, conversation: ConversationId, message: Seq, text: &str) -> Result<Outcome> {
        let taken = self.client().await?.edit(conversation, message, &Body::text(text)).await;
        self.outcome(conversation, taken).await
    }

    /// The latest messages of a conversation that any device got, at most so many.
    pub fn latest_messages(&self, conversation: ConversationId, count: usize) -> Vec<Seq> {
        self.record.read(|history| history.latest_messages(conversation).take(count).collect())
    }

    /// Reacts to a message, or takes that back.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub async fn react(&mut self, conversation: ConversationId, target: Seq, key: &str, on: bool) -> Result<Outcome> {
        let taken = self.client().await?.react(conversation, target, key, on).await;
        let outcome = self.outcome(conversation, taken).await?;
        if let Outcome::Sent(sent) = &outcome {
            let user = self.name.split('/').next().unwrap_or_default().to_owned();
            let mark = Mark::Reaction { target, key: key.to_owned(), on, user };
            self.record.write(|history| history.reacted(conversation, sent.seq, mark));
        }
        Ok(outcome)
    }

    /// Recalls a message of the user.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub async fn recall(&mut self, conversation: ConversationId, message: Seq) -> Result<Outcome> {
        let taken = self.client().await?.recall(conversation, message).await;
        let outcome = self.outcome(conversation, taken).await?;
        if matches!(outcome, Outcome::Sent(_)) {
            self.record.write(|history| history.recalled(conversation, message));
        }
        Ok(outcome)
    }

    /// The client of the moment.
    async fn client(&mut self) -> Result<Client> {
        let running = self.current.wait_for(Option::is_some).await;
        let client = running.with_context(|| format!("{} is gone", self.name))?.clone();
        client.context("the device has a client")
    }

    /// Waits for the answer to what the device took.
    async fn outcome(&mut self, conversation: ConversationId, taken: Result<Pending, SendError>) -> Result<Outcome> {
        let (id, answer) = match taken {
            Ok(pending) => {
                let id = pending.client_msg_id().clone();
                self.record.write(|history| history.sent(&self.name, conversation, &id));
                (Some(id), pending.answer().await)
            }
            Err(error) => (None, Err(error)),
        };
        match (id, answer) {
            (_, Ok(sent)) => {
                self.record.write(|history| answered(history, &self.name, &sent));
                Ok(Outcome::Sent(sent))
            }
            (Some(id), Err(SendError::Refused { code, .. })) => {
                self.record.write(|history| history.refused(&id));
                Ok(Outcome::Refused(code))
            }
            (_, Err(SendError::Stopped)) => {
                // The device is about to get another client.
                self.current.changed().await.with_context(|| format!("{} is gone", self.name))?;
                Ok(Outcome::Unknown)
            }
            (_, Err(error)) => Err(error).with_context(|| format!("{} cannot send", self.name)),
        }
    }
}

/// What became of something that was sent.
#[derive(Debug)]
pub enum Outcome {
    /// It is on the server's disk.
    Sent(Sent),
    /// The server will never take it, and said so with this code.
    Refused(String),
    /// The client was stopped before there was an answer.
    Unknown,
}

/// Writes an answer down. An edit or recall may be answered to the next client before the one that took it said its name.
fn answered(history: &mut History, device: &str, sent: &Sent) {
    history.sent(device, sent.conversation, &sent.client_msg_id);
    history.acknowledged(device, &sent.client_msg_id, sent.seq, sent.id);
}

async fn write_down(mut events: Events, name: String, record: Record) {
    while let Some(event) = events.next().await {
        record.write(|history| match event {
            Event::Entry(entry) => history.delivered(&name, &entry),
            Event::Skip { conversation, from, to, .. } => history.skipped(&name, conversation, from, to),
            Event::Answered { outcome: Ok(sent), .. } => answered(history, &name, &sent),
            Event::Answered { client_msg_id, outcome: Err(SendError::Refused { .. }) } => {
                history.refused(&client_msg_id)
            }
            _ => {}
        });
    }
}
