//! What the owner of a consumer brings.

use super::Responder;
use crate::codec::{MessageId, ServerError};
use crate::{Disconnect, Message};
use std::time::Duration;

/// What happens with messages. The calls come from the consumer's task, one after the other, in the order of the
/// connection. They must not block, and have no business panicking: that ends the consumer.
pub trait Handler: Send + 'static {
    /// A message has arrived. Its body is lent: copy what is kept. `ticket` names it for a [`Responder`], if it is held.
    fn message(&mut self, message: Message<'_>, ticket: Ticket) -> Verdict;

    /// All messages of one read were given to [`Self::message`]: a good moment to pass on what they gave together.
    fn gathered(&mut self) {}

    /// The server has taken the subscription: from now on messages come. Called again after each reconnect, when
    /// messages may have been lost (an ephemeral channel goes with its connection) and when those that were held will
    /// come again.
    fn opened(&mut self, _responder: &Responder) {}

    /// A connection ended, or did not come about. `retry` is the wait before the next try; `None` if there is none:
    /// then this is the last call.
    fn closed(&mut self, _reason: &Disconnect, _retry: Option<Duration>) {}

    /// The server did not take an answer (`E_FIN_FAILED` and its like): the message had timed out, and comes or came
    /// again. The connection lives on.
    fn answer_refused(&mut self, _error: &ServerError) {}
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done with: FIN leaves at once, together with those of all messages that were read with it.
    Finish,
    /// It is to be delivered again, to any consumer of the channel, after the delay.
    Requeue(Duration),
    /// Its owner answers later, through a [`Responder`]. Until then it counts against RDY, and after nsqd's message
    /// timeout it is delivered again.
    Hold,
}

/// Names a delivery: a message on a connection. After a reconnect the same message has another ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(super) connection: u32,
    pub(super) id: MessageId,
}

impl Ticket {
    /// The message's id on its nsqd.
    pub fn id(&self) -> MessageId {
        self.id
    }
}
