//! Producers: one connection per nsqd, on which commands are sent without waiting for answers, which come in order.
//!
//! What is accepted is bounded in number and bytes; beyond that publishing is refused at once, as it is without a
//! connection. Nothing waits for a connection to come back: whoever publishes knows best what to do instead.

mod error;
mod failover;
mod publishing;
mod session;
mod settings;
mod shared;
mod task;

pub use error::{Fate, Invalid, PublishError};
pub use failover::Failover;
pub use publishing::Publishing;
pub use settings::ProducerSettings;

use crate::codec::{Identify, MAGIC, command};
use crate::{Address, SettingsError, TopicName};
use shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use task::Task;

/// Publishes to one nsqd. Clones are the same; when the last is dropped the connection closes.
///
/// nsqd's answer says that it has the message, in memory: it is lost if nsqd is killed.
#[derive(Clone)]
pub struct Producer {
    owner: Arc<Owner>,
}

/// Stops the task when the last handle goes.
struct Owner {
    shared: Arc<Shared>,
    address: Address,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Producer {
    /// A new producer, with its task on the current tokio runtime. It begins to connect; see [`Self::connected`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open(address: Address, settings: ProducerSettings) -> Result<Self, SettingsError> {
        let (producer, task) = Self::prepare(address, settings)?;
        // It ends with the producer: `close` waits for that, and dropping the last handle asks for it.
        drop(tokio::spawn(task));
        Ok(producer)
    }

    /// A new producer, and its task for whoever keeps account of tasks himself.
    pub fn prepare(
        address: Address,
        settings: ProducerSettings,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), SettingsError> {
        settings.check()?;
        let shared = Arc::new(Shared::new(settings.clone()));
        let task = Task::new(address.clone(), settings, shared.clone());
        Ok((Self { owner: Arc::new(Owner { shared, address }) }, task.run()))
    }

    /// The nsqd.
    pub fn address(&self) -> &Address {
        &self.owner.address
    }

    /// Publishes one message and waits for the answer, for [`ProducerSettings::timeout`] at most.
    pub async fn publish(&self, topic: &TopicName, body: &[u8]) -> Result<(), PublishError> {
        self.try_publish(topic, body)?.await
    }

    /// Publishes many messages, all or none, and waits for the answer.
    pub async fn publish_many<B: AsRef<[u8]>>(&self, topic: &TopicName, bodies: &[B]) -> Result<(), PublishError> {
        self.try_publish_many(topic, bodies)?.await
    }

    /// Publishes one message that is delivered after the delay, and waits for the answer. nsqd takes delays up to its
    /// `--max-req-timeout` (1 hour by default) and **ends the connection** for a longer one.
    pub async fn publish_deferred(&self, topic: &TopicName, delay: Duration, body: &[u8]) -> Result<(), PublishError> {
        self.check_body(body)?;
        let publish = |out: &mut Vec<u8>| command::publish_deferred(out, topic, delay, body);
        self.owner.shared.accept(publish)?.await
    }

    /// Takes one message for publishing, or refuses it at once. What is returned waits for the answer; whether anybody
    /// waits makes no difference to the message.
    pub fn try_publish(&self, topic: &TopicName, body: &[u8]) -> Result<Publishing, PublishError> {
        self.check_body(body)?;
        self.owner.shared.accept(|out| command::publish(out, topic, body))
    }

    /// Takes many messages for publishing, all or none, or refuses them at once.
    pub fn try_publish_many<B: AsRef<[u8]>>(
        &self,
        topic: &TopicName,
        bodies: &[B],
    ) -> Result<Publishing, PublishError> {
        let mut bytes = 4;
        for body in bodies {
            self.check_body(body.as_ref())?;
            bytes += 4 + body.as_ref().len();
        }
        let max = self.owner.shared.settings().request_bytes_max;
        if bodies.is_empty() {
            return Err(PublishError::Invalid(Invalid::Nothing));
        }
        if bytes > max {
            return Err(PublishError::Invalid(Invalid::TooLarge { bytes, max }));
        }
        self.owner.shared.accept(|out| command::publish_many(out, topic, bodies))
    }

    /// nsqd ends the connection for an empty or too large body, which would cost the other messages theirs.
    fn check_body(&self, body: &[u8]) -> Result<(), PublishError> {
        let max = self.owner.shared.settings().body_bytes_max;
        match body.len() {
            0 => Err(PublishError::Invalid(Invalid::Empty)),
            bytes if bytes > max => Err(PublishError::Invalid(Invalid::TooLarge { bytes, max })),
            _ => Ok(()),
        }
    }

    /// Whether there is a connection at this moment.
    pub fn is_connected(&self) -> bool {
        self.owner.shared.is_connected()
    }

    /// Waits until there is a connection; false if there will be none. Bound it with a timeout.
    pub async fn connected(&self) -> bool {
        self.owner.shared.connected().await
    }

    /// Takes no more messages, waits for the answers to those that were taken, and closes. It takes as long as
    /// [`ProducerSettings::timeout`] at most.
    pub async fn close(&self) {
        self.owner.shared.stop();
        self.owner.shared.ended().await;
    }
}

fn greeting(settings: &ProducerSettings) -> Vec<u8> {
    let connect = &settings.connect;
    let mut greeting = MAGIC.to_vec();
    let identify = Identify {
        client_id: connect.client_id.clone(),
        hostname: connect.hostname.clone(),
        user_agent: connect.user_agent.clone(),
        feature_negotiation: true,
        heartbeat_interval: u64::try_from(connect.heartbeat_interval.as_millis()).unwrap_or(u64::MAX),
        output_buffer_size: 0,
        output_buffer_timeout: 0,
        msg_timeout: 0,
    };
    command::identify(&mut greeting, &identify);
    greeting
}
