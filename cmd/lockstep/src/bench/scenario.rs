//! The scenarios. Each has its own options, and says in its report what it found.

pub(super) mod bootstrap;
pub(super) mod catchup;
pub(super) mod direct;
pub(super) mod fanout;
pub(super) mod group;
pub(super) mod idle;
pub(super) mod nsq;
pub(super) mod sends;
pub(super) mod storm;

mod flight;
mod sender;
mod steady;

use anyhow::Result;
use std::time::{Duration, Instant};

/// Devices that connect at the same time when that is not what is measured.
const ENTRANCE: usize = 256;
/// How long the devices of a run may take to connect, or to get something all together.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing may arrive before what is missing counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Runs in before the measured stretch: a second, or less for a short one.
fn warm_up(seconds: f64) -> Duration {
    Duration::from_secs_f64((seconds / 4.0).min(1.0))
}

/// Waits until a count has reached its goal, or has not moved for so long that it never will.
pub(super) async fn drained(count: impl Fn() -> u64, goal: u64) -> Result<()> {
    let (mut last, mut since) = (count(), Instant::now());
    while last < goal && since.elapsed() < SILENCE_MAX {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = count();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}
