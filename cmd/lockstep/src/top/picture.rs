//! What two readings make: how much happens in a second.

use lockstep_server::admin::{CommitTimes, Stats, Totals};
use serde::Serialize;

/// How a server does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Picture {
    /// The last reading.
    pub(super) stats: Stats,
    /// What happens, per second, since the reading before.
    pub(super) per_second: Rates,
    /// The commits since the reading before.
    pub(super) commits: CommitTimes,
}

/// How often something happens in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    pub(super) entries_appended: f64,
    pub(super) entries_delivered: f64,
    pub(super) acks: f64,
    pub(super) frames_in: f64,
    pub(super) frames_out: f64,
    pub(super) requests: f64,
    pub(super) closes: f64,
    pub(super) commits: f64,
    pub(super) failed_commits: f64,
}

impl Picture {
    /// The picture of the time between two readings; since the start if the server was started anew between them.
    pub(super) fn between(before: &Stats, now: &Stats) -> Self {
        let is_same = now.uptime_ms >= before.uptime_ms && now.epoch == before.epoch;
        let (totals, commits, since_ms) = if is_same {
            (before.totals, now.commits.since(&before.commits), before.uptime_ms)
        } else {
            (Totals::default(), now.commits.clone(), 0)
        };
        let seconds = (now.uptime_ms - since_ms).max(1) as f64 / 1_000.0;
        let rate = |of: fn(&Totals) -> u64| of(&now.totals).saturating_sub(of(&totals)) as f64 / seconds;
        let per_second = Rates {
            entries_appended: rate(|totals| totals.entries_appended),
            entries_delivered: rate(|totals| totals.entries_delivered),
            acks: rate(|totals| totals.acks),
            frames_in: rate(|totals| totals.frames_in),
            frames_out: rate(|totals| totals.frames_out),
            requests: rate(|totals| totals.requests),
            closes: rate(|totals| totals.closes),
            commits: commits.count as f64 / seconds,
            failed_commits: rate(|totals| totals.failed_commits),
        };
        Self { stats: now.clone(), per_second, commits }
    }
}
