//! A small driver: scripts of inputs, each followed by the effects that it must have, in virtual time.
//!
//! ```text
//! > entry a 6         what happens; see `script` for all
//! entry a 6           what the session does then; see `show`
//! ```
//!
//! Conversations are single letters; `f` is the user's feed.
#![allow(dead_code, reason = "each test binary uses its part of it")]

mod script;
mod show;

use lockstep_model::{
    Body, ConversationId, Entry, EntryId, Epoch, Kind, Offset, OffsetsVersion, ResumePoint, Sender, Seq, SharedEntry,
    UnixMs, UserId,
};
use lockstep_session::{Admitted, Effect, Session, SessionConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs a script and compares its transcript.
#[track_caller]
pub(crate) fn check(script: &str) {
    let mut driver = Driver::default();
    let mut actual = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(input) = line.strip_prefix('>') {
            actual.push_str(&format!("> {}\n", input.trim()));
            for shown in driver.run(input.trim()) {
                actual.push_str(&format!("{shown}\n"));
            }
        }
    }
    let expected: String =
        script.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
    assert!(actual == expected, "expected:\n{expected}\nactual:\n{actual}");
}

/// A session, its clock, and what it did since the last look.
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    pub(crate) effects: Vec<Effect>,
    config: SessionConfig,
}

impl Default for Driver {
    fn default() -> Self {
        Self::with(SessionConfig::default())
    }
}

impl Driver {
    pub(crate) fn with(config: SessionConfig) -> Self {
        let now = Instant::now();
        Self { session: Session::new(Arc::new(config.clone()), now), now, effects: Vec::new(), config }
    }

    /// Changes the bounds and begins anew.
    fn configure(&mut self, change: impl FnOnce(&mut SessionConfig)) {
        change(&mut self.config);
        *self = Self::with(self.config.clone());
    }

    pub(crate) fn drain(&mut self) {
        while let Some(effect) = self.session.poll_effect() {
            self.effects.push(effect);
        }
    }

    /// Lets time pass, and does what falls due on the way.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut rounds = 0;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.drain();
            rounds += 1;
            assert!(rounds < 100_000, "the session asks for a timeout that never ends");
        }
        self.now = end;
    }
}

pub(crate) const FEED: ConversationId = conversation('f');

pub(crate) const fn conversation(letter: char) -> ConversationId {
    ConversationId::from_bytes([letter as u8; 16])
}

pub(crate) const fn epoch(number: u8) -> Epoch {
    Epoch::from_bytes([number; 16])
}

pub(crate) fn offset(conversation: ConversationId, seq: u64) -> Offset {
    Offset { conversation, seq: Seq::new(seq) }
}

pub(crate) fn admitted() -> Admitted {
    Admitted {
        receipts: Default::default(),
        user: UserId::new("ann").expect("a user id"),
        device: lockstep_model::DeviceId::from_bytes([9; 16]),
        epoch: epoch(1),
        feed: FEED,
        offsets: Vec::new(),
        offsets_version: OffsetsVersion::new(3),
        unfilled: false,
    }
}

pub(crate) fn point(conversation: ConversationId, cursor: u64, head: u64) -> ResumePoint {
    ResumePoint {
        conversation,
        cursor: Seq::new(cursor),
        floor: Seq::new(1),
        head: Seq::new(head),
        reset: false,
        ended: false,
        unfilled: false,
    }
}

/// An entry that counts for this many bytes, or a few more than 256.
pub(crate) fn entry(conversation: ConversationId, seq: u64, cost_bytes: usize) -> SharedEntry {
    let padding = "x".repeat(cost_bytes.saturating_sub(256 + r#"{"type":"p","p":""}"#.len()));
    let body = Body::parse(&format!(r#"{{"type":"p","p":"{padding}"}}"#)).expect("a body");
    with_body(conversation, seq, Kind::Message, body)
}

pub(crate) fn with_body(conversation: ConversationId, seq: u64, kind: Kind, body: Body) -> SharedEntry {
    let mut id = *conversation.as_bytes();
    id[8..].copy_from_slice(&seq.to_be_bytes());
    SharedEntry::new(Entry {
        conversation,
        seq: Seq::new(seq),
        id: EntryId::from_bytes(id),
        kind,
        sender: Sender::server(),
        sender_device: None,
        client_msg_id: None,
        body,
        sent_at: UnixMs::new(1),
    })
}
