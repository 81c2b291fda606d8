//! `idle`: many devices in silence, and what they cost.

use super::{ENTRANCE, PATIENCE};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Device, Door, Handler};
use crate::bench::options;
use crate::bench::process::Process;
use crate::bench::report::{Progress, Report};
use crate::bench::target::Target;
use crate::bench::track::Faults;
use crate::bench::world::{Plan, World, shared_rooms};
use anyhow::Result;
use serde_json::json;
use std::time::{Duration, Instant};

/// Many connected devices in silence: memory of each and of each of their conversations, CPU while nothing happens.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Devices, each of another user. Then as many, with a quarter of the conversations, connect to a second server, to
    /// tell what a conversation costs.
    #[arg(long, default_value = "10000", value_parser = options::count)]
    devices: usize,
    /// Conversations of each device.
    #[arg(long, default_value = "20", value_parser = options::count)]
    conversations: usize,
    /// Members of each conversation.
    #[arg(long, default_value = "10", value_parser = options::count)]
    members: usize,
    /// How long each silence lasts, in seconds: there are two per server. Each device has one heartbeat in 25 s.
    #[arg(long, default_value = "25", value_parser = options::seconds)]
    seconds: f64,
}

impl Handler for () {}

/// One server with its devices.
struct Side {
    world: World,
    devices: usize,
}

/// What a server in silence showed.
struct Silence {
    /// Bytes that each device costs.
    anonymous: f64,
    resident: f64,
    cpu_percent: f64,
    faults: Faults,
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    let (devices, conversations) = (options.devices, options.conversations);
    options::need_sockets(devices);
    let few = conversations / 4;
    let progress = Progress::start(Target::Embedded);
    progress.say(format_args!("making {devices} devices in {conversations} conversations each, and as many in {few}"));
    let (large, small) = tokio::try_join!(side(&options, conversations), side(&options, few))?;
    progress.say(format_args!("measuring the silence of those in {conversations} for {} s", options.seconds));
    let large = large.silence(options.seconds).await?;
    progress.say(format_args!("measuring the silence of those in {few}"));
    let small = small.silence(options.seconds).await?;
    let per_consumer = (large.anonymous - small.anonymous) / (conversations - few) as f64;
    let mut faults = large.faults;
    faults += small.faults;
    let mut report = Report::new("idle", Target::Embedded, &options, faults)?;
    report.number("bytes_per_device", large.anonymous);
    report.number("bytes_per_consumer", per_consumer);
    report.number("idle_cpu_percent", large.cpu_percent);
    report.number("resident_bytes_per_device", large.resident);
    report.value("memory", json!("Anonymous of /proc/PID/smaps_rollup; resident: its Rss"));
    Ok(report)
}

async fn side(options: &Options, conversations: usize) -> Result<Side> {
    let devices = options.devices;
    let rooms = shared_rooms(devices, conversations, options.members);
    // The one message that each has is what the devices show that they have.
    let world = World::make(Plan { people: devices, rooms, messages: 1, body_bytes: 64 }).await?;
    Ok(Side { world, devices })
}

impl Side {
    /// Lets all devices connect to a server of their own, and observes it while nothing happens.
    ///
    /// The first tenth does not count: it makes the server load what any number of devices needs, such as the store's
    /// page caches. Memory is looked at after the same silence both times, so that what connecting took is given back.
    async fn silence(&self, seconds: f64) -> Result<Silence> {
        let server = Process::server(&self.world.data()).await?;
        let (door, process) = (Door::new(server.address(), ENTRANCE), server.observed());
        let work = async {
            let devices = (0..self.devices).map(|number| self.world.device(number, true, ()));
            let mut first: Vec<Device<()>> = devices.collect::<Result<_>>()?;
            let rest = first.split_off(self.devices / 10);
            let (first_count, counted) = (first.len(), rest.len());
            let mut crowd = Crowd::come(first, &door);
            crowd.during(passed(&door.caught_up, first_count, PATIENCE, "connected")).await?;
            crowd.during(pass(seconds)).await?;
            let before = process.memory()?;
            crowd.join(rest, &door);
            crowd.during(passed(&door.caught_up, self.devices, PATIENCE, "connected")).await?;
            let (began, cpu) = (Instant::now(), process.cpu_seconds()?);
            crowd.during(pass(seconds)).await?;
            let cpu_percent = (process.cpu_seconds()? - cpu) / began.elapsed().as_secs_f64() * 100.0;
            let now = process.memory()?;
            let each = |now: u64, before: u64| (now as f64 - before as f64) / counted as f64;
            Ok(Silence {
                anonymous: each(now.anonymous, before.anonymous),
                resident: each(now.resident, before.resident),
                cpu_percent,
                faults: self.world.faults(&crowd.leave().await?),
            })
        };
        server.during(work).await
    }
}

async fn pass(seconds: f64) -> Result<()> {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    Ok(())
}
