//! What a consumer says and hears on one connection, without I/O.

use super::Group;
use super::handler::{Handler, Ticket, Verdict};
use super::shared::{Responder, Shared};
use crate::codec::{CLOSE_WAIT, Frame, HEARTBEAT, Identified, OK, ServerError, command};
use crate::{ChannelName, Disconnect, Message, Step, TopicName};
use std::sync::Arc;
use std::time::Duration;

/// Where a connection stands.
pub(super) struct Machine {
    step: Step,
    /// The number in this connection's tickets, once it is open.
    connection: u32,
    /// The largest RDY that the server takes.
    rdy_max: u32,
    /// The server has confirmed the end.
    closed: bool,
}

/// What the machine works for.
pub(super) struct Subject<'a, H> {
    pub(super) group: &'a Group,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) topic: &'a TopicName,
    pub(super) channel: &'a ChannelName,
    pub(super) handler: &'a mut H,
}

impl Machine {
    /// The connection has just been made, and the greeting is on its way.
    pub(super) fn new() -> Self {
        Self { step: Step::Identifying, connection: 0, rdy_max: u32::MAX, closed: false }
    }

    pub(super) fn step(&self) -> Step {
        self.step
    }

    /// Whether nothing more will come, in good order.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The owner wants an end: CLS, once the server knows of a subscription. May be called again and again.
    pub(super) fn stop<H>(&mut self, subject: &Subject<'_, H>, out: &mut Vec<u8>) {
        match self.step {
            Step::Open => {
                subject.shared.set_closed(false);
                command::cls(out);
                self.step = Step::Closing;
            }
            // The answer to SUB decides.
            Step::Subscribing | Step::Closing => {}
            Step::Connecting | Step::Identifying => self.closed = true,
        }
    }

    /// A frame has come; what it calls for is appended to `out`.
    pub(super) fn frame<H: Handler>(
        &mut self,
        frame: Frame<'_>,
        subject: &mut Subject<'_, H>,
        out: &mut Vec<u8>,
    ) -> Result<(), Disconnect> {
        match (frame, self.step) {
            (Frame::Message(message), Step::Open) => self.message(message, subject, out),
            // It was on its way when CLS was sent: another consumer of the channel may have it at once.
            (Frame::Message(message), Step::Closing) => command::req(out, &message.id, Duration::ZERO),
            (Frame::Message(_), step) => return Err(Disconnect::Unexpected { what: "message", step }),
            (Frame::Response(HEARTBEAT), _) => command::nop(out),
            (Frame::Response(data), Step::Identifying) => self.identified(data, subject, out)?,
            (Frame::Response(OK), Step::Subscribing) => self.subscribed(subject, out),
            (Frame::Response(CLOSE_WAIT), Step::Closing) => self.closed = true,
            (Frame::Response(_), step) => return Err(Disconnect::Unexpected { what: "response", step }),
            (Frame::Error { code, text }, Step::Open | Step::Closing) if !code.is_fatal() => {
                subject.handler.answer_refused(&ServerError::new(text));
            }
            (Frame::Error { text, .. }, _) => return Err(Disconnect::Server(ServerError::new(text))),
        }
        Ok(())
    }

    fn message<H: Handler>(&mut self, message: Message<'_>, subject: &mut Subject<'_, H>, out: &mut Vec<u8>) {
        let ticket = Ticket { connection: self.connection, id: message.id };
        match subject.handler.message(message, ticket) {
            Verdict::Finish => command::fin(out, &ticket.id),
            Verdict::Requeue(delay) => command::req(out, &ticket.id, delay),
            Verdict::Hold => {}
        }
    }

    fn identified<H>(&mut self, data: &[u8], subject: &Subject<'_, H>, out: &mut Vec<u8>) -> Result<(), Disconnect> {
        let Some(identified) = Identified::decode(data) else {
            return Err(Disconnect::Unexpected { what: "response", step: self.step });
        };
        if identified.auth_required {
            return Err(Disconnect::AuthRequired);
        }
        // An owner who wants an end does not get a SUB.
        if subject.shared.is_stopped() {
            self.closed = true;
            return Ok(());
        }
        if identified.max_rdy_count > 0 {
            self.rdy_max = u32::try_from(identified.max_rdy_count).unwrap_or(u32::MAX);
        }
        // RDY follows without waiting: the server works through commands in order, and answers SUB before it sends.
        command::sub(out, subject.topic, subject.channel);
        command::rdy(out, subject.group.settings.rdy.min(self.rdy_max));
        self.step = Step::Subscribing;
        Ok(())
    }

    fn subscribed<H: Handler>(&mut self, subject: &mut Subject<'_, H>, out: &mut Vec<u8>) {
        self.connection = subject.shared.set_open();
        self.step = Step::Open;
        if subject.shared.is_stopped() {
            self.stop(subject, out);
        } else {
            subject.handler.opened(&Responder::new(subject.shared.clone()));
        }
    }
}
