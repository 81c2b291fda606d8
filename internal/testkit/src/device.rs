//! A device under test: the SDK, whose every step is written down.

use crate::Record;
use anyhow::{Context, Result};
use lockstep_client::{Client, ClientConfig, Event, Events, FixedToken, MemoryStore, SendError};
use lockstep_protocol::{Body, ClientMsgId, ConversationId, Target};
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
        let running = self.current.wait_for(Option::is_some).await;
        let client = running.with_context(|| format!("{} is gone", self.name))?.clone();
        let client = client.context("the device has a client")?;
        let id = ClientMsgId::random();
        self.record.write(|history| history.sent(&self.name, conversation, &id));
        match client.send_as(id.clone(), Target::Conversation(conversation), Body::text(text)).await {
            Ok(sent) => {
                self.record.write(|history| history.acknowledged(&self.name, &id, sent.seq, sent.id));
                Ok(())
            }
            Err(SendError::Stopped) => {
                // The device is about to get another client.
                self.current.changed().await.with_context(|| format!("{} is gone", self.name))
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot send", self.name)),
        }
    }
}

async fn write_down(mut events: Events, name: String, record: Record) {
    while let Some(event) = events.next().await {
        record.write(|history| match event {
            Event::Entry(entry) => history.delivered(&name, &entry),
            Event::Skip { conversation, from, to, .. } => history.skipped(&name, conversation, from, to),
            Event::Answered { client_msg_id, outcome: Ok(sent) } => {
                history.acknowledged(&name, &client_msg_id, sent.seq, sent.id);
            }
            _ => {}
        });
    }
}
