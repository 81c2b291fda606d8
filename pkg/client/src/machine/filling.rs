//! A device that is filled from a main one (I8).
//!
//! What is stored of a conversation before its last chunk is *partial*: it has no cursor, so that `resume` does not show it,
//! and the next `bootstrap` says where it stands. With the last chunk it gets its cursor, and the log goes on after it.

use super::sends::Refusal;
use super::{ANSWER_TIMEOUT, Asked, Machine};
use crate::{Change, ChunkFault, DisconnectReason, Event, Filling, SendError};
use lockstep_protocol::{
    BootstrapFrame, BootstrapId, BootstrapNews, BootstrapState, Chunk, ChunkAck, ClientFrame, Code, ConversationId,
    Cursor, Entry, ErrorFrame, Filled, Offset, Progress, Ref, Seq, Source, Start,
};
use std::time::Instant;

/// Where the filling of this device stands.
#[derive(Debug, Default)]
pub(super) struct Filler {
    /// What is asked for whenever the device is unfilled.
    wanted: Option<(u32, Source)>,
    /// Whether that is new, so that it is asked for although something was asked for already.
    is_new: bool,
    /// Whether the server says that the device is unfilled.
    is_unfilled: bool,
    /// The request without an answer. Until it comes, what comes belongs to the time before it.
    asked: Option<Ref>,
    /// Not before this moment.
    not_before: Option<Instant>,
    attempts: u32,
    /// Whether the server has refused it for as long as this connection lasts.
    is_refused: bool,
    /// The filling of this connection.
    id: Option<BootstrapId>,
}

impl Filler {
    pub(super) fn new(entries: Option<u32>) -> Self {
        Self { wanted: entries.map(|entries| (entries, Source::Main)), ..Self::default() }
    }

    pub(super) fn disconnected(&mut self) {
        *self = Self { wanted: self.wanted, ..Self::default() };
    }

    fn may_ask(&self) -> bool {
        let is_idle = self.id.is_none() && !self.is_refused;
        self.is_unfilled && self.wanted.is_some() && self.asked.is_none() && (is_idle || self.is_new)
    }

    /// When it is to be asked again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.may_ask())
    }

    fn is_running(&self, bootstrap: BootstrapId) -> bool {
        self.asked.is_none() && self.id == Some(bootstrap)
    }
}

impl Machine {
    /// The application wants this device to be filled, now and on later connections, as long as it is unfilled.
    pub fn handle_bootstrap(&mut self, now: Instant, entries: u32, source: Source) {
        self.filler.wanted = Some((entries, source));
        (self.filler.is_new, self.filler.not_before) = (true, None);
        self.pump_filling(now);
    }

    /// The server says whether the device is unfilled, and whether its store is the one that the device knows.
    pub(super) fn begin_filling(&mut self, is_unfilled: bool, is_same_store: bool) {
        self.filler.is_unfilled = is_unfilled;
        let partial: Vec<ConversationId> = self.replica.partial.keys().copied().collect();
        for (index, conversation) in partial.into_iter().enumerate() {
            if !is_same_store || (is_unfilled && index >= self.cursors_per_frame()) {
                // Nothing tells whether it is the same log, or there is no room to say where it stands.
                self.drop_partial(conversation);
            }
        }
        if !is_unfilled {
            self.end_partials();
        }
    }

    pub(super) fn is_unfilled(&self) -> bool {
        self.filler.is_unfilled
    }

    /// Asks to be filled, if that is wanted. What comes about it comes after the last `resume` is answered.
    pub(super) fn pump_filling(&mut self, now: Instant) {
        let is_due = self.filler.not_before.is_none_or(|at| at <= now);
        let Some((entries, source)) = self.filler.wanted.filter(|_| self.filler.may_ask() && is_due) else { return };
        if !self.has_caught_up() {
            return;
        }
        let reference = self.ask(Asked::Bootstrap);
        (self.filler.asked, self.filler.is_new) = (Some(reference), false);
        (self.filler.not_before, self.filler.attempts) = (None, self.filler.attempts + 1);
        let place = |(conversation, seq): (&ConversationId, &Seq)| Offset { conversation: *conversation, seq: *seq };
        let at = self.replica.partial.iter().map(place).take(self.cursors_per_frame()).collect();
        let start = Start { reference: Some(reference), entries, at, source };
        self.write(ClientFrame::Bootstrap(BootstrapFrame::Start(start)));
    }

    pub(super) fn handle_bootstrap_refusal(&mut self, now: Instant, error: ErrorFrame) {
        self.filler.asked = None;
        if error.code.parse() == Ok(Code::TooManyBootstraps) {
            // Others have to be filled first.
            self.filler.not_before = Some(now + ANSWER_TIMEOUT);
            return;
        }
        if error.code.parse() == Ok(Code::NotUnfilled) {
            self.filler.is_unfilled = false;
            self.report_again();
        }
        match self.judge(now, self.filler.attempts, error) {
            Refusal::Later { at, .. } => self.filler.not_before = Some(at),
            Refusal::Final(error) => {
                self.filler.is_refused = true;
                if let SendError::Refused { code, message } = error {
                    self.event(Event::Filling(Filling::Refused { code, message }));
                }
            }
        }
    }

    pub(super) fn handle_bootstrap_news(&mut self, now: Instant, news: BootstrapNews) {
        match news {
            BootstrapNews::BootstrapStarted { reference, bootstrap, total, done } => {
                if reference.is_some() && reference == self.filler.asked {
                    reference.map(|reference| self.asked.remove(&reference));
                    (self.filler.asked, self.filler.id, self.filler.attempts) = (None, Some(bootstrap), 0);
                    self.event(Event::Filling(Filling::Started { bootstrap, done, total }));
                }
            }
            BootstrapNews::BootstrapConversation(about) => {
                if self.filler.is_running(about.bootstrap) {
                    self.event(Event::Filling(Filling::Conversation(about)));
                }
            }
            BootstrapNews::Chunk(chunk) => {
                if self.filler.is_running(chunk.bootstrap) {
                    self.handle_chunk(now, *chunk);
                }
            }
            BootstrapNews::Fill(fill) => self.handle_fill(now, fill),
            BootstrapNews::ChunkAcked(ack) => self.handle_chunk_acked(now, ack),
            BootstrapNews::BootstrapProgress(progress) if self.filler.id == Some(progress.bootstrap) => {
                self.handle_own_progress(now, progress);
            }
            BootstrapNews::BootstrapProgress(progress) => self.handle_given_progress(progress),
        }
    }

    fn handle_chunk(&mut self, now: Instant, chunk: Chunk) {
        let Chunk { bootstrap, conversation, from_seq, to_seq, last, .. } = chunk;
        let ack = ChunkAck { bootstrap, conversation, seq: to_seq };
        if self.replica.cursors.get(&conversation).is_some_and(|cursor| to_seq <= cursor.seq) {
            // It is here already. Without a word of it, the filling would not go on.
            return self.staged.push_chunk_ack(self.connection, ack);
        }
        let entries = match self.open_chunk(&chunk) {
            Ok(entries) => entries,
            Err(fault) => return self.disconnect(now, DisconnectReason::Chunk { conversation, fault }),
        };
        self.counters.entries += entries.len() as u64;
        for entry in &entries {
            self.staged.change(Change::Past(entry.clone()));
        }
        let newest = entries.last().filter(|entry| entry.seq == to_seq).map(|entry| entry.id);
        let place = Offset { conversation, seq: to_seq };
        self.replica.set_partial(conversation, Some(to_seq));
        if last {
            self.end_partial(conversation, Some(Cursor { seq: to_seq, entry: newest }));
        } else {
            self.staged.change(Change::Partial(place));
        }
        self.event(Event::Filling(Filling::Entries { conversation, from: from_seq, to: to_seq, entries, last }));
        self.staged.push_chunk_ack(self.connection, ack);
    }

    /// The entries of a chunk that is the next of its conversation.
    fn open_chunk(&self, chunk: &Chunk) -> Result<Vec<Entry>, ChunkFault> {
        let Chunk { conversation, from_seq, to_seq, .. } = *chunk;
        let follows = !self.replica.cursors.contains_key(&conversation)
            && self.replica.partial.get(&conversation).is_none_or(|seq| from_seq == seq.next());
        if !follows || from_seq == Seq::ZERO || to_seq.next() < from_seq {
            return Err(ChunkFault::Order);
        }
        if chunk.sealed.is_some() {
            return Err(ChunkFault::Sealed);
        }
        if !chunk.is_whole() {
            return Err(ChunkFault::Digest);
        }
        let entries: Vec<Entry> = serde_json::from_str(&chunk.body).map_err(|_| ChunkFault::Body)?;
        let mut next = from_seq;
        for entry in &entries {
            if entry.conversation != conversation || entry.seq < next || entry.seq > to_seq {
                return Err(ChunkFault::Body);
            }
            next = entry.seq.next();
        }
        Ok(entries)
    }

    /// Nobody gives a conversation's entries up to here: what follows comes by chunks or, once it is filled, by the log.
    pub(super) fn handle_unheld(&mut self, conversation: ConversationId, to: Seq) {
        if self.filler.asked.is_some() {
            return;
        }
        self.replica.set_partial(conversation, Some(to));
        self.staged.change(Change::Partial(Offset { conversation, seq: to }));
    }

    fn handle_own_progress(&mut self, now: Instant, progress: Progress) {
        if let Some(Filled { conversation, seq, .. }) = progress.filled {
            match self.replica.partial.get(&conversation) {
                Some(partial) if *partial < seq => {
                    let expected = partial.next();
                    return self.handle_gap(now, conversation, expected, seq.next());
                }
                Some(_) => self.end_partial(conversation, None),
                None if self.replica.cursors.contains_key(&conversation) => {}
                None => self.end_partial(conversation, Some(Cursor { seq, entry: None })),
            }
        }
        let (bootstrap, is_done) = (progress.bootstrap, progress.state == BootstrapState::Done);
        self.event(Event::Filling(Filling::Progress(progress)));
        if is_done {
            (self.filler.is_unfilled, self.filler.id) = (false, None);
            self.end_partials();
            self.event(Event::Filling(Filling::Done { bootstrap }));
            self.report_again();
        }
    }

    /// The device is filled: the log goes on wherever it stands.
    fn end_partials(&mut self) {
        let partial: Vec<ConversationId> = self.replica.partial.keys().copied().collect();
        partial.into_iter().for_each(|conversation| self.end_partial(conversation, None));
    }

    /// A conversation is filled: it gets its cursor.
    pub(super) fn end_partial(&mut self, conversation: ConversationId, cursor: Option<Cursor>) {
        let partial = self.replica.partial.get(&conversation).map(|seq| Cursor { seq: *seq, entry: None });
        let Some(cursor) = cursor.or(partial) else { return };
        self.replica.set_partial(conversation, None);
        self.replica.move_cursor(conversation, cursor);
        self.staged.change(Change::Filled { conversation, cursor });
    }

    /// What there is of a conversation is of no use any more.
    pub(super) fn drop_partial(&mut self, conversation: ConversationId) {
        if self.replica.partial.contains_key(&conversation) {
            self.replica.set_partial(conversation, None);
            self.staged.change(Change::PartialDropped(conversation));
            self.event(Event::Filling(Filling::Dropped(conversation)));
        }
    }
}
