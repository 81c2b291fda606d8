//! How long to wait before the next try.

use rand::Rng;
use std::time::Duration;

/// The first wait is random up to this.
const BASE: Duration = Duration::from_millis(250);
/// No wait is longer than this, unless the server asks for it.
const CAP: Duration = Duration::from_secs(30);
/// A wait that a server asks for is cut to this, so that a wrong number does not silence a device for good.
const ADVICE_MAX: Duration = Duration::from_secs(15 * 60);

/// Exponential backoff with full jitter: a random wait up to a bound that doubles with each failure, so that many
/// devices that lost a server together come back apart.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure, not shorter than the server's advice plus a random wait of up to the same.
    pub(super) fn after_failure(&mut self, advice: Option<Duration>, rng: &mut impl Rng) -> Duration {
        let bound = BASE.saturating_mul(1 << self.failures.min(16)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let wait = bound.mul_f64(rng.random::<f64>());
        match advice.map(|advice| advice.min(ADVICE_MAX)) {
            Some(advice) => wait.max(advice + advice.mul_f64(rng.random::<f64>())),
            None => wait,
        }
    }

    /// A backoff that has seen so many failures.
    pub(super) fn starting_at(failures: u32) -> Self {
        Self { failures }
    }

    /// Failures in a row so far.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn waits_double_up_to_the_cap_and_obey_advice() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut longest = [Duration::ZERO; 12];
        for _ in 0..500 {
            let mut backoff = Backoff::default();
            for (failures, longest) in longest.iter_mut().enumerate() {
                let bound = (BASE * (1 << failures)).min(CAP);
                let wait = backoff.after_failure(None, &mut rng);
                assert!(wait <= bound, "{wait:?} after {failures} failures");
                *longest = wait.max(*longest);
            }
        }
        // Full jitter reaches up to the bound.
        assert!(longest[0] > BASE.mul_f64(0.9) && longest[11] > CAP.mul_f64(0.9), "{longest:?}");
        let advised = Backoff::default().after_failure(Some(Duration::from_secs(5)), &mut rng);
        assert!((5.0..=10.0).contains(&advised.as_secs_f64()), "{advised:?}");
        let absurd = Backoff::default().after_failure(Some(Duration::from_secs(u64::MAX / 2)), &mut rng);
        assert!(absurd <= 2 * ADVICE_MAX);
    }
}
