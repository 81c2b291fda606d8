//! `direct`: pairs of devices, a fixed rate, from the send on one to the other.

use super::steady::{self, Shape};
use crate::bench::options;
use crate::bench::report::{Progress, Report};
use crate::bench::target::Target;
use anyhow::Result;

/// Pairs of devices at a fixed rate: latency from one to the other, beside a bare relay that syncs each message to disk.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Pairs of devices, each with a conversation.
    #[arg(long, default_value = "50", value_parser = options::count)]
    conversations: usize,
    /// Messages a second, over all pairs.
    #[arg(long, default_value = "60", value_parser = options::rate)]
    rate: f64,
    /// How long is measured, in seconds: the server, then the reference.
    #[arg(long, default_value = "20", value_parser = options::seconds)]
    seconds: f64,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    body_bytes: usize,
    /// What carries live entries to the devices.
    #[arg(long, value_enum, default_value_t = Target::Embedded)]
    #[serde(skip)]
    target: Target,
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    let Options { conversations, rate, seconds, body_bytes, target } = options;
    let shape = Shape { conversations, receivers: 1, rate, seconds, body_bytes, target };
    shape.need_sockets();
    let progress = Progress::start(target);
    let (world, served) = steady::of_server(&shape, &progress).await?;
    let reference = steady::reference(&world, &shape, &progress).await?;
    let mut report = Report::new("direct", target, &options, served.faults)?;
    report.value("latency_ms", served.latency_ms);
    report.value("reference_ms", reference);
    if target == Target::Nsq {
        report.number("from_nsqd_share", served.from_nsqd_share);
    }
    Ok(report)
}
