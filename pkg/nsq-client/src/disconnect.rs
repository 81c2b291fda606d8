//! Why a connection ended.

use crate::codec::{DecodeError, ServerError};
use std::io;

/// Why a connection ended, or did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// Its owner asked for it.
    #[error("closed by its owner")]
    Stopped,
    /// No connection to the address, or no address of that name.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// A step took too long.
    #[error("no answer in time: {0}")]
    Timeout(Step),
    /// The server closed it. nsqd does so when a channel is deleted, and when it stops.
    #[error("closed by the server")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The server sent what is no frame, or too large a one.
    #[error("not the NSQ protocol")]
    Decode(#[source] DecodeError),
    /// The server sent a frame that does not belong there.
    #[error("an unexpected {what} while {step}")]
    Unexpected {
        /// What it sent.
        what: &'static str,
        /// What this side was waiting for.
        step: Step,
    },
    /// The server said why.
    #[error("refused by the server")]
    Server(#[source] ServerError),
    /// The server wants AUTH, which this client does not do.
    #[error("the server wants AUTH, which this client cannot do")]
    AuthRequired,
    /// Two heartbeats did not come.
    #[error("the server has fallen silent")]
    Silent,
    /// The server sends but does not read, and too much waits for it.
    #[error("{bytes} bytes wait that the server does not read")]
    Stalled {
        /// What waits.
        bytes: usize,
    },
}

/// What a connection was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Opening the connection.
    Connecting,
    /// Waiting for the answer to IDENTIFY.
    Identifying,
    /// Waiting for the answer to SUB.
    Subscribing,
    /// At work.
    Open,
    /// Waiting for the answer to CLS.
    Closing,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Identifying => "identifying",
            Self::Subscribing => "subscribing",
            Self::Open => "open",
            Self::Closing => "closing",
        })
    }
}
