//! What became of events: counted one by one, told in the log once per outage.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// An outage is over when something was published and nothing was dropped for so long: one that comes and goes is told
/// as one.
const CALM: Duration = Duration::from_secs(10);

/// Why events are dropped. The name is the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The queue is full.
    Full,
    /// No nsqd is connected that could take them.
    Disconnected,
    /// The topic has no channel on any connected nsqd: nobody listens.
    NoChannel,
    /// nsqd said no.
    Refused,
    /// There was no answer: nsqd may have them.
    Unknown,
    /// The publisher has stopped.
    Stopped,
}

impl Why {
    fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Disconnected => "disconnected",
            Self::NoChannel => "no_channel",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
        }
    }
}

/// Whether events are being dropped.
#[derive(Default)]
pub(super) struct Outage(Mutex<Option<Dropping>>);

struct Dropping {
    count: usize,
    last: Instant,
}

impl Outage {
    /// So many were dropped.
    pub(super) fn dropped(&self, why: Why, count: usize) {
        counted(why.label(), count);
        if self.begins(count, Instant::now()) && why != Why::Stopped {
            tracing::warn!(why = why.label(), "events for services are dropped");
        }
    }

    /// So many were published.
    pub(super) fn published(&self, count: usize) {
        counted("published", count);
        if let Some(dropped) = self.ends(Instant::now()) {
            tracing::info!(dropped, "events for services are published again");
        }
    }

    /// Whether this is the first of an outage.
    fn begins(&self, count: usize, now: Instant) -> bool {
        let mut state = self.0.lock();
        let is_first = state.is_none();
        let dropping = state.get_or_insert(Dropping { count: 0, last: now });
        dropping.count += count;
        dropping.last = now;
        is_first
    }

    /// How many the outage cost, if it is over now.
    fn ends(&self, now: Instant) -> Option<usize> {
        self.0.lock().take_if(|dropping| now.duration_since(dropping.last) >= CALM).map(|dropping| dropping.count)
    }
}

fn counted(outcome: &'static str, count: usize) {
    metrics::counter!("lockstep_events_total", "outcome" => outcome).increment(count as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once() {
        let outage = Outage::default();
        let mut now = Instant::now();
        assert_eq!(outage.ends(now), None, "nothing was dropped");
        let told = (0..100).filter(|_| outage.begins(2, now)).count();
        assert_eq!((told, outage.ends(now)), (1, None), "not over yet");
        now += CALM / 2;
        assert!(!outage.begins(1, now), "the same");
        now += CALM;
        assert_eq!((outage.ends(now), outage.ends(now)), (Some(201), None));
        assert!(outage.begins(1, now), "another");
    }
}
