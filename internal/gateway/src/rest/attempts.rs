//! How often something may be tried, counted in a table of a fixed size: whoever makes up names costs no memory.

use crate::Attempt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Places of a table. Two who share one share its rate; which those are is chosen by a key that nobody knows.
const SLOTS: usize = 1 << 16;

/// The attempts of all who try.
///
/// Per place one moment is kept: when its attempts so far would be used up at the steady rate (the generic cell rate
/// algorithm), in nanoseconds since the table was made.
pub(crate) struct Attempts {
    interval: Duration,
    tolerance: Duration,
    started: Instant,
    keys: RandomState,
    slots: Box<[AtomicU64]>,
}

impl Attempts {
    pub(crate) fn new(Attempt { burst, per_minute }: Attempt) -> Self {
        let interval = Duration::from_secs(60) / per_minute.max(1);
        Self {
            interval,
            tolerance: interval * (burst.max(1) - 1),
            started: Instant::now(),
            keys: RandomState::new(),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Lets one attempt pass.
    ///
    /// # Errors
    ///
    /// How long to wait until the next one may pass.
    pub(crate) fn admit(&self, who: &impl Hash, now: Instant) -> Result<(), Duration> {
        let now = nanos(now.saturating_duration_since(self.started));
        let (interval, tolerance) = (nanos(self.interval), nanos(self.tolerance));
        let admitted = self.slot(who).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            let due = due.max(now);
            (due <= now + tolerance).then_some(due + interval)
        });
        admitted.map(drop).map_err(|due| Duration::from_nanos(due - tolerance - now))
    }

    /// Takes an attempt back that should not have counted.
    pub(crate) fn forgive(&self, who: &impl Hash) {
        let interval = nanos(self.interval);
        let back = |due: u64| Some(due.saturating_sub(interval));
        // The closure always gives a value.
        let _ = self.slot(who).fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }

    fn slot(&self, who: &impl Hash) -> &AtomicU64 {
        &self.slots[self.keys.hash_one(who) as usize % SLOTS]
    }
}

/// 584 years fit.
fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_counts() {
        let attempts = Attempts::new(Attempt { burst: 3, per_minute: 6 });
        let at = |seconds: u64| attempts.started + Duration::from_secs(seconds);
        let wait = |seconds: u64| Err(Duration::from_secs(seconds));
        let cases = [
            ("ana", 0, Ok(())),
            ("ana", 0, Ok(())),
            ("ana", 0, Ok(())),
            ("ana", 0, wait(10)),
            ("ana", 4, wait(6)),
            ("ana", 10, Ok(())),
            ("ana", 10, wait(10)),
            ("ana", 1_000, Ok(())),
            ("ana", 1_000, Ok(())),
            ("ana", 1_000, Ok(())),
            ("ana", 1_000, wait(10)),
        ];
        for (index, (who, seconds, expected)) in cases.into_iter().enumerate() {
            assert_eq!(attempts.admit(&who, at(seconds)), expected, "case {index}");
        }
        attempts.forgive(&"ana");
        assert_eq!(attempts.admit(&"ana", at(1_000)), Ok(()));
        assert_eq!(attempts.admit(&"ana", at(1_000)), wait(10));
    }

    #[test]
    fn others_are_not_held_up() {
        let attempts = Attempts::new(Attempt { burst: 1, per_minute: 1 });
        let now = attempts.started;
        let passed = (0..1_000).filter(|number| attempts.admit(number, now).is_ok()).count();
        // Some share a place: 1,000 of 65,536 make about 8 pairs.
        assert!((950..=1_000).contains(&passed), "{passed}");
        assert_eq!((0..1_000).filter(|number| attempts.admit(number, now).is_ok()).count(), 0);
    }
}
