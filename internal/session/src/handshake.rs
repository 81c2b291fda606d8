//! From the first byte to the first entry: hello, welcome, resume, the conversations open.

use crate::session::{Home, Phase};
use crate::topics::{Topic, Topics};
use crate::{Admitted, Effect, Event, Hello, Session};
use lockstep_model::{Ask, Code, Offset, ResumePoint, Seq, Shown};
use std::time::{Duration, Instant};

impl Session {
    pub(crate) fn handle_hello(&mut self, hello: Hello, now: Duration) {
        if !matches!(self.phase, Phase::Hello { .. }) {
            return self.fail(hello.reference, Code::HelloTwice);
        }
        let Hello { ref token, epoch, offsets_version, .. } = hello;
        self.effects.push_back(Effect::Authenticate { token: token.clone(), epoch, offsets_version });
        self.phase = Phase::Admission(Box::new(Hello { token: String::new(), ..hello }));
        self.heartbeat_at = now + self.config.heartbeat;
    }

    /// The device is let in.
    pub fn handle_admitted(&mut self, admitted: Admitted, now: Instant) {
        let Phase::Admission(hello) = &mut self.phase else { return };
        let Hello { reference, epoch, feed, .. } = **hello;
        self.offsets_version = admitted.offsets_version;
        let (user, receipts) = (admitted.user.clone(), admitted.receipts);
        self.home = Some(Box::new(Home { user, feed: admitted.feed, epoch: admitted.epoch, receipts }));
        let verify = epoch != Some(admitted.epoch);
        let shown = feed.map(|cursor| Shown { conversation: admitted.feed, cursor }).into_iter().collect();
        let now = self.since_start(now);
        let until = now + self.config.hello_timeout;
        self.heartbeat_at = now + self.config.heartbeat;
        self.phase = Phase::Resume { until, shown, verify };
        self.emit(Event::Welcome { reference, admitted: Box::new(admitted) });
    }

    /// The device is not let in.
    pub fn handle_refused(&mut self, code: Code) {
        if matches!(self.phase, Phase::Admission(_)) {
            self.close(if code.closes() { code } else { Code::Internal });
        }
    }

    pub(crate) fn handle_resume(&mut self, more_shown: Vec<Shown>, more: bool, now: Duration) {
        let Phase::Resume { shown, verify, .. } = &mut self.phase else {
            return self.fail(None, Code::ResumeTwice);
        };
        if shown.len() + more_shown.len() > self.config.shown_max {
            return self.fail(None, Code::BadFrame);
        }
        shown.extend(more_shown);
        if more {
            return;
        }
        let (shown, verify) = (std::mem::take(shown), *verify);
        self.phase = Phase::Opening;
        self.heartbeat_at = now + self.config.heartbeat;
        self.ask(Ask::Resume { shown, verify });
    }

    pub(crate) fn handle_resumed(&mut self, points: Vec<ResumePoint>) {
        if !matches!(self.phase, Phase::Opening) {
            return;
        }
        self.phase = Phase::Open;
        self.take_topics(&points);
        for point in &points {
            self.announce_reset(point);
            self.handle_head(point.conversation, point.head);
            // Told to be dropped, and nothing of it is left to bring.
            if point.ended && self.topics.get(point.conversation).is_some_and(|topic| topic.next > point.head) {
                self.topics.remove(point.conversation);
            }
        }
        for Offset { conversation, seq } in self.early.take_all() {
            self.handle_head(conversation, seq);
        }
        if self.early.is_missed() {
            self.recheck();
        }
        for topic in self.topics.behind() {
            topic.marks.set_catching_up(true);
            self.catching_up += 1;
        }
        if self.catching_up == 0 {
            self.emit(Event::CaughtUp);
        }
    }

    pub(crate) fn take_topics(&mut self, points: &[ResumePoint]) {
        if self.topics.is_empty() {
            self.topics = Topics::new(points.iter().map(topic_at).collect());
        } else {
            for point in points {
                self.topics.insert(topic_at(point));
            }
        }
    }

    pub(crate) fn handle_followed(&mut self, point: ResumePoint) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let ResumePoint { conversation, head, .. } = point;
        let catching_up = self.note_followed(conversation);
        let heard = self.early.take(conversation).map_or(head, |early| early.seq.max(head));
        match self.topics.get_mut(conversation) {
            // A member again, before all of the last stay is acknowledged.
            Some(topic) if topic.marks.ended() => topic.resume(),
            Some(_) => {}
            None => {
                self.topics.insert(topic_at(&point));
                self.announce_reset(&point);
            }
        }
        self.handle_head(conversation, heard);
        if catching_up {
            self.go_on_catching_up(conversation);
        }
        if self.early.is_missed() {
            self.ask(Ask::Recheck { conversations: vec![conversation], offsets_version: self.offsets_version });
        }
    }

    fn announce_reset(&mut self, point: &ResumePoint) {
        if let (true, Some(home)) = (point.reset, &self.home) {
            let epoch = home.epoch;
            let ResumePoint { conversation, floor, head, .. } = *point;
            self.emit(Event::Reset { conversation, epoch, floor, head });
        }
    }
}

fn topic_at(point: &ResumePoint) -> Topic {
    let cursor = if point.reset { point.floor.previous() } else { point.cursor };
    let mut topic = Topic::after(point.conversation, cursor.min(Seq::MAX.previous()));
    topic.live = !point.unfilled;
    topic.marks.set_unfilled(point.unfilled);
    topic
}
