//! What became of a message that was not published, as far as it is known.

use crate::ServerError;

/// What is known of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// nsqd does not have it. Publishing it again, anywhere, makes no duplicate.
    NotPublished,
    /// nsqd may have it or not. Publishing it again may make a duplicate.
    Unknown,
}

/// A message was not published, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// nsqd would not take such a message, from nobody.
    #[error("not a message that nsqd takes")]
    Invalid(#[source] Invalid),
    /// Too much waits for its answer already. Nothing was sent.
    #[error("too many messages wait for their answer")]
    Full,
    /// There is no connection. Nothing was sent.
    #[error("not connected")]
    NotConnected,
    /// The producer is closed. Nothing was sent.
    #[error("the producer is closed")]
    Closed,
    /// The connection ended before the message was sent, or before nsqd came to it.
    #[error("the connection ended before the message was sent")]
    NotSent,
    /// nsqd said no.
    #[error("refused by nsqd")]
    Refused(#[source] ServerError),
    /// The connection ended between the message and its answer.
    #[error("the connection ended before the answer: the message may be published or not")]
    Lost,
    /// The answer did not come in time; it may yet, and nobody will hear it.
    #[error("no answer in time: the message may be published or not")]
    TimedOut,
}

impl PublishError {
    /// What is known of the message.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Lost | Self::TimedOut => Fate::Unknown,
            _ => Fate::NotPublished,
        }
    }
}

/// What is wrong with a message. nsqd would end the connection for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A body of no bytes.
    #[error("a body must not be empty")]
    Empty,
    /// A request of no messages.
    #[error("there are no messages in it")]
    Nothing,
    /// A body, or a request of many, is too large.
    #[error("{bytes} bytes, where {max} are taken")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
}
