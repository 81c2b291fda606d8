//! A model of what is around a session: logs, a broker that loses, duplicates and reorders, an engine that answers late,
//! and a device that checks what it gets. Driven by property tests, and by the bytes of the fuzz target `session`.
#![allow(dead_code, reason = "each test binary uses its part of it")]

pub(crate) mod bytes;
mod device;
mod log;
pub(crate) mod op;
mod stray;

use crate::common::{Driver, FEED, admitted, conversation, epoch, offset};
use device::Device;
use lockstep_model::{
    Ask, Code, ConversationId, EntryId, Intervals, Notice, OffsetsVersion, ResumePoint, Sent, Seq, SharedEntry, Shown,
    UnixMs,
};
use lockstep_session::{Admitted, Effect, Hello, Request, SessionConfig};
use log::{Log, What};
use op::{Op, Show};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub(crate) struct World {
    driver: Driver,
    config: SessionConfig,
    /// Those of which the user is or was a member, the feed first.
    logs: Vec<Log>,
    /// The consumers that are open.
    open: BTreeSet<ConversationId>,
    /// What the engine knows of the user's stays, which may be old.
    views: BTreeMap<ConversationId, Intervals>,
    incarnation: u8,
    offsets_version: u64,
    carried: Vec<SharedEntry>,
    reads: Vec<Asked>,
    answers: VecDeque<Notice>,
    /// Sends and read offsets among the questions that are not answered.
    unanswered: u32,
    stored: BTreeMap<ConversationId, u64>,
    device: Device,
}

struct Asked {
    conversation: ConversationId,
    from: u64,
    count: u32,
    head: u64,
}

impl World {
    pub(crate) fn new(config: SessionConfig) -> Self {
        let logs = [FEED, conversation('a'), conversation('b')].map(Log::new).into();
        let mut world = Self {
            driver: Driver::with(config.clone()),
            config,
            logs,
            open: BTreeSet::new(),
            views: BTreeMap::new(),
            incarnation: 1,
            offsets_version: 0,
            carried: Vec::new(),
            reads: Vec::new(),
            answers: VecDeque::new(),
            unanswered: 0,
            stored: BTreeMap::new(),
            device: Device::default(),
        };
        world.connect(Show::Equal, 0);
        world
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append { log, count } => self.append(log % self.logs.len(), count),
            Op::Join => self.join(),
            Op::Leave { log } => self.leave(log % self.logs.len()),
            Op::Rejoin { log, history } => self.rejoin(log % self.logs.len(), history),
            Op::Retain { log, count } => {
                // What the feed tells is kept: who is offline for longer than that takes all anew.
                let log = 1 + log % (self.logs.len() - 1);
                self.logs[log].raise_floor(count);
            }
            Op::Bring { pick, again } if !self.carried.is_empty() => {
                let pick = pick % self.carried.len();
                let entry = if again { self.carried[pick].clone() } else { self.carried.remove(pick) };
                self.notice(Notice::Entry(entry));
            }
            Op::Lose { pick } if !self.carried.is_empty() => drop(self.carried.remove(pick % self.carried.len())),
            Op::Overflow { count } => {
                self.carried.drain(..count.min(self.carried.len()));
                self.notice(Notice::Overflowed);
            }
            Op::Head { log, beyond } => self.signal_head(log % self.logs.len(), beyond),
            Op::Read { pick, fewer, stale } if !self.reads.is_empty() => {
                self.read(pick % self.reads.len(), fewer, stale)
            }
            Op::Answer => self.answer(),
            Op::Ack { log, lag } => self.ack(vec![log % self.logs.len()], lag),
            Op::AckAll => self.ack((0..self.logs.len()).collect(), 0),
            Op::AckBeyond { log } => self.ack_beyond(log % self.logs.len()),
            Op::Send => self.send(),
            Op::MarkRead { log, beyond } => self.mark_read(log % self.logs.len(), beyond),
            Op::Stray(stray) => self.stray(stray),
            Op::Wait { ms } => self.wait(Duration::from_millis(ms)),
            Op::OffsetsChange { lost } => self.change_offsets(lost),
            Op::Reconnect { show, early } => self.connect(show, early),
            Op::Restore { lacking, show } => self.restore(lacking, show),
            Op::Bring { .. } | Op::Lose { .. } | Op::Read { .. } => {}
        }
    }

    /// Everybody does what is theirs to do: then the device has everything, and what comes next is live. What the broker
    /// still carries is lost if it may lose, and the heads are signalled once; else it arrives, and that has to be enough.
    pub(crate) fn settle_and_check(&mut self, may_lose: bool) {
        let carried: Vec<_> = self.carried.drain(..).collect();
        if may_lose {
            (0..self.logs.len()).for_each(|log| self.signal_head(log, 0));
        } else {
            carried.into_iter().for_each(|entry| self.notice(Notice::Entry(entry)));
        }
        self.change_offsets(false);
        self.work_off();
        self.device.check_complete(&self.logs, self.offsets_version);
        for log in 0..self.logs.len() {
            self.append(log, 1);
            self.carried.drain(..).collect::<Vec<_>>().into_iter().for_each(|entry| self.notice(Notice::Entry(entry)));
            assert!(self.reads.is_empty(), "{:?} is not live after all", self.logs[log].conversation);
            self.ack((0..self.logs.len()).collect(), 0);
        }
        self.device.check_complete(&self.logs, self.offsets_version);
    }

    fn work_off(&mut self) {
        let mut rounds = 0;
        while !self.reads.is_empty() || !self.answers.is_empty() || self.device.has_unacked() {
            (0..self.reads.len()).rev().for_each(|pick| self.read(pick, 0, false));
            (0..self.answers.len()).for_each(|_| self.answer());
            self.ack((0..self.logs.len()).collect(), 0);
            self.wait(self.config.reorder_grace);
            rounds += 1;
            assert!(rounds < 2_000, "it never comes to rest");
        }
    }

    fn append(&mut self, log: usize, count: u64) {
        for _ in 0..count {
            self.write(log, What::Message);
        }
    }

    /// Appends to a log; the broker carries it to whom it may concern.
    fn write(&mut self, log: usize, what: What) {
        let entry = self.logs[log].append(self.incarnation, what);
        if self.open.contains(&entry.conversation) {
            self.carried.push(entry);
        }
    }

    fn join(&mut self) {
        let letter = ['j', 'k', 'l'].get(self.logs.len() - 3);
        if let Some(joined) = letter.map(|letter| conversation(*letter)) {
            self.logs.push(Log::new(joined));
            self.write(0, What::Added(joined));
        }
    }

    fn leave(&mut self, log: usize) {
        if log > 0 && self.logs[log].stays.is_member() {
            self.logs[log].end_stay();
            self.write(log, What::Left);
            self.write(0, What::Removed(self.logs[log].conversation));
        }
    }

    fn rejoin(&mut self, log: usize, history: u64) {
        if !self.logs[log].stays.is_member() {
            self.logs[log].begin_stay(history);
            self.write(log, What::Message);
            self.write(0, What::Added(self.logs[log].conversation));
        }
    }

    fn read(&mut self, pick: usize, fewer: u32, stale: bool) {
        let Asked { conversation, from, count, head } = self.reads.remove(pick);
        assert!(head >= from, "a read of nothing");
        let log = self.logs.iter().find(|log| log.conversation == conversation).expect("a log that is followed");
        let head = if stale { log.head().min(head) } else { log.head() };
        let known = self.views.entry(conversation).or_default();
        let page = log.page(from, count.saturating_sub(fewer).max(1), head, known);
        self.answers.push_back(Notice::Page(Box::new(page)));
    }

    fn answer(&mut self) {
        if let Some(notice) = self.answers.pop_front() {
            match &notice {
                Notice::Page(page) => self.device.reading.retain(|it| *it != page.conversation),
                Notice::Followed(point) => self.device.begin(point),
                Notice::Sent { .. } | Notice::ReadDone { .. } => self.unanswered -= 1,
                _ => {}
            }
            self.notice(notice);
            self.answer_heartbeat();
        }
    }

    fn signal_head(&mut self, log: usize, beyond: u64) {
        let log = &self.logs[log];
        self.notice(Notice::Head(offset(log.conversation, log.head() + beyond)));
    }

    fn ack(&mut self, logs: Vec<usize>, lag: u64) {
        if !self.driver.session.wants_requests() {
            return;
        }
        let cursors = logs.into_iter().filter_map(|log| self.device.ack(self.logs[log].conversation, lag)).collect();
        self.request(Request::Ack(cursors));
    }

    fn ack_beyond(&mut self, log: usize) {
        let conversation = self.logs[log].conversation;
        if let Some(next) = self.device.next(conversation).filter(|_| self.driver.session.wants_requests()) {
            self.request(Request::Ack(vec![offset(conversation, next)]));
        }
    }

    fn change_offsets(&mut self, lost: bool) {
        self.offsets_version += 1;
        if !lost {
            self.notice(offsets(self.offsets_version - 1, self.offsets_version));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.driver.wait(time);
        self.absorb();
        self.answer_heartbeat();
    }

    /// As soon as the session takes it.
    fn answer_heartbeat(&mut self) {
        if self.driver.session.wants_requests() && std::mem::take(&mut self.device.heartbeat) {
            self.request(Request::Heartbeat);
        }
    }

    fn restore(&mut self, lacking: u64, show: Show) {
        self.incarnation += 1;
        for log in &mut self.logs[1..] {
            log.truncate(lacking);
            // Cursors are restored with the log.
            let stored = self.stored.entry(log.conversation).or_default();
            *stored = (*stored).min(log.head());
        }
        // A device that comes from another epoch shows what it has.
        self.connect(if matches!(show, Show::Unknown) { Show::Equal } else { show }, 0);
    }

    fn connect(&mut self, show: Show, early: u64) {
        self.driver = Driver::with(self.config.clone());
        self.carried.clear();
        self.reads.clear();
        self.answers.clear();
        self.unanswered = 0;
        let (feed, shown) = self.device.shown(show, &self.logs);
        let hello = Hello {
            reference: None,
            token: "t".into(),
            epoch: self.device.epoch,
            feed,
            offsets_version: OffsetsVersion::new(self.device.offsets_version()),
        };
        self.request(Request::Hello(hello));
        let missed = (self.device.offsets_version() + 1..=self.offsets_version).map(|it| offset(FEED, it)).collect();
        let version = OffsetsVersion::new(self.offsets_version);
        let now_epoch = epoch(self.incarnation);
        let admitted = Admitted { epoch: now_epoch, offsets: missed, offsets_version: version, ..admitted() };
        self.driver.session.handle_admitted(admitted, self.driver.now);
        self.absorb();
        self.driver.session.handle_request(Request::Resume { shown, more: false }, self.driver.now);
        self.driver.drain();
        let effects = std::mem::take(&mut self.driver.effects);
        let [Effect::Ask(Ask::Resume { shown, verify })] = effects.as_slice() else { panic!("resume: {effects:?}") };
        let mut views = BTreeMap::new();
        let points: Vec<_> = self.logs.iter().filter_map(|log| self.point(log, shown, *verify, Seq::ZERO)).collect();
        for (log, point) in points.iter().map(|point| (self.log(point.conversation), point)) {
            let from = if point.reset { point.floor } else { point.cursor.next() };
            views.insert(log.conversation, log.stays.stretch(from));
        }
        self.views = views;
        self.open = self.logs.iter().filter(|log| log.stays.is_member()).map(|log| log.conversation).collect();
        for point in &points {
            self.device.resume(point);
            // The shown cursor wins over the stored one, downwards too.
            self.stored.insert(point.conversation, self.device.next(point.conversation).map_or(0, |next| next - 1));
        }
        self.append(1, early);
        self.carried.drain(..).collect::<Vec<_>>().into_iter().for_each(|entry| self.notice(Notice::Entry(entry)));
        self.notice(Notice::Resumed(points));
    }

    fn point(&self, log: &Log, shown: &[Shown], verify: bool, after: Seq) -> Option<ResumePoint> {
        let shown = shown.iter().find(|it| it.conversation == log.conversation).map(|it| it.cursor);
        let stored = self.stored.get(&log.conversation).copied().unwrap_or(0);
        let seq = shown.map_or(stored, |cursor| cursor.seq.get()).max(after.get());
        let is_known = || shown.is_none_or(|it| seq == 0 || (it.entry.is_some() && it.entry == log.id_at(seq)));
        let reset = verify && !is_known();
        let (mut floor, mut head) = (log.floor, log.head());
        if let Some(left) = log.stays.end().map(Seq::get) {
            if seq >= left && !reset {
                return None;
            }
            (floor, head) = (floor.min(left + 1), head.min(left));
        }
        Some(ResumePoint {
            conversation: log.conversation,
            cursor: Seq::new(seq.min(head)),
            floor: Seq::new(floor),
            head: Seq::new(head),
            reset,
            ended: log.stays.end().is_some(),
            unfilled: false,
        })
    }

    /// The engine looks whether the user is a member.
    fn follow(&mut self, conversation: ConversationId, after: Seq) {
        let log = self.log(conversation);
        let (end, stays, point) = (log.stays.end(), log.stays.clone(), self.point(log, &[], false, after));
        // The engine keeps no more than what it needs until the next question.
        let from = point.as_ref().map_or(after, |point| point.cursor).next();
        self.views.insert(conversation, stays.stretch(from));
        if end.is_some() {
            self.open.remove(&conversation);
            self.carried.retain(|entry| entry.conversation != conversation);
        } else {
            self.open.insert(conversation);
        }
        self.answers.push_back(match (point, end) {
            (Some(point), _) => Notice::Followed(Box::new(point)),
            (None, end) => Notice::Unfollowed(offset(conversation, end.map_or(0, Seq::get))),
        });
    }

    fn log(&self, conversation: ConversationId) -> &Log {
        self.logs.iter().find(|log| log.conversation == conversation).expect("a log that the session may know")
    }

    fn request(&mut self, request: Request) {
        self.driver.session.handle_request(request, self.driver.now);
        self.absorb();
    }

    fn notice(&mut self, notice: Notice) {
        self.driver.session.handle_notice(notice, self.driver.now);
        self.absorb();
    }

    /// Does what the session says.
    fn absorb(&mut self) {
        self.driver.drain();
        let mut effects = std::mem::take(&mut self.driver.effects).into_iter();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Authenticate { .. } | Effect::Renew { .. } => {}
                Effect::Ask(ask) => self.asked(ask),
                Effect::Emit(event) => self.device.take(event, &self.logs, &self.config),
                Effect::Close(code) => {
                    assert!(effects.next().is_none(), "something follows a close");
                    let due = match code {
                        Code::AckTimeout => self.device.has_unacked(),
                        // Heartbeats are left unread while too many answers are due.
                        Code::HeartbeatTimeout => self.unanswered == self.config.sends_waiting_max,
                        _ => false,
                    };
                    assert!(due, "closed with {code}");
                    return self.connect(Show::Equal, 0);
                }
            }
        }
    }

    fn owe(&mut self, answer: Notice) {
        self.unanswered += 1;
        assert!(self.unanswered <= self.config.sends_waiting_max, "{} answers are due", self.unanswered);
        self.answers.push_back(answer);
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Read { conversation, from, count, head } => {
                self.device.check_read(conversation, from.get(), count, &self.config);
                self.reads.push(Asked { conversation, from: from.get(), count, head: head.get() });
            }
            Ask::Acked { conversation, seq } => {
                self.device.check_acked(conversation, seq.get());
                let before = self.stored.insert(conversation, seq.get());
                assert!(before.is_none_or(|before| before < seq.get()), "a cursor that does not rise");
            }
            Ask::Follow(after) => self.follow(after.conversation, after.seq),
            Ask::Recheck { conversations, offsets_version } => {
                let head = |it: &ConversationId| Notice::Head(offset(*it, self.log(*it).head()));
                self.answers.extend(conversations.iter().map(head).collect::<Vec<_>>());
                self.answers.push_back(offsets(offsets_version.get(), self.offsets_version));
            }
            Ask::Append { reference, .. } => {
                let (conversation, id) = (FEED, EntryId::from_bytes([1; 16]));
                let sent = Sent { conversation, seq: Seq::new(1), id, sent_at: UnixMs::new(1), duplicate: false };
                let outcome = if self.unanswered.is_multiple_of(2) { Ok(sent) } else { Err(Code::TryAgain) };
                self.owe(Notice::Sent { reference, outcome: Box::new(outcome) });
            }
            Ask::AdvanceOffset { reference, conversation, seq } => {
                let next = self.device.next(conversation);
                assert!(next.is_some_and(|next| seq.get() < next), "{seq} was not delivered and cannot be read");
                self.owe(Notice::ReadDone { reference, refusal: None });
            }
            Ask::Signal { .. } => {}
            Ask::Bootstrap(_) => unreachable!("nobody is filled here"),
            Ask::Watch { reference, .. } => self.owe(Notice::Watched { reference, outcome: Box::new(Ok(vec![])) }),
            Ask::ChangeState { reference, .. } => self.owe(Notice::ReadDone { reference, refusal: None }),
            Ask::Unread { reference, .. } => self.owe(Notice::Unread { reference, outcome: Box::new(Ok(Vec::new())) }),
            Ask::Resume { .. } => panic!("resumed twice"),
            Ask::Described { .. } => panic!("nobody has asked"),
        }
    }
}

/// Each version changes the feed's offset to its number, so that the device can tell which changes it was told.
fn offsets(since: u64, version: u64) -> Notice {
    let offsets = (since + 1..=version).map(|it| offset(FEED, it)).collect();
    Notice::Offsets { since: OffsetsVersion::new(since), version: OffsetsVersion::new(version), offsets }
}
