//! How fast senders and callers may be, each by a rate of its own.

use lockstep_session::SendRate;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Keys that are remembered before those that have caught up are forgotten.
const REMEMBERED_BEFORE_SWEEP: usize = 4_096;
/// Most keys that are remembered. Those that find no place share one rate until there is room again: a crowd that is too
/// large to be told apart gets as much as one.
const REMEMBERED_MAX: usize = 65_536;
/// How often it is looked at who has caught up.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// So many per second, and so many at once before that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The rate that may be kept up.
    pub per_second: u32,
    /// How many may come at once.
    pub burst: u32,
}

/// The rates of all of one sort.
pub(crate) struct Rates<K> {
    rate: Rate,
    keys_max: usize,
    remembered: Mutex<Remembered<K>>,
}

struct Remembered<K> {
    by_key: HashMap<K, Arc<SendRate>>,
    others: Arc<SendRate>,
    swept_at: Option<Instant>,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self::with_keys_max(rate, REMEMBERED_MAX)
    }

    /// With room for this many keys that are held, beside those that are not.
    pub(crate) fn for_holders(rate: Rate, holders_max: usize) -> Self {
        Self::with_keys_max(rate, holders_max.saturating_add(REMEMBERED_MAX))
    }

    fn with_keys_max(rate: Rate, keys_max: usize) -> Self {
        let others = Arc::new(SendRate::new(Instant::now()));
        let remembered = Remembered { by_key: HashMap::new(), others, swept_at: None };
        Self { rate, keys_max, remembered: Mutex::new(remembered) }
    }

    /// Lets one pass.
    ///
    /// # Errors
    ///
    /// How long to wait until the next one may pass.
    pub(crate) fn admit(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.of(key, now).take(now, self.rate.per_second, self.rate.burst)
    }

    /// Lets one pass that counts as so many. It needs room for one alone: what is beyond the burst has to be waited for by those
    /// after it.
    ///
    /// # Errors
    ///
    /// How long to wait until the next one may pass.
    pub(crate) fn admit_many(&self, key: &K, count: usize, now: Instant) -> Result<(), Duration> {
        let (rate, Rate { per_second, burst }) = (self.of(key, now), self.rate);
        rate.take(now, per_second, burst)?;
        // Without a bound on the burst each of the others passes.
        (1..count).try_for_each(|_| rate.take(now, per_second, u32::MAX))
    }

    /// The rate of one key. It is not forgotten while somebody holds it.
    pub(crate) fn of(&self, key: &K, now: Instant) -> Arc<SendRate> {
        // A panic while the lock was held cannot have left the map half changed.
        let mut remembered = self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(rate) = remembered.by_key.get(key) {
            return Arc::clone(rate);
        }
        if remembered.by_key.len() >= REMEMBERED_BEFORE_SWEEP.min(self.keys_max) {
            remembered.sweep(now);
        }
        if remembered.by_key.len() >= self.keys_max {
            return Arc::clone(&remembered.others);
        }
        let rate = Arc::new(SendRate::new(now));
        remembered.by_key.insert(key.clone(), Arc::clone(&rate));
        rate
    }
}

impl<K> Remembered<K> {
    /// Forgets those that are as good as new.
    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_none_or(|at| now >= at + SWEEP_PERIOD) {
            self.swept_at = Some(now);
            self.by_key.retain(|_, rate| Arc::strong_count(rate) > 1 || !rate.is_unused(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    fn remembered<K>(rates: &Rates<K>) -> usize {
        rates.remembered.lock().unwrap().by_key.len()
    }

    #[test]
    fn all_who_hold_theirs_and_more_have_a_rate_of_their_own() {
        let (rates, now) = (Rates::for_holders(RATE, 70_000), Instant::now());
        let held: Vec<_> = (0..70_000).map(|key| rates.of(&key, now)).collect();
        assert!(!Arc::ptr_eq(&rates.of(&held.len(), now), &rates.of(&(held.len() + 1), now)));
    }

    #[test]
    fn each_key_has_its_own_rate() {
        let (rates, now) = (Rates::new(RATE), Instant::now());
        for key in ["one", "other"] {
            for _ in 0..3 {
                assert_eq!(rates.admit(&key, now), Ok(()));
            }
            assert_eq!(rates.admit(&key, now), Err(Duration::from_millis(100)));
        }
        let held = rates.of(&"third", now);
        for _ in 0..3 {
            held.take(now, RATE.per_second, RATE.burst).unwrap();
        }
        assert!(rates.admit(&"third", now).is_err(), "what was taken elsewhere counts");
    }

    #[test]
    fn one_that_counts_as_many_passes_and_is_waited_for() {
        let (rates, now) = (Rates::new(RATE), Instant::now());
        assert_eq!(rates.admit_many(&"one", 2, now), Ok(()));
        assert_eq!(rates.admit(&"one", now), Ok(()));
        assert_eq!(rates.admit_many(&"one", 2, now), Err(Duration::from_millis(100)));
        let later = now + Duration::from_millis(100);
        assert_eq!(rates.admit_many(&"one", 21, later), Ok(()));
        assert_eq!(rates.admit(&"one", later), Err(Duration::from_millis(2_100)));
        assert_eq!(rates.admit(&"one", later + Duration::from_millis(2_100)), Ok(()));
        assert_eq!(rates.admit_many(&"other", 0, now), Ok(()));
        assert_eq!(rates.admit_many(&"slow", 1_000, now), Ok(()));
    }

    #[test]
    fn who_caught_up_is_forgotten_unless_held() {
        let (rates, start) = (Rates::new(RATE), Instant::now());
        let held = rates.of(&u64::MAX, start);
        let mut key = 0;
        for second in 0..3 {
            for _ in 0..REMEMBERED_BEFORE_SWEEP {
                rates.admit(&key, start + Duration::from_secs(second)).unwrap();
                key += 1;
            }
        }
        assert!(remembered(&rates) <= REMEMBERED_BEFORE_SWEEP + 1, "{}", remembered(&rates));
        assert!(Arc::ptr_eq(&held, &rates.of(&u64::MAX, start)));
    }

    #[test]
    fn a_crowd_without_places_shares_one_rate() {
        let (rates, start) = (Rates::with_keys_max(RATE, 100), Instant::now());
        let passed = (0..10_000).filter(|key| rates.admit(key, start).is_ok()).count();
        assert_eq!((passed, remembered(&rates)), (100 + 3, 100));
        assert_eq!(rates.admit(&0, start), Ok(()), "who has a place keeps it");
        let later = start + SWEEP_PERIOD;
        assert_eq!(rates.admit(&20_000, later), Ok(()));
        assert_eq!(remembered(&rates), 1);
    }
}
