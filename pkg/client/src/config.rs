//! What a client is started with.

use crate::{LocalStore, TokenSource};
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
}

impl ClientConfig {
    /// A configuration with the usual bounds: 1,000 messages, 1,024 events, 10 s.
    pub fn new(url: impl Into<String>, tokens: Arc<dyn TokenSource>, store: Arc<dyn LocalStore>) -> Self {
        Self {
            url: url.into(),
            tokens,
            store,
            outbox_max: 1_000,
            events_max: 1_024,
            connect_timeout: Duration::from_secs(10),
        }
    }
}
