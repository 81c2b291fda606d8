//! A rate limit in eight bytes: the generic cell rate algorithm (ITU-T I.371, annex A).

use std::time::Duration;

/// When the next cell would be due if all had come evenly. Times count from the session's start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate(u64);

impl Rate {
    /// Whether it has forgotten all that was taken: as good as new.
    pub(crate) fn is_idle(&self, now: Duration) -> bool {
        self.0 <= now.as_nanos() as u64
    }

    /// Takes one at `now`, or says how long to wait.
    pub(crate) fn take(&mut self, now: Duration, per_second: u32, burst: u32) -> Result<(), Duration> {
        let now = now.as_nanos() as u64;
        let interval = 1_000_000_000 / u64::from(per_second.max(1));
        let tolerance = interval * u64::from(burst.max(1) - 1);
        let due = self.0.max(now);
        if due > now + tolerance {
            return Err(Duration::from_nanos(due - tolerance - now));
        }
        self.0 = due + interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut rate = Rate::default();
        let now = Duration::from_secs(3);
        for _ in 0..4 {
            assert_eq!(rate.take(now, 10, 4), Ok(()));
        }
        assert_eq!(rate.take(now, 10, 4), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(now + Duration::from_millis(99), 10, 4), Err(Duration::from_millis(1)));
        assert_eq!(rate.take(now + Duration::from_millis(100), 10, 4), Ok(()));
    }
}
