//! What a client is started with.

use crate::{HistorySource, LocalStore, TokenSource};
use lockstep_protocol::limits;
use std::sync::Arc;
use std::time::Duration;

/// What a client is started with.
#[derive(Clone)]
pub struct ClientConfig {
    /// The server's door, such as `ws://127.0.0.1:8080/v1/ws`.
    pub url: String,
    /// Where tokens come from.
    pub tokens: Arc<dyn TokenSource>,
    /// Where the device keeps what it has.
    pub store: Arc<dyn LocalStore>,
    /// Most messages that wait for their answer; one more is refused with `SendError::OutboxFull`.
    pub outbox_max: usize,
    /// Events that may wait to be taken. Above it the client stops reading the connection; if that lasts, the server
    /// closes it, and the client connects again once the events are taken.
    pub events_max: usize,
    /// How long the way to `welcome` may take, from the first packet on.
    pub connect_timeout: Duration,
    /// With how many of the latest entries of each conversation the device is filled if the server says that it is unfilled:
    /// 1 to 1,000. `None` leaves it to the application to ask, with [`crate::Client::bootstrap`].
    pub fill_entries: Option<u32>,
    /// From where the device gives its history to others of its user that are filled, such as its own store. Only a main
    /// device may give, and one that keeps its history should.
    pub gives_history: Option<Arc<dyn HistorySource>>,
}

impl ClientConfig {
    /// A configuration with the usual bounds: 1,000 messages, 1,024 events, 10 s. It is filled with 100 entries of each
    /// conversation, and gives nothing.
    pub fn new(url: impl Into<String>, tokens: Arc<dyn TokenSource>, store: Arc<dyn LocalStore>) -> Self {
        Self {
            url: url.into(),
            tokens,
            store,
            outbox_max: 1_000,
            events_max: 1_024,
            connect_timeout: Duration::from_secs(10),
            fill_entries: Some(limits::BOOTSTRAP_ENTRIES_DEFAULT),
            gives_history: None,
        }
    }
}
