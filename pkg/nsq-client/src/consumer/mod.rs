//! Consumers: one connection, one task, one handler each.
//!
//! [`Consumers`] holds what those of one nsqd share. [`Consumers::open`] makes a [`Consumer`], whose task connects,
//! subscribes, hands messages to its [`Handler`], answers for it, and connects anew when the connection is lost, until
//! [`Consumer::close`].

mod handler;
mod machine;
mod session;
mod settings;
mod shared;
mod task;

pub use handler::{Handler, Ticket, Verdict};
pub use settings::{ConsumerSettings, OutputBuffer};
pub use shared::{AnswerError, CloseOutcome, Responder};

use crate::codec::{Identify, MAGIC, command};
use crate::{Address, ChannelName, SettingsError, TopicName};
use shared::Shared;
use std::sync::Arc;
use task::Task;
use tokio::sync::Semaphore;

/// What the consumers of one nsqd share. Clones are the same.
#[derive(Clone)]
pub struct Consumers(Arc<Group>);

/// The inside of [`Consumers`].
struct Group {
    address: Address,
    settings: ConsumerSettings,
    /// The first bytes of each connection.
    greeting: Vec<u8>,
    /// One permit for each connection between its beginning and the answer to SUB.
    connecting: Arc<Semaphore>,
}

impl Consumers {
    /// Checks the settings. Nothing is connected yet.
    pub fn new(address: Address, settings: ConsumerSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let mut greeting = MAGIC.to_vec();
        command::identify(&mut greeting, &identify(&settings));
        let connecting = Arc::new(Semaphore::new(settings.connecting_max));
        Ok(Self(Arc::new(Group { address, settings, greeting, connecting })))
    }

    /// The nsqd.
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// The settings.
    pub fn settings(&self) -> &ConsumerSettings {
        &self.0.settings
    }

    /// A new consumer, with its task on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open<H: Handler>(&self, topic: TopicName, channel: ChannelName, handler: H) -> Consumer {
        let (consumer, task) = self.prepare(topic, channel, handler);
        // It ends with the consumer: `close` waits for that, and dropping the consumer asks for it.
        drop(tokio::spawn(task));
        consumer
    }

    /// A new consumer, and its task for whoever keeps account of tasks himself. Nothing happens until the task runs; if
    /// it is dropped, the connection breaks off.
    pub fn prepare<H: Handler>(
        &self,
        topic: TopicName,
        channel: ChannelName,
        handler: H,
    ) -> (Consumer, impl Future<Output = ()> + Send + 'static + use<H>) {
        let shared = Arc::new(Shared::new(self.0.settings.rdy));
        let task = Task::new(self.0.clone(), shared.clone(), topic, channel, handler);
        (Consumer { shared }, task.run())
    }
}

fn identify(settings: &ConsumerSettings) -> Identify {
    let connect = &settings.connect;
    let (output_buffer_size, output_buffer_timeout) = settings.output_buffer.on_the_wire();
    Identify {
        client_id: connect.client_id.clone(),
        hostname: connect.hostname.clone(),
        user_agent: connect.user_agent.clone(),
        feature_negotiation: true,
        heartbeat_interval: settings::millis(connect.heartbeat_interval),
        output_buffer_size,
        output_buffer_timeout,
        msg_timeout: settings.msg_timeout.map_or(0, settings::millis),
    }
}

/// One live subscription. Dropping it closes it, without anybody waiting for that.
pub struct Consumer {
    shared: Arc<Shared>,
}

impl Consumer {
    /// A handle that finishes held messages.
    pub fn responder(&self) -> Responder {
        Responder::new(self.shared.clone())
    }

    /// Asks it to close. It will not reconnect, and its handler gets no message once it has seen this. Answers that were
    /// given before still leave. [`Self::close`] waits for the end.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Stops it and waits until its connection is closed: CLS, the server's CLOSE_WAIT, end, each within
    /// [`ConsumerSettings::close_timeout`]. **When this has returned, no SUB of this consumer will be sent**, nor anything
    /// else, and its handler is dropped. If the call is abandoned the consumer closes all the same.
    pub async fn close(self) -> CloseOutcome {
        self.shared.stop();
        std::future::poll_fn(|cx| self.shared.poll_ended(cx)).await
    }

    /// Waits until it has ended by itself: when its settings allow no other try.
    pub async fn ended(&mut self) -> CloseOutcome {
        std::future::poll_fn(|cx| self.shared.poll_ended(cx)).await
    }

    /// Whether it is subscribed at this moment.
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
