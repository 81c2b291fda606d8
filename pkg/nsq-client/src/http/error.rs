//! What goes wrong with a request.

use std::error::Error;
use std::io;

/// A request did not do what it was to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// It took longer than [`HttpSettings::timeout`](super::HttpSettings::timeout), in all.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke, or the answer is no HTTP.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The answer is larger than [`HttpSettings::answer_bytes_max`](super::HttpSettings::answer_bytes_max).
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The server refused.
    #[error("refused with status {status}: {message}")]
    Status {
        /// HTTP's number.
        status: u16,
        /// NSQ's word, such as `TOPIC_NOT_FOUND`, if it came.
        message: String,
    },
    /// The answer is not what this request is answered with.
    #[error("the answer makes no sense")]
    Answer(#[source] serde_json::Error),
}

impl HttpError {
    /// Whether the topic or channel is not there: for deleting, as good as success.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }
}
