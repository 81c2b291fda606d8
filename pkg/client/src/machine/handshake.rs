//! The life of a connection: connect, hello, welcome, resume; how it ends and when the next begins.

use super::{ConnectError, Effect, Machine};
use crate::{Change, DisconnectReason, Event, StopReason, TokenReason};
use lockstep_protocol::{ClientFrame, Code, Epoch, ErrorFrame, Hello, Resume, Shown, Welcome};
use std::time::{Duration, Instant};

/// A connection that lives so long after it caught up has shown that the way works: the next failure is a first one.
const STABLE: Duration = Duration::from_secs(5);
/// The server is taken for gone after this many tenths of a heartbeat period without a word.
const SILENCE_TENTHS: u32 = 25;
/// Bounds for the period that the server names.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 10..=3_600_000;

/// Where the connection stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// There is none; the next begins at `until`.
    Waiting { until: Instant, reason: TokenReason },
    /// A token or a connection is awaited.
    Connecting,
    /// `hello` was written.
    Greeting { deadline: Instant },
    /// `welcome` came.
    Live(Live),
    /// There will be none.
    Stopped,
}

#[derive(Debug)]
pub(super) struct Live {
    /// When the last frame came.
    heard_at: Instant,
    /// The store's identity now.
    epoch: Epoch,
    /// When all that had been missed was there.
    caught_up_at: Option<Instant>,
}

impl Machine {
    /// The connection is open; this token goes into `hello`.
    pub fn handle_connected(&mut self, now: Instant, token: &str) {
        if !matches!(self.phase, Phase::Connecting) {
            return;
        }
        self.connection += 1;
        self.phase = Phase::Greeting { deadline: now + self.settings.connect_timeout };
        let feed = self.replica.feed.and_then(|feed| self.replica.cursors.get(&feed)).copied();
        self.write(ClientFrame::Hello(Hello {
            reference: None,
            token: token.into(),
            epoch: self.replica.epoch,
            feed,
            offsets_version: self.replica.offsets_version,
        }));
    }

    /// No connection came about.
    pub fn handle_not_connected(&mut self, now: Instant, error: ConnectError) {
        if !matches!(self.phase, Phase::Connecting) {
            return;
        }
        match error {
            ConnectError::TokenDenied(message) => self.stop(StopReason::Token(message)),
            ConnectError::TokenUnavailable(message) => self.disconnect(now, DisconnectReason::Token(message)),
            ConnectError::Unreachable(message) => self.disconnect(now, DisconnectReason::Unreachable(message)),
        }
    }

    /// The connection is closed, with this WebSocket close code if one came.
    pub fn handle_closed(&mut self, now: Instant, close: Option<u16>) {
        match close.and_then(Code::from_close) {
            Some(code) => self.closed_by(now, ErrorFrame::of(code, None)),
            None => self.disconnect(now, DisconnectReason::Broken),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    pub(super) fn has_caught_up(&self) -> bool {
        matches!(&self.phase, Phase::Live(live) if live.caught_up_at.is_some())
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if let Phase::Live(live) = &mut self.phase {
            live.heard_at = now;
        }
    }

    pub(super) fn life_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Waiting { until, .. } => Some(*until),
            Phase::Greeting { deadline } => Some(*deadline),
            Phase::Live(live) => Some(live.heard_at + self.silence_max()),
            Phase::Connecting | Phase::Stopped => None,
        }
    }

    fn silence_max(&self) -> Duration {
        let period = self.limits.heartbeat_ms.clamp(*HEARTBEAT_MS.start(), *HEARTBEAT_MS.end());
        Duration::from_millis(period) * SILENCE_TENTHS / 10
    }

    pub(super) fn check_life(&mut self, now: Instant) {
        if self.life_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if let Phase::Waiting { reason, .. } = self.phase {
            self.phase = Phase::Connecting;
            self.effects.push_back(Effect::Connect(reason));
        } else {
            self.disconnect(now, DisconnectReason::Silent);
        }
    }

    pub(super) fn handle_welcome(&mut self, now: Instant, welcome: Welcome) {
        let Welcome { epoch, user, device, feed, unfilled, limits, .. } = welcome;
        if self.replica.user.as_ref().is_some_and(|owner| *owner != user) {
            return self.stop(StopReason::OtherUser);
        }
        if self.replica.user.is_none() || self.replica.feed != Some(feed) {
            self.replica.set_identity(user.clone(), feed);
            self.staged.change(Change::Identity { user: user.clone(), feed });
        }
        if self.replica.epoch.is_some_and(|known| known != epoch) {
            // Offsets only rise within an epoch: those of the old one say nothing now.
            self.replica.drop_offsets();
            self.staged.change(Change::OffsetsDropped);
        }
        self.limits = limits;
        self.begin_filling(unfilled, self.replica.epoch == Some(epoch));
        // Of a store that is another one now, the server compares all that the device has; an unfilled device is filled
        // with what it does not show.
        let show_left = unfilled || self.replica.epoch != Some(epoch);
        if self.replica.cursors.is_empty() {
            self.replica.set_epoch(epoch);
            self.staged.change(Change::Epoch(epoch));
        }
        self.counters.connects += 1;
        self.phase = Phase::Live(Live { heard_at: now, epoch, caught_up_at: None });
        self.event(Event::Connected { device, user, feed, epoch });
        self.write_resume(show_left);
        self.pump_sends(now);
    }

    /// Shows all cursors but the feed's, which stood in `hello`, and, unless `show_left`, those of conversations that the
    /// user has left: the server knows as well how far the device has come in them, and they grow in number. At least one frame: the server
    /// waits for the last.
    fn write_resume(&mut self, show_left: bool) {
        let feed = self.replica.feed;
        let left = &self.replica.left;
        let shown: Vec<Shown> = self
            .replica
            .cursors
            .iter()
            .filter(|(conversation, _)| Some(**conversation) != feed && (show_left || !left.contains(conversation)))
            .map(|(conversation, cursor)| Shown { conversation: *conversation, cursor: *cursor })
            .collect();
        let mut chunks = shown.chunks(self.cursors_per_frame()).peekable();
        if chunks.peek().is_none() {
            self.effects.push_back(Effect::Write(ClientFrame::Resume(Resume::default())));
        }
        while let Some(chunk) = chunks.next() {
            let resume = Resume { conversations: chunk.to_vec(), more: chunks.peek().is_some() };
            self.effects.push_back(Effect::Write(ClientFrame::Resume(resume)));
        }
    }

    pub(super) fn handle_caught_up(&mut self, now: Instant) {
        let Phase::Live(live) = &mut self.phase else { return };
        live.caught_up_at.get_or_insert(now);
        let epoch = live.epoch;
        // Not before: until every reset has come, old cursors must be shown under the old epoch, or the server would
        // take them for good.
        if self.replica.epoch != Some(epoch) {
            self.replica.set_epoch(epoch);
            self.staged.change(Change::Epoch(epoch));
        }
        self.event(Event::CaughtUp);
        self.write_watch();
        self.report_again();
        self.pump(now);
    }

    /// A request failed, or the connection is about to close.
    pub(super) fn handle_error(&mut self, now: Instant, error: ErrorFrame) {
        if error.close {
            return self.closed_by(now, error);
        }
        match error.reference.and_then(|reference| self.asked.remove(&reference)) {
            Some(asked) => self.handle_refusal(now, asked, error),
            None if self.giver.has_passed(error.reference) => self.handle_chunk_refusal(now, error),
            None => tracing::warn!(code = %error.code, "the server refused a frame"),
        }
    }

    fn closed_by(&mut self, now: Instant, error: ErrorFrame) {
        let code: Option<Code> = error.code.parse().ok();
        if !error.reconnect {
            return self.stop(StopReason::Refused { code, message: error.message.into_owned() });
        }
        let token = match (error.new_token, code) {
            (false, _) => TokenReason::Connect,
            (true, code) => TokenReason::Refused(code.unwrap_or(Code::TokenInvalid)),
        };
        let advice = error.retry_after_ms.map(Duration::from_millis);
        let reason = DisconnectReason::Server { code: error.code.into_owned(), message: error.message.into_owned() };
        self.leave(now, reason, advice, token);
    }

    /// The connection is over for a reason of ours, or of the network's.
    pub(super) fn disconnect(&mut self, now: Instant, reason: DisconnectReason) {
        self.leave(now, reason, None, TokenReason::Connect);
    }

    fn leave(&mut self, now: Instant, reason: DisconnectReason, advice: Option<Duration>, token: TokenReason) {
        if matches!(self.phase, Phase::Waiting { .. } | Phase::Stopped) {
            return;
        }
        let stable = |live: &Live| live.caught_up_at.is_some_and(|at| now.saturating_duration_since(at) >= STABLE);
        let faultless = !matches!(
            reason,
            DisconnectReason::Gap { .. }
                | DisconnectReason::Chunk { .. }
                | DisconnectReason::Protocol(_)
                | DisconnectReason::Store(_)
        );
        if faultless && matches!(&self.phase, Phase::Live(live) if stable(live)) {
            self.backoff.reset();
        }
        let at_once = token != TokenReason::Connect && self.backoff.failures() == 0;
        let wait = self.backoff.after_failure(advice, &mut self.rng);
        let wait = if at_once { Duration::ZERO } else { wait };
        self.end_connection();
        self.phase = Phase::Waiting { until: now + wait, reason: token };
        self.event(Event::Disconnected { reason, retry_in: wait });
    }

    pub(super) fn stop(&mut self, reason: StopReason) {
        if matches!(self.phase, Phase::Stopped) {
            return;
        }
        self.end_connection();
        self.phase = Phase::Stopped;
        self.event(Event::Stopped(reason));
    }

    fn end_connection(&mut self) {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            self.effects.push_back(Effect::Close);
        }
        self.acks.clear();
        self.asked.clear();
        self.outbox.disconnected();
        self.reads.disconnected();
        self.filler.disconnected();
        self.giver.disconnected();
        self.sends_paused_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_protocol::Advice;

    #[test]
    fn a_frame_says_what_the_table_says() {
        for spec in Code::TABLE {
            let frame = ErrorFrame::of(spec.code, None);
            let expected = match spec.advice {
                Advice::Keep => (false, false, false),
                Advice::Reconnect { .. } => (true, true, false),
                Advice::NewToken => (true, true, true),
                Advice::Stop => (true, false, false),
            };
            assert_eq!((frame.close, frame.reconnect, frame.new_token), expected, "{}", spec.name);
        }
    }
}
