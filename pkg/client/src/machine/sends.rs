//! Messages: sent in order, repeated under the same id until they have an answer (I2 makes that safe).

use super::outbox::ItemState;
use super::{ANSWER_TIMEOUT, Asked, Machine, RETRY_DEFAULT, staged::Output};
use crate::machine::backoff::Backoff;
use crate::{Change, OutboxItem, SendError, Sent};
use lockstep_protocol::{ClientFrame, ClientMsgId, Code, ErrorFrame, Ref, Send};
use std::time::{Duration, Instant};

/// What becomes of a request that the server refused.
pub(super) enum Refusal {
    /// It is sent again then.
    Later { at: Instant, pause_all: bool },
    /// It is over.
    Final(SendError),
}

impl Machine {
    pub(super) fn take_send(&mut self, item: OutboxItem) -> Result<(), SendError> {
        if self.is_stopped() {
            return Err(SendError::Stopped);
        }
        if let Some((position, known)) = self.outbox.find(&item.client_msg_id) {
            if known.item != item {
                return Err(SendError::IdInUse);
            }
            self.staged.push(Output::Saved(position));
            return Ok(());
        }
        if self.outbox.len() >= self.settings.outbox_max {
            return Err(SendError::OutboxFull);
        }
        let position = self.outbox.add(item.clone());
        self.staged.change(Change::OutboxAdded(item));
        self.staged.push(Output::Saved(position));
        Ok(())
    }

    /// Sends what may be sent now.
    pub(super) fn pump_sends(&mut self, now: Instant) {
        self.expire_sends(now);
        if self.sends_paused_until.is_some_and(|until| until > now) {
            return;
        }
        self.sends_paused_until = None;
        for position in self.outbox.sendable(now) {
            let Some(item) = self.outbox.get(position) else { continue };
            let OutboxItem { client_msg_id, target, kind, body } = item.item.clone();
            if body.as_json().len() > self.limits.body_bytes_max {
                let spec = Code::BodyTooLarge.spec();
                let error = SendError::Refused { code: spec.name.to_owned(), message: spec.sentence.to_owned() };
                self.settle_send(position, |_| Err(error));
                continue;
            }
            self.counters.resends += u64::from(item.attempts > 0);
            let reference = self.ask(Asked::Send(position));
            self.outbox.set(position, ItemState::InFlight { reference, at: now });
            self.write(ClientFrame::Send(Send { reference: Some(reference), target, client_msg_id, kind, body }));
        }
    }

    /// An answer that does not come may have been lost: the same again is safe.
    fn expire_sends(&mut self, now: Instant) {
        let expired: Vec<(u64, Ref)> = self
            .outbox
            .firsts()
            .filter_map(|(position, state)| match state {
                ItemState::InFlight { reference, at } if at + ANSWER_TIMEOUT <= now => Some((position, reference)),
                _ => None,
            })
            .collect();
        for (position, reference) in expired {
            self.asked.remove(&reference);
            self.outbox.set(position, ItemState::Ready(None));
        }
    }

    /// When a message has to be sent or given up waiting for.
    pub(super) fn send_due(&self) -> Option<Instant> {
        let has_room = self.outbox.has_room();
        self.outbox
            .firsts()
            .filter_map(|(_, state)| match state {
                // An answer makes room first.
                ItemState::Ready(_) if !has_room => None,
                ItemState::Ready(from) => from.max(self.sends_paused_until),
                ItemState::InFlight { at, .. } => Some(at + ANSWER_TIMEOUT),
                ItemState::Saving | ItemState::Answered => None,
            })
            .min()
    }

    pub(super) fn handle_sent(&mut self, now: Instant, reference: Option<Ref>, sent: impl FnOnce(ClientMsgId) -> Sent) {
        if let Some(Asked::Send(position)) = reference.and_then(|reference| self.asked.remove(&reference)) {
            self.settle_send(position, |id| Ok(sent(id)));
            self.pump_sends(now);
        }
    }

    /// The answer is given out once the store has let the message go. If it fails to, the message is sent again, and
    /// the server says the same again.
    fn settle_send(&mut self, position: u64, outcome: impl FnOnce(ClientMsgId) -> Result<Sent, SendError>) {
        let Some(client_msg_id) = self.outbox.get(position).map(|item| item.item.client_msg_id.clone()) else { return };
        self.outbox.set(position, ItemState::Answered);
        self.staged.change(Change::OutboxRemoved(client_msg_id.clone()));
        self.staged.push(Output::Answer { position, outcome: outcome(client_msg_id) });
    }

    /// A request was refused.
    pub(super) fn handle_refusal(&mut self, now: Instant, asked: Asked, error: ErrorFrame) {
        match asked {
            Asked::Send(position) => {
                let attempts = self.outbox.get(position).map_or(1, |item| item.attempts);
                match self.judge(now, attempts, error) {
                    Refusal::Final(error) => self.settle_send(position, |_| Err(error)),
                    Refusal::Later { at, pause_all } => {
                        self.outbox.set(position, ItemState::Ready(Some(at)));
                        if pause_all {
                            self.sends_paused_until = Some(at);
                        }
                    }
                }
                self.pump_sends(now);
            }
            Asked::Read(offset) => self.handle_read_refusal(now, offset, error),
            Asked::Question => self.refuse_question(error),
            Asked::Bootstrap => self.handle_bootstrap_refusal(now, error),
            Asked::Renew => {
                if let Some(reference) = error.reference {
                    self.settle_renewal(reference, Some(error));
                }
            }
        }
    }

    /// Whether the same again may succeed. Unknown codes are final, unless they say when to come again.
    pub(super) fn judge(&mut self, now: Instant, attempts: u32, error: ErrorFrame) -> Refusal {
        let advice = error.retry_after_ms.map(|ms| Duration::from_millis(ms).min(ANSWER_TIMEOUT * 2));
        match error.code.parse::<Code>() {
            Ok(Code::RateLimited) => Refusal::Later { at: now + advice.unwrap_or(RETRY_DEFAULT), pause_all: true },
            Ok(Code::TryAgain) => {
                let wait = Backoff::starting_at(attempts.saturating_sub(1)).after_failure(None, &mut self.rng);
                Refusal::Later { at: now + wait.max(advice.unwrap_or_default()), pause_all: false }
            }
            _ => match advice {
                Some(advice) => Refusal::Later { at: now + advice, pause_all: false },
                None => Refusal::Final(SendError::Refused {
                    code: error.code.into_owned(),
                    message: error.message.into_owned(),
                }),
            },
        }
    }
}
