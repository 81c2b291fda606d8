//! What the machine is started with, and what it wants done.

use super::HistoryQuery;
use crate::{AskError, Change, Event, RenewError, SendError, Sent, TokenReason};
use lockstep_protocol::{ClientFrame, ClientMsgId, Ref, Unread};
use std::time::Duration;

/// The machine's bounds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Most messages without an answer.
    pub outbox_max: usize,
    /// How long a connection may take from the first packet to `welcome`.
    pub connect_timeout: Duration,
    /// With how many entries of each conversation the device is filled, without being asked to, if it is unfilled.
    pub fill_entries: Option<u32>,
    /// Whether it gives its history to other devices of its user. Only a main device may.
    pub gives_history: bool,
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Get a token and open a connection. Answer with [`super::Machine::handle_connected`] or
    /// [`super::Machine::handle_not_connected`].
    Connect(TokenReason),
    /// Write a frame.
    Write(ClientFrame),
    /// Close the connection, or give up opening it. Not answered.
    Close,
    /// Make these changes. Answer with [`super::Machine::handle_stored`] or [`super::Machine::handle_store_failed`].
    Store(Vec<Change>),
    /// Read what can be given to others. Answer with what the query names.
    ReadHistory(HistoryQuery),
    /// Tell the application.
    Event(Event),
    /// This message is in the outbox: from here on it will be sent.
    Saved(ClientMsgId),
    /// This message has its answer.
    Answer {
        /// The message.
        client_msg_id: ClientMsgId,
        /// What became of it.
        outcome: Result<Sent, SendError>,
    },
    /// A fresh token was taken, or not.
    Renewed {
        /// What [`super::Machine::handle_renew`] gave.
        reference: Ref,
        /// What became of it.
        outcome: Result<(), RenewError>,
    },
    /// A question has its answer.
    Told {
        /// What [`super::Machine::handle_question`] gave.
        reference: Ref,
        /// The counts that were asked for; none if a change was asked for.
        outcome: Result<Vec<Unread>, AskError>,
    },
}

/// Why no connection came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// No token now.
    TokenUnavailable(String),
    /// No token any more.
    TokenDenied(String),
    /// The server was not reached, or did not speak the protocol.
    Unreachable(String),
}
