//! The machine: its state and where each input goes.

use crate::early::Early;
use crate::ephemeral::Signalled;
use crate::follows::Follows;
use crate::held::Held;
use crate::rate::Rate;
use crate::topics::Topics;
use crate::window::Window;
use crate::{Effect, Event, Hello, SendRate, SessionConfig};
use lockstep_model::{
    Ask, Code, ConversationId, Epoch, Notice, Offset, OffsetsVersion, ReceiptSettings, Ref, Shown, UserId,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One connection of one device. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Session {
    pub(crate) config: Arc<SessionConfig>,
    pub(crate) started: Instant,
    pub(crate) phase: Phase,
    pub(crate) effects: VecDeque<Effect>,
    /// Whose session it is, once the device is let in.
    pub(crate) home: Option<Box<Home>>,
    pub(crate) offsets_version: OffsetsVersion,
    pub(crate) topics: Topics,
    /// Conversations in log mode that wait for their turn to read, first come first served.
    pub(crate) read_queue: VecDeque<ConversationId>,
    pub(crate) reads: u32,
    /// Conversations that have not reached the head since the connection began.
    pub(crate) catching_up: u32,
    pub(crate) window: Window,
    pub(crate) held: Held,
    pub(crate) early: Early,
    pub(crate) follows: Follows,
    /// Sends and read offsets that the engine has not answered.
    pub(crate) answers_waiting: u32,
    pub(crate) sends: Arc<SendRate>,
    pub(crate) signalled: Signalled,
    pub(crate) frames: Rate,
    pub(crate) heartbeat_at: Duration,
    pub(crate) heartbeats_missed: u8,
    /// When the device last showed a good token, in milliseconds since the start.
    pub(crate) renewed_at_ms: u32,
}

/// Whose device it is, and where its conversations are kept.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) user: UserId,
    pub(crate) feed: ConversationId,
    /// The store's identity.
    pub(crate) epoch: Epoch,
    /// What the user lets others hear, and therefore hears of them.
    pub(crate) receipts: ReceiptSettings,
}

/// How far the connection has come.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nobody has said hello.
    Hello { until: Duration },
    /// The token is being checked.
    Admission(Box<Hello>),
    /// The device says where it stands.
    Resume { until: Duration, shown: Vec<Shown>, verify: bool },
    /// The engine opens the device's conversations.
    Opening,
    /// Entries flow.
    Open,
    /// Nothing follows.
    Closed,
}

impl Session {
    /// A session that begins now.
    pub fn new(config: Arc<SessionConfig>, now: Instant) -> Self {
        let (until, heartbeat_at) = (config.hello_timeout, config.heartbeat);
        Self {
            config,
            started: now,
            phase: Phase::Hello { until },
            effects: VecDeque::new(),
            home: None,
            offsets_version: OffsetsVersion::ZERO,
            topics: Topics::default(),
            read_queue: VecDeque::new(),
            reads: 0,
            catching_up: 0,
            window: Window::default(),
            held: Held::default(),
            early: Early::default(),
            follows: Follows::default(),
            answers_waiting: 0,
            sends: Arc::new(SendRate::new(now)),
            signalled: Signalled::default(),
            frames: Rate::default(),
            heartbeat_at,
            heartbeats_missed: 0,
            renewed_at_ms: 0,
        }
    }

    /// Counts the device's sends together with those that come through other doors.
    pub fn share_sends(&mut self, sends: Arc<SendRate>) {
        self.sends = sends;
    }

    /// Takes what the engine says.
    pub fn handle_notice(&mut self, notice: Notice, now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return self.note_late(notice);
        }
        let now = self.since_start(now);
        match notice {
            Notice::Entry(entry) => self.handle_entry(entry, now),
            Notice::Head(head) => self.handle_head(head.conversation, head.seq),
            Notice::Heads(heads) => heads.into_iter().for_each(|head| self.handle_head(head.conversation, head.seq)),
            Notice::Offsets { since, version, offsets } => self.handle_offsets(since, version, offsets),
            Notice::Resumed(points) => self.handle_resumed(points),
            Notice::Followed(point) => self.handle_followed(*point),
            Notice::Unfollowed(end) => self.handle_unfollowed(end),
            Notice::Page(page) => self.handle_page(*page, now),
            Notice::Sent { reference, outcome } => {
                self.answers_waiting = self.answers_waiting.saturating_sub(1);
                match *outcome {
                    Ok(sent) => self.emit(Event::Sent { reference, sent }),
                    Err(code) => self.fail(reference, code),
                }
            }
            Notice::ReadDone { reference, refusal } => {
                self.answers_waiting = self.answers_waiting.saturating_sub(1);
                match refusal {
                    None => self.emit(Event::Done { reference }),
                    Some(code) => self.fail(reference, code),
                }
            }
            Notice::Signal(signal) => self.handle_signalled(signal),
            Notice::Watched { reference, outcome } => {
                self.answers_waiting = self.answers_waiting.saturating_sub(1);
                match *outcome {
                    Ok(users) => self.emit(Event::Presence { reference, users }),
                    Err(code) => self.fail(reference, code),
                }
            }
            Notice::Devices(devices) => self.emit(Event::Devices(devices)),
            Notice::Presence(users) => self.emit(Event::Presence { reference: None, users: users.into_vec() }),
            Notice::Unread { reference, outcome } => {
                self.answers_waiting = self.answers_waiting.saturating_sub(1);
                match *outcome {
                    Ok(conversations) => self.emit(Event::Unread { reference, conversations }),
                    Err(code) => self.fail(reference, code),
                }
            }
            Notice::Describe { question, conversation } => {
                self.ask(Ask::Described { question, topic: self.topic_state(conversation) });
            }
            Notice::Fill(notice) => self.handle_fill(*notice),
            Notice::Receipts(receipts) => self.handle_receipts(*receipts),
            Notice::Overflowed => self.recheck(),
            Notice::Failed(code) => self.close(code),
        }
        self.pump();
    }

    /// A session that is over still takes note of consumers that were opened for it, so that they are closed.
    fn note_late(&mut self, notice: Notice) {
        match notice {
            Notice::Resumed(points) => self.take_topics(&points),
            Notice::Followed(point) => self.take_topics(&[*point]),
            _ => {}
        }
    }

    /// Ends the session: the device is told why.
    pub fn close(&mut self, code: Code) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.phase = Phase::Closed;
        // What was not told yet would only delay the goodbye, and the log keeps it. What was asked goes on.
        self.effects.retain(|effect| matches!(effect, Effect::Ask(_)));
        self.effects.push_back(Effect::Close(code));
    }

    /// What to do next, in order; `None` when all is done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() {
            // Most sessions are silent most of the time: the room of the last turn is given back.
            self.effects = VecDeque::new();
        }
        effect
    }

    /// Whether the session takes requests now. If not, leave them unread until the device was let in or a notice was
    /// handled.
    pub fn wants_requests(&self) -> bool {
        match self.phase {
            Phase::Admission(_) | Phase::Opening | Phase::Closed => false,
            _ => self.answers_waiting < self.config.sends_waiting_max,
        }
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The conversations whose consumers have to be closed with the connection.
    pub fn conversations(&self) -> impl Iterator<Item = ConversationId> + '_ {
        self.topics.conversations()
    }

    /// Everything may have been missed: the engine compares with the store, now or once the conversations are open.
    pub(crate) fn recheck(&mut self) {
        self.early.note_missed();
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let conversations = self.topics.not_ended().collect();
        self.ask(Ask::Recheck { conversations, offsets_version: self.offsets_version });
    }

    fn handle_offsets(&mut self, since: OffsetsVersion, version: OffsetsVersion, offsets: Vec<Offset>) {
        if version <= self.offsets_version || self.home.is_none() {
            return;
        }
        if since > self.offsets_version {
            // Changes in between went missing or come later: the store has them all. Each time, since an earlier answer
            // under way may lack this change.
            return self.ask(Ask::Recheck { conversations: Vec::new(), offsets_version: self.offsets_version });
        }
        self.offsets_version = version;
        self.emit(Event::Offsets { version, offsets });
    }

    pub(crate) fn since_start(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.effects.push_back(Effect::Emit(event));
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        self.effects.push_back(Effect::Ask(ask));
    }

    /// Refuses a request: the connection stays, unless the code says otherwise.
    pub(crate) fn fail(&mut self, reference: Option<Ref>, code: Code) {
        if code.closes() {
            return self.close(code);
        }
        self.emit(Event::Failed { reference, code, detail: None, retry_after_ms: None });
    }
}
