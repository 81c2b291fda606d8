//! `lockstep demo`: a real server, real devices, and what Lockstep promises, shown and checked step by step.
//!
//! The server runs in a process of its own on a folder that is thrown away; the devices use the SDK over real sockets.
//! With `--nsq`, real nsqds carry what is live.

mod device;
mod group_steps;
mod log;
mod nsq_steps;
mod nsqds;
mod server;
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
}

/// Plays all steps.
///
/// # Errors
///
/// If something that was promised did not hold, or the demo could not run.
pub(crate) async fn run(args: Args) -> Result<()> {
    let began = Instant::now();
    let mut stage = Stage::set(args.nsq).await.context("the stage could not be set")?;
    let further = if args.nsq { nsq_steps::NSQ_STEPS } else { &[] };
    for (number, (title, step)) in (1..).zip(steps::STEPS.iter().chain(further)) {
        println!("\n{number}. {title}");
        step(&mut stage).await.with_context(|| format!("step {number} failed: {title}"))?;
    }
    let left = stage.clear().await?;
    ensure!(left.success(), "the server did not stop cleanly: {left}");
    println!("\nAll of it held ({:.1} s).", began.elapsed().as_secs_f64());
    Ok(())
}
