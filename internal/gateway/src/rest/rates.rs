//! How fast a device or a service may send by REST: a device as fast as by its session.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Senders that are remembered before those that have caught up are forgotten. All that remain have sent within the last
/// burst, so that their number is bounded by what the store can take in that time.
const REMEMBERED_BEFORE_SWEEP: usize = 4_096;

/// The rates of all senders of one sort.
///
/// Per sender one moment is kept: when its sends so far would be used up at the steady rate (the generic cell rate
/// algorithm). One whose moment has passed is as good as forgotten.
pub(crate) struct SendRates<K> {
    interval: Duration,
    burst: Duration,
    moments: Mutex<Moments<K>>,
}

struct Moments<K> {
    by_sender: HashMap<K, Instant>,
    sweep_at: usize,
}

impl<K: Eq + Hash + Clone> SendRates<K> {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let moments = Moments { by_sender: HashMap::new(), sweep_at: REMEMBERED_BEFORE_SWEEP };
        Self { interval, burst: interval * burst.max(1), moments: Mutex::new(moments) }
    }

    /// Lets a send pass.
    ///
    /// # Errors
    ///
    /// How long to wait until the next one may pass.
    pub(crate) fn admit(&self, sender: &K, now: Instant) -> Result<(), Duration> {
        // A panic while the lock was held cannot have left the map half changed.
        let mut moments = self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let used_up = moments.by_sender.get(sender).map_or(now, |moment| (*moment).max(now)) + self.interval;
        let wait = used_up.saturating_duration_since(now + self.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        moments.by_sender.insert(sender.clone(), used_up);
        if moments.by_sender.len() > moments.sweep_at {
            moments.by_sender.retain(|_, moment| *moment > now);
            // Sweeping again only once the map has doubled keeps the cost of a send constant on average.
            moments.sweep_at = (2 * moments.by_sender.len()).max(REMEMBERED_BEFORE_SWEEP);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::DeviceId;

    #[test]
    fn a_burst_passes_and_then_the_rate_counts() {
        let rates = SendRates::new(10, 3);
        let (one, other, start) = (DeviceId::generate(), DeviceId::generate(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let wait = |ms: u64| Err(Duration::from_millis(ms));
        let cases = [
            (one, 0, Ok(())),
            (one, 0, Ok(())),
            (one, 0, Ok(())),
            (one, 0, wait(100)),
            (other, 0, Ok(())),
            (one, 40, wait(60)),
            (one, 100, Ok(())),
            (one, 100, wait(100)),
            (one, 10_000, Ok(())),
            (one, 10_000, Ok(())),
            (one, 10_000, Ok(())),
            (one, 10_000, wait(100)),
        ];
        for (index, (device, ms, expected)) in cases.into_iter().enumerate() {
            assert_eq!(rates.admit(&device, at(ms)), expected, "case {index}");
        }
    }

    #[test]
    fn devices_that_caught_up_are_forgotten() {
        let (rates, start) = (SendRates::new(10, 3), Instant::now());
        let busy = DeviceId::generate();
        for second in 0..3 {
            let now = start + Duration::from_secs(second);
            for _ in 0..REMEMBERED_BEFORE_SWEEP {
                rates.admit(&DeviceId::generate(), now).unwrap();
            }
            rates.admit(&busy, now).unwrap();
        }
        let moments = rates.moments.lock().unwrap();
        assert!(moments.by_sender.len() <= REMEMBERED_BEFORE_SWEEP + 2, "{}", moments.by_sender.len());
        assert!(moments.by_sender.contains_key(&busy));
    }
}
