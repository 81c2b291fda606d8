//! Publishing to one of several nsqds.

use super::{Fate, Producer, PublishError};
use crate::TopicName;

/// Tries one producer after the other, as long as it is certain that the message is not published. A thin layer: the
/// producers stay usable by themselves.
#[derive(Clone)]
pub struct Failover {
    producers: Vec<Producer>,
}

impl Failover {
    /// The producers in the order in which they are tried.
    pub fn new(producers: Vec<Producer>) -> Self {
        Self { producers }
    }

    /// The producers in the order in which they are tried.
    pub fn producers(&self) -> &[Producer] {
        &self.producers
    }

    /// Publishes one message to the first that takes it, and says which that was. What makes an end is success, an error
    /// after which the message may be published, and a message that nobody takes; otherwise the last one's error is
    /// returned.
    pub async fn publish(&self, topic: &TopicName, body: &[u8]) -> Result<&Producer, PublishError> {
        let mut last = PublishError::NotConnected;
        for producer in &self.producers {
            match producer.publish(topic, body).await {
                Ok(()) => return Ok(producer),
                Err(error) if error.fate() == Fate::Unknown => return Err(error),
                Err(error @ PublishError::Invalid(_)) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
