//! How fast one device sends, whatever door it comes through.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A rate that several connections of one device share, so that neither a second door nor a new connection gives a device
/// another burst: the generic cell rate algorithm (ITU-T I.371, annex A).
#[derive(Debug)]
pub struct SendRate {
    origin: Instant,
    /// When the next cell would be due if all had come evenly, in nanoseconds after the origin.
    due: AtomicU64,
}

impl SendRate {
    /// A rate of which nothing is used.
    pub fn new(now: Instant) -> Self {
        Self { origin: now, due: AtomicU64::new(0) }
    }

    /// Takes one.
    ///
    /// # Errors
    ///
    /// How long to wait until the next one may pass.
    pub fn take(&self, now: Instant, per_second: u32, burst: u32) -> Result<(), Duration> {
        let now = self.nanoseconds(now);
        let interval = 1_000_000_000 / u64::from(per_second.max(1));
        let tolerance = interval * u64::from(burst.max(1) - 1);
        let taken = self.due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            let due = due.max(now);
            (due <= now + tolerance).then(|| due + interval)
        });
        taken.map(drop).map_err(|due| Duration::from_nanos(due.saturating_sub(now + tolerance)))
    }

    /// Whether it is as good as new: all that was taken would have come evenly by now.
    pub fn is_unused(&self, now: Instant) -> bool {
        self.due.load(Ordering::Relaxed) <= self.nanoseconds(now)
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_counts() {
        let start = Instant::now();
        let rate = SendRate::new(start);
        let wait = |ms: u64| Err(Duration::from_millis(ms));
        let cases = [
            (0, Ok(())),
            (0, Ok(())),
            (0, Ok(())),
            (0, wait(100)),
            (40, wait(60)),
            (100, Ok(())),
            (100, wait(100)),
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, wait(100)),
        ];
        for (index, (ms, expected)) in cases.into_iter().enumerate() {
            assert_eq!(rate.take(start + Duration::from_millis(ms), 10, 3), expected, "case {index}");
        }
        assert!(!rate.is_unused(start + Duration::from_millis(10_299)));
        assert!(rate.is_unused(start + Duration::from_millis(10_300)));
    }

    #[test]
    fn threads_together_get_no_more_than_one_alone() {
        let start = Instant::now();
        let rate = SendRate::new(start);
        let take = || (0..1_000).filter(|_| rate.take(start, 1, 500).is_ok()).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 500);
    }
}
