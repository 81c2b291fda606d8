//! `group`: one conversation of many members, a fixed rate, from the send to each of them.

use super::steady::{self, Shape};
use crate::bench::options;
use crate::bench::process::{Process, post};
use crate::bench::report::{Progress, Report};
use crate::bench::target::Target;
use crate::bench::world::World;
use anyhow::{Result, ensure};
use lockstep_model::limits::GROUP_MEMBERS_MAX;
use serde_json::json;
use std::time::{Duration, Instant};

/// Groups that are made, one after the other, to tell how long one takes.
const GROUPS: u32 = 10;

/// One group at a fixed rate: latency to each member, what its making takes and what a send writes, beside a bare relay
/// that syncs each message to disk.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Members of the group, the sender among them.
    #[arg(long, default_value = "100", value_parser = members)]
    members: usize,
    /// Messages a second.
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

/// How many members a group may be made with, and somebody has to receive.
fn members(text: &str) -> Result<usize, String> {
    options::within(text, 2..=GROUP_MEMBERS_MAX)
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    let Options { members, rate, seconds, body_bytes, target } = options;
    let shape = Shape { conversations: 1, receivers: members - 1, rate, seconds, body_bytes, target };
    shape.need_sockets();
    let progress = Progress::start(target);
    let (world, served) = steady::of_server(&shape, &progress).await?;
    progress.say(format_args!("making {GROUPS} groups of {members} members"));
    let creation = creation(&world, members).await?;
    let reference = steady::reference(&world, &shape, &progress).await?;
    let mut report = Report::new("group", target, &options, served.faults)?;
    report.value("latency_ms", served.latency_ms);
    report.value("reference_ms", reference);
    report.number("creation_ms", creation.as_secs_f64() * 1e3);
    report.number("rows_written_per_send", served.rows_per_send);
    if target == Target::Nsq {
        report.number("from_nsqd_share", served.from_nsqd_share);
    }
    Ok(report)
}

/// What making a group of all these people takes on average, from the request to the answer.
async fn creation(world: &World, members: usize) -> Result<Duration> {
    let users: Vec<&str> = (1..members).map(|number| world.user(number)).collect();
    let request = json!({"kind": "group", "title": "bench", "members": users}).to_string();
    let server = Process::server(&world.data()).await?;
    let address = server.address();
    let work = async {
        let began = Instant::now();
        for _ in 0..GROUPS {
            let answer = post(address, "/v1/conversations", world.token(0), &request).await?;
            ensure!(answer.starts_with("HTTP/1.1 201 "), "a group was not made: {answer}");
        }
        Ok(began.elapsed() / GROUPS)
    };
    server.during(work).await
}
