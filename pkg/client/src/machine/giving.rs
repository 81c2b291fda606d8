//! A main device that gives its history to others that are filled (I8).
//!
//! It reads one piece at a time, and of each filling no more than the window allows is on its way: what is held in memory
//! does not grow with the history.

use super::giver::{Given, HEADER_BYTES, Job, Passed};
use super::{Effect, Machine};
use crate::{Event, Filling, StoreError};
use lockstep_protocol::{
    BootstrapFrame, BootstrapId, BootstrapState, Chunk, ChunkAck, ClientFrame, Code, ConversationId, Coverage, Entry,
    ErrorFrame, Fill, FillRefuse, Held, Progress, Seq, limits,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Devices that are given to at once. One more is refused for now: another main device gives, or it waits.
const FILLINGS_MAX: usize = 16;
/// Conversations that one filling may wait for. One more, and the filling is refused for now.
const CONVERSATIONS_MAX: usize = 64;
/// How long a chunk waits that was refused because others fill the window.
const WINDOW_RETRY: Duration = Duration::from_millis(200);

/// What could not be given now can perhaps be given after this time.
const REPORT_RETRY: Duration = Duration::from_secs(30);

/// What is read of the history. Answer with [`Machine::handle_held`], [`Machine::handle_latest`] or
/// [`Machine::handle_stretch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryQuery {
    /// [`crate::HistorySource::held`].
    Held,
    /// [`crate::HistorySource::latest`].
    Latest {
        /// The conversation.
        conversation: ConversationId,
        /// So many.
        entries: u32,
        /// Up to here.
        to: Seq,
    },
    /// [`crate::HistorySource::stretch`].
    Stretch {
        /// The conversation.
        conversation: ConversationId,
        /// The first.
        from: Seq,
        /// The last.
        to: Seq,
        /// As many as have so many bytes.
        bytes_max: usize,
    },
}

impl Machine {
    /// Tells the server what is here, anew. A device that is unfilled itself waits: its report would be taken for all
    /// that there is.
    pub(super) fn report_again(&mut self) {
        if self.giver.is_on && self.has_caught_up() && !self.is_unfilled() {
            self.effects.push_back(Effect::ReadHistory(HistoryQuery::Held));
        }
    }

    /// What the history holds.
    pub fn handle_held(&mut self, now: Instant, held: Result<Vec<Held>, StoreError>) {
        if !self.has_caught_up() || self.is_unfilled() {
            return;
        }
        let held = match held {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(%error, "cannot tell what could be given to other devices");
                self.giver.report_at = Some(now + REPORT_RETRY);
                return;
            }
        };
        let (cursors, feed) = (&self.replica.cursors, self.replica.feed);
        // Of a conversation that is not complete itself nothing is given.
        let is_whole = |held: &Held| {
            Some(held.conversation) != feed
                && cursors.get(&held.conversation).is_some_and(|cursor| cursor.seq >= held.from_seq)
        };
        let held: Vec<Held> = held.into_iter().filter(is_whole).collect();
        self.giver.told = Some(held.iter().map(|held| held.conversation).collect());
        self.giver.fresh.clear();
        let mut chunks = held.chunks(self.cursors_per_frame()).peekable();
        if chunks.peek().is_none() {
            self.effects.push_back(Effect::Write(coverage(Vec::new(), false)));
        }
        while let Some(chunk) = chunks.next() {
            let more = chunks.peek().is_some();
            self.effects.push_back(Effect::Write(coverage(chunk.to_vec(), more)));
        }
    }

    /// An entry is in the store: perhaps the first of its conversation.
    pub(super) fn note_held(&mut self, conversation: ConversationId, from_seq: Seq) {
        let is_feed = Some(conversation) == self.replica.feed;
        if let Some(told) = self.giver.told.as_mut().filter(|_| !is_feed)
            && told.insert(conversation)
        {
            self.giver.fresh.push(Held { conversation, from_seq });
        }
    }

    /// What there was of a conversation is not here any more.
    pub(super) fn note_not_held(&mut self, conversation: ConversationId) {
        if let Some(told) = &mut self.giver.told {
            told.remove(&conversation);
        }
    }

    pub(super) fn handle_fill(&mut self, now: Instant, fill: Fill) {
        let Fill { bootstrap, device, conversation, entries, from_seq, head, window, .. } = fill;
        // What it has and cannot read yet would be a hole in what it gives.
        let cursor = self.replica.stored(conversation);
        let is_new = !self.giver.fillings.contains_key(&bootstrap);
        if is_new && self.giver.fillings.len() >= FILLINGS_MAX {
            // Not every end is told to those who had nothing to give any more.
            self.giver.fillings.retain(|_, given| !given.jobs.is_empty());
        }
        let is_full = is_new && self.giver.fillings.len() >= FILLINGS_MAX;
        let Some(cursor) = cursor.filter(|_| self.giver.is_on) else {
            return self.refuse_to_fill(bootstrap, conversation);
        };
        if is_full {
            return self.refuse_all(now, bootstrap);
        }
        let window = window.max(1) as usize;
        let given =
            self.giver.fillings.entry(bootstrap).or_insert(Given { window, jobs: VecDeque::new(), passed: Vec::new() });
        given.window = window;
        // Asked again: from the beginning.
        given.forget(conversation);
        let to = cursor.min(head);
        let job = Job { conversation, entries, next: from_seq, to, number: 1, is_sent: false, not_before: None };
        let has_nothing = from_seq.is_some_and(|from| from > to) || to == Seq::ZERO;
        if has_nothing {
            return self.refuse_to_fill(bootstrap, conversation);
        }
        if given.jobs.len() >= CONVERSATIONS_MAX {
            return self.refuse_all(now, bootstrap);
        }
        given.jobs.push_back(job);
        if is_new {
            self.event(Event::Filling(Filling::Asked { bootstrap, device }));
        }
        self.pump_giving(now);
    }

    /// Reads the next piece, if there is something to give, and room for it.
    pub(super) fn pump_giving(&mut self, now: Instant) {
        if !self.giver.fresh.is_empty() && self.has_caught_up() {
            let fresh = std::mem::take(&mut self.giver.fresh);
            for chunk in fresh.chunks(self.cursors_per_frame()) {
                self.write(coverage(chunk.to_vec(), false));
            }
        }
        if self.giver.report_at.is_some_and(|at| at <= now) {
            self.giver.report_at = None;
            self.report_again();
        }
        if self.giver.reading.is_some() {
            return;
        }
        let bytes_max = self.chunk_bytes_max();
        let Some((bootstrap, job)) = self.giver.next(now) else { return };
        job.not_before = None;
        let (conversation, to) = (job.conversation, job.to);
        let query = match job.next {
            None => HistoryQuery::Latest { conversation, entries: job.entries, to },
            Some(from) => HistoryQuery::Stretch { conversation, from, to, bytes_max },
        };
        self.giver.reading = Some((bootstrap, conversation));
        self.effects.push_back(Effect::ReadHistory(query));
    }

    /// What of a chunk's body fits a frame, if nothing in it has to be escaped.
    fn chunk_bytes_max(&self) -> usize {
        limits::CHUNK_BYTES_MAX.min(self.limits.frame_bytes_max.saturating_sub(HEADER_BYTES))
    }

    /// Where the latest entries of a conversation begin.
    pub fn handle_latest(&mut self, now: Instant, latest: Result<Option<Seq>, StoreError>) {
        if let Some((bootstrap, job)) = self.giver.read() {
            match latest {
                Ok(Some(first)) => job.next = Some(first),
                Ok(None) => {
                    let conversation = job.conversation;
                    self.refuse_to_fill(bootstrap, conversation);
                }
                Err(error) => self.cannot_read(now, bootstrap, &error),
            }
        }
        self.pump_giving(now);
    }

    /// The next entries of a conversation.
    pub fn handle_stretch(&mut self, now: Instant, stretch: Result<Vec<Entry>, StoreError>) {
        let (frame_bytes, body_bytes) = (self.limits.frame_bytes_max, self.chunk_bytes_max());
        if let Some((bootstrap, job)) = self.giver.read() {
            let conversation = job.conversation;
            match stretch.map(|entries| job.pack(entries, body_bytes, frame_bytes)) {
                Ok(Some((from_seq, to_seq, body))) => {
                    self.giver.count(now);
                    self.give(bootstrap, conversation, from_seq, to_seq, body);
                }
                Ok(None) => self.refuse_to_fill(bootstrap, conversation),
                Err(error) => self.cannot_read(now, bootstrap, &error),
            }
        }
        self.pump_giving(now);
    }

    fn cannot_read(&mut self, now: Instant, bootstrap: BootstrapId, error: &StoreError) {
        tracing::warn!(%error, "cannot read what another device is to be given");
        self.refuse_all(now, bootstrap);
    }

    fn give(&mut self, bootstrap: BootstrapId, conversation: ConversationId, from_seq: Seq, to_seq: Seq, body: String) {
        let reference = self.next_reference();
        let Some(given) = self.giver.fillings.get_mut(&bootstrap) else { return };
        let Some(job) = given.job(conversation) else { return };
        let (number, last) = (job.number, to_seq == job.to);
        (job.number, job.next, job.is_sent) = (number + 1, Some(to_seq.next()), last);
        given.pass(Passed { reference, conversation, number, from: from_seq, to: to_seq });
        let digest = Chunk::digest_of(&body);
        let chunk =
            Box::new(Chunk { bootstrap, number, conversation, from_seq, to_seq, digest, last, sealed: None, body });
        self.write(ClientFrame::Bootstrap(BootstrapFrame::Chunk { reference: Some(reference), chunk }));
    }

    pub(super) fn handle_chunk_acked(&mut self, now: Instant, ack: ChunkAck) {
        let Some(given) = self.giver.fillings.get_mut(&ack.bootstrap) else { return };
        given.passed.retain(|passed| passed.conversation != ack.conversation || passed.to > ack.seq);
        given.jobs.retain(|job| job.conversation != ack.conversation || !job.is_sent || job.to > ack.seq);
        self.pump_giving(now);
    }

    /// A chunk was not passed on.
    pub(super) fn handle_chunk_refusal(&mut self, now: Instant, error: ErrorFrame) {
        let refused = self.giver.fillings.iter_mut().find_map(|(bootstrap, given)| {
            let passed = given.passed.iter().find(|passed| Some(passed.reference) == error.reference)?;
            let (conversation, number, from) = (passed.conversation, passed.number, passed.from);
            Some((*bootstrap, given, conversation, number, from))
        });
        let Some((bootstrap, given, conversation, number, from)) = refused else { return };
        // Those after it are refused too: their turn comes again with this one's.
        given.passed.retain(|passed| passed.conversation != conversation || passed.number < number);
        let wait = error.retry_after_ms.map(Duration::from_millis);
        let is_later = wait.is_some() || error.code.parse() == Ok(Code::ChunkWindow);
        if let Some(job) = given.job(conversation).filter(|_| is_later) {
            (job.number, job.next, job.is_sent) = (number, Some(from), false);
            job.not_before = Some(now + wait.unwrap_or(WINDOW_RETRY));
            return;
        }
        given.forget(conversation);
        if error.code.parse() != Ok(Code::NoSuchBootstrap) {
            self.refuse_to_fill(bootstrap, conversation);
        }
        self.pump_giving(now);
    }

    pub(super) fn handle_given_progress(&mut self, progress: Progress) {
        let is_over = matches!(progress.state, BootstrapState::Stopped | BootstrapState::Done);
        let is_given = match is_over {
            true => self.giver.fillings.remove(&progress.bootstrap).is_some(),
            false => self.giver.fillings.contains_key(&progress.bootstrap),
        };
        if is_given {
            self.event(Event::Filling(Filling::Progress(progress)));
        }
    }

    /// Nothing of this conversation is here.
    fn refuse_to_fill(&mut self, bootstrap: BootstrapId, conversation: ConversationId) {
        if let Some(given) = self.giver.fillings.get_mut(&bootstrap) {
            given.forget(conversation);
        }
        self.refuse(bootstrap, Some(conversation));
    }

    /// Nothing can be given now, though it may be here: the server asks others, or waits for the next report.
    fn refuse_all(&mut self, now: Instant, bootstrap: BootstrapId) {
        if let Some(given) = self.giver.fillings.get_mut(&bootstrap) {
            given.forget_all();
        }
        self.giver.report_at.get_or_insert(now + REPORT_RETRY);
        self.refuse(bootstrap, None);
    }

    fn refuse(&mut self, bootstrap: BootstrapId, conversation: Option<ConversationId>) {
        let refuse = FillRefuse { reference: None, bootstrap, conversation };
        self.write(ClientFrame::Bootstrap(BootstrapFrame::Refuse(refuse)));
    }
}

fn coverage(conversations: Vec<Held>, more: bool) -> ClientFrame {
    ClientFrame::Bootstrap(BootstrapFrame::Coverage(Coverage { conversations, more }))
}
