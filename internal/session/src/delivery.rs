//! Delivery (I3): each conversation's entries in order, once, live from the broker or read from the log.

use crate::session::Phase;
use crate::{Event, Session};
use lockstep_model::{Ask, Code, ConversationId, FeedChange, LogChange, Page, Seq, SharedEntry};
use std::time::Duration;

/// How much of a page was delivered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Took {
    /// All of it.
    All,
    /// As much as there was room for; the rest will be read again.
    Part,
    /// Up to the entry by which the user leaves.
    End,
}

impl Session {
    /// An entry as the broker brought it: below the next expected it is a duplicate, equal it is delivered, above it
    /// there is a gap. While a read is under way, its page may end just below the entry.
    pub(crate) fn handle_entry(&mut self, entry: SharedEntry, now: Duration) {
        let (conversation, seq) = (entry.conversation, entry.seq);
        if let Some(row) = self.topics.followed(conversation) {
            let topic = &self.topics[row];
            if seq < topic.next {
                return;
            }
            if topic.live && seq == topic.next {
                return self.deliver_live(row, entry, now);
            }
            let until = now + self.config.reorder_grace;
            if (topic.live || topic.reading) && self.held.keep(entry, until, self.config.held_max) {
                return;
            }
        }
        self.handle_head(conversation, seq);
    }

    /// The log reaches at least this far.
    pub(crate) fn handle_head(&mut self, conversation: ConversationId, head: Seq) {
        let Some(row) = self.topics.followed(conversation) else {
            return self.early.note(conversation, head, self.config.held_max);
        };
        let topic = &mut self.topics[row];
        if head < topic.next {
            return;
        }
        if topic.live {
            self.fall_behind(conversation, head);
        } else {
            topic.saw_head(head);
            self.queue_read(conversation);
        }
    }

    fn deliver_live(&mut self, row: usize, entry: SharedEntry, now: Duration) {
        let conversation = entry.conversation;
        let mut next = Some(entry);
        while let Some(entry) = next {
            if !self.has_room(row, &entry) {
                return self.fall_behind(conversation, entry.seq);
            }
            let seq = entry.seq;
            let ends = self.note_delivery(row, &entry, now);
            self.emit(Event::Entry(entry));
            if ends {
                return self.end_stay(row);
            }
            next = if self.held.is_empty() { None } else { self.held.take(conversation, seq.next()) };
        }
    }

    /// A stretch of the log.
    pub(crate) fn handle_page(&mut self, page: Page, now: Duration) {
        let Some(row) = self.topics.find(page.conversation) else { return };
        let topic = &mut self.topics[row];
        if !topic.reading {
            return;
        }
        topic.reading = false;
        self.reads -= 1;
        if topic.marks.ended() {
            return;
        }
        let next = topic.next;
        if let Some(skip) = page.skip {
            if topic.in_flight() > 0 {
                topic.marks.set_draining(true);
                topic.saw_head(page.head.max(skip.to));
                return;
            }
            topic.advance_to(skip.to.next().max(topic.next));
            topic.acked = topic.next.previous();
            self.emit(Event::Skip { conversation: page.conversation, skip });
            self.ask(Ask::Acked { conversation: page.conversation, seq: skip.to });
        }
        match self.deliver_page(row, page.entries, now) {
            Took::End => return self.end_stay(row),
            Took::All if page.ended => return self.end_stay(row),
            // The log says that there is more and does not give it: reading on would never end.
            Took::All if self.topics[row].next == next && page.head >= next => return self.close(Code::Unavailable),
            Took::All | Took::Part => {}
        }
        self.settle(row, page.head, now);
    }

    /// Delivers as much of a page as the window takes, and nothing after the entry by which the user leaves.
    fn deliver_page(&mut self, row: usize, mut entries: Vec<SharedEntry>, now: Duration) -> Took {
        let mut count = 0;
        let mut took = Took::All;
        for entry in &entries {
            if entry.seq != self.topics[row].next {
                break;
            }
            if !self.has_room(row, entry) {
                took = Took::Part;
                break;
            }
            count += 1;
            if self.note_delivery(row, entry, now) {
                took = Took::End;
                break;
            }
        }
        entries.truncate(count);
        match entries.len() {
            0 => {}
            // One entry alone shares the frame that live delivery uses.
            1 => entries.into_iter().for_each(|entry| self.emit(Event::Entry(entry))),
            _ => self.emit(Event::Entries(entries)),
        }
        took
    }

    /// The user's stay is over (I11). The row stays for what is not acknowledged; what is heard of the conversation from
    /// now on is as of one that is not followed. The engine closes the consumer, or says that the user is a member again.
    fn end_stay(&mut self, row: usize) {
        let topic = &mut self.topics[row];
        let conversation = topic.conversation;
        (topic.live, topic.ahead) = (false, 0);
        topic.marks.set_ended(true);
        let is_over = topic.is_over();
        self.follow_on(row);
        self.held.forget(conversation);
        if is_over {
            self.topics.remove(conversation);
        }
    }

    /// After a read: live again if the log's head is reached, else the next read.
    fn settle(&mut self, row: usize, head: Seq, now: Duration) {
        let topic = &mut self.topics[row];
        let (conversation, next) = (topic.conversation, topic.next);
        topic.saw_head(head);
        if topic.ahead > 0 {
            return self.queue_read(conversation);
        }
        topic.live = true;
        self.note_caught_up(row);
        if let Some(entry) = self.held.take(conversation, next) {
            self.deliver_live(row, entry, now);
        }
    }

    /// The conversation has brought what was missed.
    fn note_caught_up(&mut self, row: usize) {
        let marks = &mut self.topics[row].marks;
        if marks.catching_up() {
            marks.set_catching_up(false);
            self.note_one_caught_up();
        }
    }

    /// One of those that `caught_up` waited for has brought all.
    pub(crate) fn note_one_caught_up(&mut self) {
        self.catching_up -= 1;
        if self.catching_up == 0 {
            self.emit(Event::CaughtUp);
        }
    }

    fn has_room(&mut self, row: usize, entry: &SharedEntry) -> bool {
        self.topics[row].in_flight() < self.config.window_entries
            && self.window.has_room(entry.cost_bytes(), self.config.window_bytes)
    }

    /// Moves the conversation past an entry that is being delivered. True if it is the one by which the user leaves.
    fn note_delivery(&mut self, row: usize, entry: &SharedEntry, now: Duration) -> bool {
        self.topics[row].advance_to(entry.seq.next());
        self.window.push(entry.conversation, entry.seq, entry.cost_bytes(), now);
        let Some(home) = &self.home else { return false };
        if home.feed != entry.conversation {
            return LogChange::ends_stay(entry, &home.user);
        }
        self.note_settings(entry);
        if let Some(FeedChange::ConversationAdded { conversation, .. }) = FeedChange::of(entry)
            && self.topics.followed(conversation).is_none()
        {
            self.follow(conversation);
        }
        false
    }

    /// Leaves live mode: what comes next is read from the log, which is said to reach `head`.
    fn fall_behind(&mut self, conversation: ConversationId, head: Seq) {
        let held_head = self.held.forget(conversation);
        let Some(topic) = self.topics.get_mut(conversation) else { return };
        topic.live = false;
        topic.saw_head(held_head.map_or(head, |held| held.max(head)));
        self.queue_read(conversation);
    }

    /// Queues a conversation in log mode for its next read, if it has something to read and room for it.
    pub(crate) fn queue_read(&mut self, conversation: ConversationId) {
        let window = self.config.window_entries;
        let Some(topic) = self.topics.get_mut(conversation) else { return };
        if topic.live || topic.queued || topic.reading || topic.ahead == 0 || topic.marks.unfilled() {
            return;
        }
        // A quarter of the window, so that a device that acknowledges one by one does not cause a read for each.
        let room = window - topic.in_flight().min(window);
        let enough = if topic.marks.draining() { window } else { (window / 4).max(1) };
        if room >= enough {
            topic.queued = true;
            self.read_queue.push_back(conversation);
        }
    }

    /// Asks for as many reads as are allowed at once.
    pub(crate) fn pump(&mut self) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        while self.reads < self.config.reads_max && !self.window.is_full() {
            let Some(conversation) = self.read_queue.pop_front() else {
                // The queue of a long catch-up gives its memory back.
                if self.read_queue.capacity() > 64 {
                    self.read_queue = Default::default();
                }
                return;
            };
            let (window, page) = (self.config.window_entries, u64::from(self.config.page_entries));
            let Some(topic) = self.topics.get_mut(conversation) else { continue };
            topic.queued = false;
            topic.marks.set_draining(false);
            let count = (window - topic.in_flight().min(window)).min(page) as u32;
            let from = topic.next;
            let head = Seq::new(from.get() + u64::from(topic.ahead) - 1);
            topic.reading = true;
            topic.ahead = 0;
            self.reads += 1;
            self.ask(Ask::Read { conversation, from, count, head });
        }
    }
}
