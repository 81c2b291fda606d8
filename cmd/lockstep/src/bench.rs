//! `lockstep bench`: how fast a server is on this machine, measured beside the least that could do the same.
//!
//! Each scenario starts its own server, as a separate process on a free port and a folder that is thrown away, and drives
//! it from this one process with many light devices. What they get is checked: a figure counts only if nothing was lost,
//! duplicated or reordered. Where a reference makes sense it runs in the same run, driven by the same devices.

mod crowd;
mod device;
mod frames;
mod latency;
mod machine;
mod options;
mod pace;
mod process;
mod reference;
mod report;
mod scenario;
mod target;
mod track;
mod world;

use anyhow::{Result, bail};
use report::Report;
use scenario::{bootstrap, catchup, direct, fanout, group, idle, nsq, sends, storm};
use tokio::signal::unix::{SignalKind, signal};

/// Measures how fast a server is on this machine, and checks that nothing is lost, duplicated or reordered.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    scenario: Scenario,
    /// Print the result as one JSON object on standard output too.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Scenario {
    Fanout(fanout::Options),
    Direct(direct::Options),
    Group(group::Options),
    Sends(sends::Options),
    Idle(idle::Options),
    Storm(storm::Options),
    Catchup(catchup::Options),
    Bootstrap(bootstrap::Options),
    Nsq(nsq::Options),
    #[command(hide = true)]
    Reference(reference::Args),
}

/// Runs a scenario.
///
/// # Errors
///
/// If the server ends midway, or anything was lost, duplicated or reordered.
pub(crate) async fn run(args: Args) -> Result<()> {
    let report = match args.scenario {
        Scenario::Reference(args) => return reference::run(args).await,
        Scenario::Fanout(options) => measured(fanout::run(options)).await?,
        Scenario::Direct(options) => measured(direct::run(options)).await?,
        Scenario::Group(options) => measured(group::run(options)).await?,
        Scenario::Sends(options) => measured(sends::run(options)).await?,
        Scenario::Idle(options) => measured(idle::run(options)).await?,
        Scenario::Storm(options) => measured(storm::run(options)).await?,
        Scenario::Catchup(options) => measured(catchup::run(options)).await?,
        Scenario::Bootstrap(options) => measured(bootstrap::run(options)).await?,
        Scenario::Nsq(options) => measured(nsq::run(options)).await?,
    };
    report.show(args.json)
}

/// Runs a scenario unless it is interrupted. Dropping it ends its processes and removes its folder.
async fn measured(scenario: impl Future<Output = Result<Report>>) -> Result<Report> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        report = scenario => report,
        _ = interrupted.recv() => bail!("interrupted"),
        _ = terminated.recv() => bail!("interrupted"),
    }
}
