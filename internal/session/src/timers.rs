//! Time: deadlines of the handshake, heartbeats, overdue acknowledgements, the grace for reordering.

use crate::session::Phase;
use crate::{Event, Session, window};
use lockstep_model::Code;
use std::time::{Duration, Instant};

impl Session {
    /// When `handle_timeout` is to be called next, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Closed => return None,
            Phase::Hello { until } | Phase::Resume { until, .. } => Some(until),
            Phase::Admission(_) | Phase::Opening | Phase::Open => None,
        };
        let overdue = self.window.oldest().map(|at| at + self.config.ack_timeout);
        let times = [phase, overdue, self.held.until(), Some(self.heartbeat_at), Some(self.age_max())];
        times.into_iter().flatten().min().map(|at| self.started + at)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.since_start(now);
        let due = |at: Duration| at <= now;
        match self.phase {
            Phase::Closed => return,
            Phase::Hello { until } | Phase::Resume { until, .. } if due(until) => {
                return self.close(Code::HelloTimeout);
            }
            _ => {}
        }
        if due(self.age_max()) {
            return self.close(Code::SessionAge);
        }
        if self.window.oldest().is_some_and(|at| due(at + self.config.ack_timeout)) {
            return self.close(Code::AckTimeout);
        }
        if self.held.until().is_some_and(due) {
            for entry in self.held.take_all() {
                self.handle_head(entry.conversation, entry.seq);
            }
        }
        if due(self.heartbeat_at) {
            self.beat(now);
        }
        self.pump();
    }

    fn age_max(&self) -> Duration {
        let renewed_at = Duration::from_millis(self.renewed_at_ms.into());
        (renewed_at + self.config.age_max).min(window::AGE_MAX)
    }

    fn beat(&mut self, now: Duration) {
        match self.phase {
            // The device has not begun; the hello has a deadline of its own.
            Phase::Hello { .. } => {
                self.heartbeat_at = now + self.config.heartbeat;
                return;
            }
            // The engine has been silent, while the device's frames are left unread.
            Phase::Admission(_) | Phase::Opening => return self.close(Code::Unavailable),
            Phase::Resume { .. } | Phase::Open | Phase::Closed => {}
        }
        if self.heartbeats_missed >= 2 {
            return self.close(Code::HeartbeatTimeout);
        }
        self.heartbeats_missed += 1;
        self.heartbeat_at = now + self.config.heartbeat;
        self.emit(Event::Heartbeat);
        // A quiet connection keeps no memory of its bursts.
        self.window.trim();
        if self.effects.capacity() > 16 {
            self.effects.shrink_to(4);
        }
    }
}
