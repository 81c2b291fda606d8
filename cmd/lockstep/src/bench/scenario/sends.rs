//! `sends`: durable sends at saturation.

use super::sender::{Sender, Sends};
use super::{ENTRANCE, PATIENCE, drained, warm_up};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Device, Door};
use crate::bench::latency::Latencies;
use crate::bench::machine::Observed;
use crate::bench::process::{Process, counter};
use crate::bench::reference::insert;
use crate::bench::report::{Progress, Report};
use crate::bench::target::Target;
use crate::bench::world::{Plan, World};
use crate::bench::{frames, options};
use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Many senders and conversations at saturation: durable sends a second, beside bare INSERTs in batches of the same size.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Devices that send.
    #[arg(long, default_value = "200", value_parser = options::count)]
    devices: usize,
    /// Conversations, each with one of the senders.
    #[arg(long, default_value = "1000", value_parser = options::count)]
    conversations: usize,
    /// Members of a conversation. All but the sender are away, so that sends are measured and not their fan-out.
    #[arg(long, default_value = "2", value_parser = options::count)]
    members: usize,
    /// Sends that a device has under way.
    #[arg(long, default_value = "5", value_parser = options::count)]
    window: usize,
    /// How long is measured, in seconds; the reference takes half as long.
    #[arg(long, default_value = "10", value_parser = options::seconds)]
    seconds: f64,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    body_bytes: usize,
}

/// What was measured.
struct Figures {
    sends_per_s: f64,
    entries_per_commit: f64,
    cpu_us_per_send: f64,
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    if options.conversations < options.devices {
        options::refuse("each device of --devices needs a conversation: take as many --conversations, or more");
    }
    options::need_sockets(options.devices);
    let progress = Progress::start(Target::Embedded);
    progress.say(format_args!("making {} devices and {} conversations", options.devices, options.conversations));
    // Those who are away are the same in all conversations.
    let away = options.devices..options.devices + options.members - 1;
    let room = |number: usize| std::iter::once(number % options.devices).chain(away.clone()).collect();
    let rooms = (0..options.conversations).map(room).collect();
    let mut world = World::make(Plan { people: away.end, rooms, messages: 0, body_bytes: options.body_bytes }).await?;

    let (shared, latencies) = (Sends::new(), Latencies::new());
    let devices = senders(&world, &options, &shared, &latencies)?;
    let server = Process::server(&world.data()).await?;
    let (address, process) = (server.address(), server.observed());
    let (devices, figures) = server
        .during(async {
            let door = Door::new(address, ENTRANCE);
            let mut crowd = Crowd::come(devices, &door);
            crowd.during(passed(&door.caught_up, options.devices, PATIENCE, "connected")).await?;
            crowd.go();
            progress.say(format_args!("measuring the server for {} s", options.seconds));
            let figures = crowd.during(measure(&options, &shared, &latencies, address, process)).await?;
            anyhow::Ok((crowd.leave().await?, figures))
        })
        .await?;
    for device in &devices {
        let own = world.rooms.iter_mut().skip(device.index).step_by(options.devices);
        own.enumerate().for_each(|(place, room)| room.head = device.handler.sent_to(place));
    }
    let faults = world.faults(&devices);
    drop(devices);

    progress.say(format_args!("measuring the reference for {} s", options.seconds / 2.0));
    let batch = figures.entries_per_commit.round().max(1.0) as usize;
    let time = Duration::from_secs_f64(options.seconds / 2.0);
    let reference = insert::rows_per_second(batch, options.body_bytes, time).await?;
    let mut report = Report::new("sends", Target::Embedded, &options, faults)?;
    report.number("sends_per_s", figures.sends_per_s);
    report.number("reference_per_s", reference);
    report.number("ratio", figures.sends_per_s / reference);
    report.value("latency_ms", latencies.millis(&["p50", "p99", "max"]));
    report.number("entries_per_commit", figures.entries_per_commit);
    report.number("server_cpu_us_per_send", figures.cpu_us_per_send);
    Ok(report)
}

fn senders(
    world: &World,
    options: &Options,
    shared: &Arc<Sends>,
    latencies: &Latencies,
) -> Result<Vec<Device<Sender>>> {
    let body: Arc<str> = frames::body(options.body_bytes).into();
    let sender = |number: usize| {
        let rooms = world.rooms.iter().skip(number).step_by(options.devices).map(|room| room.id.clone());
        let (shared, recorder) = (Arc::clone(shared), latencies.recorder());
        Sender::new(shared, recorder, rooms.collect(), Arc::clone(&body), options.window, u64::MAX)
    };
    (0..options.devices).map(|number| world.device(number, true, sender(number))).collect()
}

async fn measure(
    options: &Options,
    shared: &Sends,
    latencies: &Latencies,
    address: SocketAddr,
    process: Observed,
) -> Result<Figures> {
    let counted = async || {
        let entries = counter(address, "lockstep_store_entries_appended_total").await?;
        anyhow::Ok((entries, counter(address, "lockstep_store_commits_total").await?))
    };
    tokio::time::sleep(warm_up(options.seconds)).await;
    let (entries, commits) = counted().await?;
    let (began, answered, cpu) = (Instant::now(), shared.answered(), process.cpu_seconds()?);
    latencies.record(true);
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    latencies.record(false);
    let (took, answered) = (began.elapsed().as_secs_f64(), (shared.answered() - answered) as f64);
    let cpu = process.cpu_seconds()? - cpu;
    let (entries_now, commits_now) = counted().await?;
    shared.stop();
    drained(|| shared.answered(), shared.started()).await?;
    drained(|| shared.received(), shared.answered()).await?;
    Ok(Figures {
        sends_per_s: answered / took,
        entries_per_commit: (entries_now - entries) / (commits_now - commits).max(1.0),
        cpu_us_per_send: cpu * 1e6 / answered.max(1.0),
    })
}
