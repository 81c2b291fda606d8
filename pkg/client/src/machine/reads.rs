//! Read offsets of this device: merged by maximum, repeated until the server has them.

use super::sends::Refusal;
use super::{ANSWER_TIMEOUT, Asked, Machine};
use crate::{Change, Event, SendError};
use lockstep_protocol::{ClientFrame, ConversationId, ErrorFrame, Offset, Ref, Seq};
use std::collections::BTreeMap;
use std::time::Instant;

/// Most conversations with an offset that the server does not have; one more is refused.
const READS_MAX: usize = 10_000;
/// Offsets under way at once.
const IN_FLIGHT_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Reads {
    wanted: BTreeMap<ConversationId, Wanted>,
}

#[derive(Debug)]
struct Wanted {
    seq: Seq,
    attempts: u32,
    state: ReadState,
}

#[derive(Debug, Clone, Copy)]
enum ReadState {
    Ready(Option<Instant>),
    InFlight { reference: Ref, at: Instant },
}

impl Reads {
    pub(super) fn new(wanted: BTreeMap<ConversationId, Seq>) -> Self {
        let ready = |seq| Wanted { seq, attempts: 0, state: ReadState::Ready(None) };
        Self { wanted: wanted.into_iter().map(|(conversation, seq)| (conversation, ready(seq))).collect() }
    }

    pub(super) fn disconnected(&mut self) {
        self.wanted.values_mut().for_each(|wanted| wanted.state = ReadState::Ready(None));
    }

    fn in_flight(&self) -> usize {
        self.wanted.values().filter(|wanted| matches!(wanted.state, ReadState::InFlight { .. })).count()
    }

    fn sendable(&self, now: Instant) -> Vec<Offset> {
        let ready = |state| matches!(state, ReadState::Ready(from) if from.is_none_or(|from| from <= now));
        self.wanted
            .iter()
            .filter(|(_, wanted)| ready(wanted.state))
            .map(|(conversation, wanted)| Offset { conversation: *conversation, seq: wanted.seq })
            .take(IN_FLIGHT_MAX.saturating_sub(self.in_flight()))
            .collect()
    }

    /// When an offset has to be sent or given up waiting for.
    pub(super) fn due(&self) -> Option<Instant> {
        let has_room = self.in_flight() < IN_FLIGHT_MAX;
        self.wanted
            .values()
            .filter_map(|wanted| match wanted.state {
                // An answer makes room first.
                ReadState::Ready(_) if !has_room => None,
                ReadState::Ready(from) => from,
                ReadState::InFlight { at, .. } => Some(at + ANSWER_TIMEOUT),
            })
            .min()
    }
}

impl Machine {
    pub(super) fn take_read(&mut self, now: Instant, offset: Offset) -> Result<(), SendError> {
        let Offset { conversation, seq } = offset;
        if self.is_stopped() {
            return Err(SendError::Stopped);
        }
        if self.replica.offsets.get(&conversation).is_some_and(|known| *known >= seq) {
            return Ok(());
        }
        if self.reads.wanted.len() >= READS_MAX && !self.reads.wanted.contains_key(&conversation) {
            return Err(SendError::OutboxFull);
        }
        let wanted = self.reads.wanted.entry(conversation).or_insert(Wanted {
            seq: Seq::ZERO,
            attempts: 0,
            state: ReadState::Ready(None),
        });
        if seq > wanted.seq {
            wanted.seq = seq;
            self.staged.change(Change::ReadWanted(offset));
            self.pump(now);
        }
        Ok(())
    }

    /// Sends what may be sent now. Before the device has caught up the server may not know all its conversations yet.
    pub(super) fn pump_reads(&mut self, now: Instant) {
        if !self.has_caught_up() || self.reads.wanted.is_empty() {
            return;
        }
        for wanted in self.reads.wanted.values_mut() {
            if let ReadState::InFlight { reference, at } = wanted.state
                && at + ANSWER_TIMEOUT <= now
            {
                self.asked.remove(&reference);
                wanted.state = ReadState::Ready(None);
            }
        }
        for offset in self.reads.sendable(now) {
            let reference = self.ask(Asked::Read(offset));
            if let Some(wanted) = self.reads.wanted.get_mut(&offset.conversation) {
                wanted.attempts += 1;
                wanted.state = ReadState::InFlight { reference, at: now };
            }
            let Offset { conversation, seq } = offset;
            self.write(ClientFrame::Read { reference: Some(reference), conversation, seq });
        }
    }

    pub(super) fn handle_done(&mut self, now: Instant, reference: Option<Ref>) {
        let Some(reference) = reference else { return };
        match self.asked.remove(&reference) {
            Some(Asked::Read(offset)) => {
                // The server tells the user's other devices, and this one with its next welcome at the latest.
                self.handle_offsets(None, vec![offset]);
                self.settle_read(now, offset);
            }
            Some(Asked::Renew) => self.settle_renewal(reference, None),
            Some(Asked::Question) => self.settle_question(reference, Ok(Vec::new())),
            Some(Asked::Send(_) | Asked::Bootstrap) | None => {}
        }
    }

    pub(super) fn handle_read_refusal(&mut self, now: Instant, offset: Offset, error: ErrorFrame) {
        let attempts = self.reads.wanted.get(&offset.conversation).map_or(1, |wanted| wanted.attempts);
        match self.judge(now, attempts, error) {
            Refusal::Later { at, .. } => {
                if let Some(wanted) = self.reads.wanted.get_mut(&offset.conversation) {
                    wanted.state = ReadState::Ready(Some(at));
                }
            }
            Refusal::Final(error) => {
                let code = match error {
                    SendError::Refused { code, .. } => code,
                    other => other.to_string(),
                };
                self.event(Event::ReadRefused { offset, code });
                self.settle_read(now, offset);
            }
        }
    }

    /// The server has answered for this offset; a higher one that came since is sent next.
    fn settle_read(&mut self, now: Instant, offset: Offset) {
        self.staged.change(Change::ReadSettled(offset));
        if let Some(wanted) = self.reads.wanted.get_mut(&offset.conversation) {
            if wanted.seq > offset.seq {
                wanted.state = ReadState::Ready(None);
                wanted.attempts = 0;
            } else {
                self.reads.wanted.remove(&offset.conversation);
            }
        }
        self.pump_reads(now);
    }
}
