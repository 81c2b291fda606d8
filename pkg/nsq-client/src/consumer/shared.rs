//! What a consumer's task shares with its handles.

use super::Ticket;
use crate::codec::command::{self, ANSWER_BYTES_MAX};
use parking_lot::Mutex;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Answers that wait for one consumer: as many as messages may be in flight, and as many again for touching them.
const ANSWERS_PER_RDY: usize = 2;

/// What is known at the end of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseOutcome {
    /// It was subscribed, and the server has confirmed the end.
    Orderly,
    /// It was not subscribed at that moment, and the server has no SUB of it that it has not answered.
    NotSubscribed,
    /// It was subscribed, and the connection ended without the server's confirmation.
    Severed,
    /// A SUB was written whose answer did not come. The server may read it yet, subscribe for an instant, and make the
    /// channel by that: look again before relying on its absence.
    Unknown,
}

/// An answer was not sent. The message will be delivered again after its timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The connection on which it was delivered has ended or is closing.
    #[error("the connection on which the message came is gone")]
    Gone,
    /// More answers wait than there can be messages in flight: the server does not read, or a message is touched again
    /// and again.
    #[error("too many answers wait")]
    Full,
}

/// Answers for held messages. Clones are the same consumer's.
#[derive(Clone)]
pub struct Responder {
    shared: Arc<Shared>,
}

impl Responder {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The message is done with. Answers that come together leave together.
    pub fn finish(&self, ticket: Ticket) -> Result<(), AnswerError> {
        self.shared.answer(ticket, |out| command::fin(out, &ticket.id))
    }

    /// The message is to be delivered again after the delay.
    pub fn requeue(&self, ticket: Ticket, delay: Duration) -> Result<(), AnswerError> {
        self.shared.answer(ticket, |out| command::req(out, &ticket.id, delay))
    }

    /// The message is still being worked at: its timeout begins anew.
    pub fn touch(&self, ticket: Ticket) -> Result<(), AnswerError> {
        self.shared.answer(ticket, |out| command::touch(out, &ticket.id))
    }
}

pub(super) struct Shared {
    state: Mutex<State>,
    answers_bytes_max: usize,
}

struct State {
    stopped: bool,
    open: bool,
    /// The number of the connection that is open, or was last.
    connection: u32,
    outcome: Option<CloseOutcome>,
    /// Answers that the task has not taken yet. Without capacity when there are none.
    answers: Vec<u8>,
    task: Option<Waker>,
    closer: Option<Waker>,
}

impl Shared {
    pub(super) fn new(rdy: u32) -> Self {
        let answers_bytes_max = usize::try_from(rdy).unwrap_or(0) * ANSWERS_PER_RDY * ANSWER_BYTES_MAX;
        let state = State {
            stopped: false,
            open: false,
            connection: 0,
            outcome: None,
            answers: Vec::new(),
            task: None,
            closer: None,
        };
        Self { state: Mutex::new(state), answers_bytes_max }
    }

    fn answer(&self, ticket: Ticket, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), AnswerError> {
        let mut state = self.state.lock();
        if !state.open || state.connection != ticket.connection {
            return Err(AnswerError::Gone);
        }
        if state.answers.len() + ANSWER_BYTES_MAX > self.answers_bytes_max {
            return Err(AnswerError::Full);
        }
        let first = state.answers.is_empty();
        write(&mut state.answers);
        // The task takes all answers at once: it is woken for the first.
        let task = if first { state.task.take() } else { None };
        drop(state);
        wake(task);
        Ok(())
    }

    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        let task = state.task.take();
        drop(state);
        wake(task);
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.lock().open
    }

    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<CloseOutcome> {
        let mut state = self.state.lock();
        match state.outcome {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.closer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    // What follows is for the task.

    /// Appends the answers that wait, and says whether the owner wants an end. The task is woken when either changes.
    pub(super) fn take_orders(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> bool {
        let mut state = self.state.lock();
        if !state.answers.is_empty() {
            out.extend_from_slice(&state.answers);
            state.answers = Vec::new();
        }
        if !state.task.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        state.stopped
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// A connection is open: its tickets have this number.
    pub(super) fn set_open(&self) -> u32 {
        let mut state = self.state.lock();
        state.open = true;
        state.connection = state.connection.wrapping_add(1);
        state.connection
    }

    /// No answers are taken any more until a connection is open again. Those that wait are left for
    /// [`Self::take_orders`] if the connection can still send them.
    pub(super) fn set_closed(&self, forget_answers: bool) {
        let mut state = self.state.lock();
        state.open = false;
        if forget_answers {
            state.answers = Vec::new();
        }
    }

    /// The task has ended.
    pub(super) fn end(&self, outcome: CloseOutcome) {
        let mut state = self.state.lock();
        state.open = false;
        state.answers = Vec::new();
        state.task = None;
        state.outcome.get_or_insert(outcome);
        let closer = state.closer.take();
        drop(state);
        wake(closer);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
