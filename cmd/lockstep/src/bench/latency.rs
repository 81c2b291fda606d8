//! Latencies: recorded by many tasks, told as percentiles.

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Histograms that tasks share, so that they seldom wait for one another.
const SHARDS: usize = 8;
/// Values that a task gathers before it puts them into a histogram.
const GATHERED_MAX: usize = 128;
/// Longest latency that is told apart, in microseconds: more than any run lasts.
const MICROS_MAX: u64 = 600_000_000;

/// Where all tasks record. Only what is recorded while it is on counts.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    on: AtomicBool,
    next: AtomicUsize,
    shards: [Mutex<Histogram<u64>>; SHARDS],
}

impl Latencies {
    pub(super) fn new() -> Self {
        let shard = || {
            let histogram =
                Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds and the precision are fine");
            Mutex::new(histogram)
        };
        let shards = std::array::from_fn(|_| shard());
        Self(Arc::new(Inner { on: AtomicBool::new(false), next: AtomicUsize::new(0), shards }))
    }

    /// Begins or ends the stretch that counts.
    pub(super) fn record(&self, on: bool) {
        self.0.on.store(on, Ordering::Relaxed);
    }

    pub(super) fn recorder(&self) -> Recorder {
        let shard = self.0.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        Recorder { latencies: self.clone(), shard, gathered: Vec::new() }
    }

    /// Mean and percentiles in milliseconds, those of these names.
    pub(super) fn millis(&self, names: &[&str]) -> Value {
        let mut all = Histogram::<u64>::new_with_bounds(1, MICROS_MAX, 3).expect("as the shards");
        for shard in &self.0.shards {
            all.add(&*shard.lock()).expect("all have the same bounds");
        }
        let of = |name: &str| match name {
            "mean" => all.mean(),
            "p50" => all.value_at_quantile(0.5) as f64,
            "p99" => all.value_at_quantile(0.99) as f64,
            _ => all.max() as f64,
        };
        let told: Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!(super::report::rounded(of(name) / 1_000.0)))).collect();
        Value::Object(told)
    }
}

/// One task's way to the histograms.
#[derive(Debug)]
pub(super) struct Recorder {
    latencies: Latencies,
    shard: usize,
    gathered: Vec<u64>,
}

impl Recorder {
    pub(super) fn add(&mut self, latency: Duration) {
        if self.latencies.0.on.load(Ordering::Relaxed) {
            self.gathered.push((latency.as_micros() as u64).clamp(1, MICROS_MAX));
            if self.gathered.len() >= GATHERED_MAX {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            let mut histogram = self.latencies.0.shards[self.shard].lock();
            self.gathered.drain(..).for_each(|micros| histogram.saturating_record(micros));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Moments as a number that tasks can share: nanoseconds since the run began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        self.at(Instant::now())
    }

    pub(super) fn at(self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.0).as_nanos() as u64
    }
}
