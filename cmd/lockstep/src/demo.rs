//! `lockstep demo`: a real server, real devices, and what Lockstep promises, shown and checked step by step.
//!
//! The server runs in a process of its own on a folder that is thrown away; the devices use the SDK over real sockets.
//! With `--nsq`, real nsqds carry what is live.

mod desktop;
mod device;
mod fill_steps;
mod full_steps;
mod group_steps;
mod life_steps;
mod linked;
mod log;
mod nsq_steps;
mod nsqds;
mod server;
mod slow_store;
mod stage;
mod steps;

use anyhow::{Context, Result, ensure};
use stage::Stage;
use std::time::Instant;

/// Shows on this machine what Lockstep does: needs no set-up, leaves nothing behind.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// On two nsqds, found on this machine or built with Go: shows also how a service publishes, and that one may fail
    #[arg(long)]
    nsq: bool,
    /// More of it: also a device that nobody can fill yet, and one that signs out
    #[arg(long)]
    full: bool,
}

/// Plays all steps.
///
/// # Errors
///
/// If something that was promised did not hold, or the demo could not run.
pub(crate) async fn run(args: Args) -> Result<()> {
    let began = Instant::now();
    let mut stage = Stage::set(args.nsq).await.context("the stage could not be set")?;
    let more = if args.full { full_steps::FULL_STEPS } else { &[] };
    let further = if args.nsq { nsq_steps::NSQ_STEPS } else { &[] };
    for (number, (title, step)) in (1..).zip(steps::STEPS.iter().chain(more).chain(further)) {
        println!("\n{number}. {title}");
        step(&mut stage).await.with_context(|| format!("step {number} failed: {title}"))?;
    }
    let left = stage.clear().await?;
    ensure!(left.success(), "the server did not stop cleanly: {left}");
    println!("\nAll of it held ({:.1} s).", began.elapsed().as_secs_f64());
    Ok(())
}
