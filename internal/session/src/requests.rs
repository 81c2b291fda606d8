//! What the device asks.

use crate::session::Phase;
use crate::{Effect, Event, Request, Session};
use lockstep_model::{Ask, Code, ConversationId, Ref, Seq};
use std::time::{Duration, Instant};

impl Session {
    /// Takes what the device asks. Any frame, even a malformed one, is a sign of life.
    pub fn handle_request(&mut self, request: Request, now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let now = self.since_start(now);
        self.heartbeats_missed = 0;
        if self.frames.take(now, self.config.frames_per_second, self.config.frames_burst).is_err() {
            return self.close(Code::Flood);
        }
        let begun = !matches!(self.phase, Phase::Hello { .. } | Phase::Admission(_));
        match request {
            Request::Malformed { reference, code, detail } if !code.closes() => {
                self.emit(Event::Failed { reference, code, detail: Some(detail), retry_after_ms: None });
            }
            Request::Malformed { code, .. } => self.close(code),
            Request::Hello(hello) => self.handle_hello(hello, now),
            _ if !begun => self.close(Code::HelloExpected),
            Request::Resume { shown, more } => self.handle_resume(shown, more, now),
            Request::Send { reference, target, client_msg_id, kind, body } => {
                if self.may_send(reference, now) {
                    self.answers_waiting += 1;
                    self.ask(Ask::Append { reference, target, client_msg_id, kind, body });
                }
            }
            Request::Ack(cursors) => self.handle_ack(cursors),
            Request::Read { reference, conversation, seq } => self.handle_read(reference, conversation, seq),
            Request::Signal { reference, conversation, body } => self.handle_signal(reference, conversation, body, now),
            Request::Watch { reference, users } => self.handle_watch(reference, users, now),
            Request::State { reference, conversation, change } => {
                if self.may_send(reference, now) {
                    self.answers_waiting += 1;
                    self.ask(Ask::ChangeState { reference, conversation, change });
                }
            }
            Request::Unread { reference, conversations } => {
                if self.may_send(reference, now) {
                    self.answers_waiting += 1;
                    self.ask(Ask::Unread { reference, conversations });
                }
            }
            Request::Renew { reference, token } => {
                if self.may_send(reference, now) {
                    self.effects.push_back(Effect::Renew { reference, token });
                }
            }
            Request::Bootstrap(frame) => self.handle_bootstrap(frame, now),
            Request::Heartbeat => {}
        }
        self.pump();
    }

    /// Takes note of a frame of the transport, such as a ping, which says nothing but counts as one.
    pub fn handle_control(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let now = self.since_start(now);
        if self.frames.take(now, self.config.frames_per_second, self.config.frames_burst).is_err() {
            self.close(Code::Flood);
        }
    }

    /// The answer to [`Effect::Renew`]: if the token is good, the connection's age begins anew.
    pub fn handle_renewed(&mut self, reference: Option<Ref>, outcome: Result<(), Code>, now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.renewed_at_ms = u32::try_from(self.since_start(now).as_millis()).unwrap_or(u32::MAX);
                self.emit(Event::Done { reference });
            }
            Err(code) => self.fail(reference, if code.closes() { Code::RenewalRefused } else { code }),
        }
    }

    pub(crate) fn may_send(&mut self, reference: Option<Ref>, now: Duration) -> bool {
        let Err(wait) = self.sends.take(self.started + now, self.config.sends_per_second, self.config.sends_burst)
        else {
            return true;
        };
        let retry_after_ms = Some(wait.as_millis() as u64 + 1);
        self.emit(Event::Failed { reference, code: Code::RateLimited, detail: None, retry_after_ms });
        false
    }

    /// A device can have read only what it has: what was delivered to it, on this connection or before.
    fn handle_read(&mut self, reference: Option<Ref>, conversation: ConversationId, seq: Seq) {
        match self.topics.followed(conversation).map(|row| &self.topics[row]) {
            None => self.fail(reference, Code::NoSuchConversation),
            Some(topic) if seq >= topic.next => self.fail(reference, Code::ReadBeyond),
            Some(_) => {
                self.answers_waiting += 1;
                self.ask(Ask::AdvanceOffset { reference, conversation, seq });
            }
        }
    }
}
