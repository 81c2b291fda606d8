//! How the server does: the metrics of the process, and what the engine holds now.

use super::exposition::Exposition;
use super::{Bucket, CommitTimes, NsqdCount, Stats, Totals};
use crate::rest::caller::Administrator;
use crate::{GatewayState, Problem};
use axum::Json;
use axum::extract::State;
use lockstep_engine::Load;
use lockstep_model::UnixMs;

/// `GET /v1/admin/stats`: how the server does, with counts since its start.
#[utoipa::path(get, path = "/v1/admin/stats", tag = "admin", security(("service" = ["admin"])),
    responses((status = 200, description = "How it does.", body = Stats)))]
pub(crate) async fn stats(
    State(state): State<GatewayState>,
    Administrator: Administrator,
) -> Result<Json<Stats>, Problem> {
    let Load { connections, users_online, consumers, appends_waiting } = state.engine.load();
    let text = state.render_metrics();
    let metrics = Exposition(&text);
    let total = |name| metrics.sum(name).unwrap_or_default();
    let nsqds = metrics.sum("lockstep_nsqds").map(|configured| NsqdCount {
        configured,
        connected: metrics.sum("lockstep_nsqds_connected").unwrap_or_default(),
    });
    Ok(Json(Stats {
        at: UnixMs::now(),
        uptime_ms: state.started.elapsed().as_millis() as u64,
        epoch: state.engine.epoch(),
        connections: connections as u64,
        users_online: users_online as u64,
        consumers: consumers as u64,
        appends_waiting: appends_waiting as u64,
        channels_pending: metrics.sum("lockstep_nsq_janitor_channels_pending"),
        teardowns_pending: metrics.sum("lockstep_teardowns_waiting"),
        nsqds,
        totals: Totals {
            entries_appended: total("lockstep_store_entries_appended_total"),
            entries_delivered: total("lockstep_deliveries_total"),
            acks: total("lockstep_acks_total"),
            frames_in: total("lockstep_frames_in_total"),
            frames_out: total("lockstep_frames_out_total"),
            requests: total("lockstep_http_requests_total"),
            closes: total("lockstep_closes_total"),
            failed_commits: total("lockstep_store_failed_commits_total"),
        },
        commits: CommitTimes::of(metrics.buckets("lockstep_store_transaction_seconds")),
    }))
}

impl CommitTimes {
    /// What a histogram says.
    pub fn of(buckets: Vec<Bucket>) -> Self {
        let quantile = |share| quantile(&buckets, share);
        let (p50_ms, p90_ms, p99_ms) = (quantile(0.5), quantile(0.9), quantile(0.99));
        Self { count: buckets.iter().map(|bucket| bucket.count).sum(), p50_ms, p90_ms, p99_ms, buckets }
    }

    /// The commits since an earlier reading; all of them if that was of another process.
    pub fn since(&self, before: &Self) -> Self {
        let is_later = self.buckets.len() == before.buckets.len()
            && self.buckets.iter().zip(&before.buckets).all(|(now, then)| now.count >= then.count);
        if !is_later {
            return self.clone();
        }
        let pairs = self.buckets.iter().zip(&before.buckets);
        Self::of(pairs.map(|(now, then)| Bucket { count: now.count - then.count, ..*now }).collect())
    }
}

/// The time that this share of the commits did not exceed, as if those of a bucket were spread evenly. What lies beyond all
/// bounds counts as the last bound.
fn quantile(buckets: &[Bucket], share: f64) -> Option<f64> {
    let count: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    let mut rank = share * count as f64;
    let mut from_ms = 0.0;
    for bucket in buckets.iter().filter(|_| count > 0) {
        let Some(up_to_ms) = bucket.up_to_ms else { return Some(from_ms) };
        if bucket.count > 0 && rank <= bucket.count as f64 {
            return Some(from_ms + (up_to_ms - from_ms) * rank / bucket.count as f64);
        }
        rank -= bucket.count as f64;
        from_ms = up_to_ms;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(counts: [u64; 3]) -> CommitTimes {
        let bounds = [Some(1.0), Some(3.0), None];
        let buckets = bounds.into_iter().zip(counts).map(|(up_to_ms, count)| Bucket { up_to_ms, count });
        CommitTimes::of(buckets.collect())
    }

    #[test]
    fn quantiles_are_estimated_within_their_buckets() {
        let cases = [
            ([0, 0, 0], (None, None)),
            ([100, 0, 0], (Some(0.5), Some(0.99))),
            ([0, 100, 0], (Some(2.0), Some(2.98))),
            ([50, 50, 0], (Some(1.0), Some(2.96))),
            ([0, 0, 10], (Some(3.0), Some(3.0))),
        ];
        for (counts, (p50, p99)) in cases {
            let found = times(counts);
            assert_eq!(found.count, counts.iter().sum::<u64>());
            for (found, expected) in [(found.p50_ms, p50), (found.p99_ms, p99)] {
                match (found, expected) {
                    (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-9, "{counts:?}: {found}"),
                    other => assert_eq!(other, (None, None), "{counts:?}"),
                }
            }
        }
    }

    #[test]
    fn what_was_counted_before_does_not_count() {
        let since = times([10, 5, 0]).since(&times([10, 0, 0]));
        assert_eq!((since.count, since.p50_ms), (5, Some(2.0)));
        assert_eq!(times([1, 0, 0]).since(&times([2, 0, 0])).count, 1, "another process");
        assert_eq!(times([1, 0, 0]).since(&CommitTimes::default()).count, 1, "nothing was read before");
    }
}
