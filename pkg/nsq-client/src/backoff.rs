//! How long to wait before the next try.

use crate::Reconnect;
use rand::Rng;
use std::time::Duration;

/// Counts failures in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure; `None` if there is to be no other try.
    pub(crate) fn after_failure(&mut self, reconnect: &Reconnect, rng: &mut impl Rng) -> Option<Duration> {
        if reconnect.tries_max.is_some_and(|max| self.failures >= max) {
            return None;
        }
        let bound = reconnect.base.saturating_mul(1 << self.failures.min(16)).min(reconnect.cap);
        self.failures = self.failures.saturating_add(1);
        // Not less than a tenth, so that chance never makes it a busy loop.
        Some(bound.mul_f64(rng.random_range(0.1..=1.0)))
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn waits_double_up_to_the_cap() {
        let mut rng = StdRng::seed_from_u64(1);
        let reconnect = Reconnect::default();
        let mut longest = [Duration::ZERO; 10];
        for _ in 0..500 {
            let mut backoff = Backoff::default();
            for (failures, longest) in longest.iter_mut().enumerate() {
                let bound = (reconnect.base * (1 << failures)).min(reconnect.cap);
                let wait = backoff.after_failure(&reconnect, &mut rng).expect("there is no bound on tries");
                assert!(wait >= bound / 11 && wait <= bound, "{wait:?} after {failures} failures");
                *longest = wait.max(*longest);
            }
        }
        assert!(longest[0] > reconnect.base.mul_f64(0.9) && longest[9] > reconnect.cap.mul_f64(0.9), "{longest:?}");
    }

    #[test]
    fn tries_end_where_they_are_told_to() {
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(Backoff::default().after_failure(&Reconnect::NEVER, &mut rng), None);
        let reconnect = Reconnect { tries_max: Some(2), ..Reconnect::default() };
        let mut backoff = Backoff::default();
        assert!(backoff.after_failure(&reconnect, &mut rng).is_some());
        assert!(backoff.after_failure(&reconnect, &mut rng).is_some());
        assert!(backoff.after_failure(&reconnect, &mut rng).is_none());
        backoff.reset();
        assert!(backoff.after_failure(&reconnect, &mut rng).is_some());
    }
}
