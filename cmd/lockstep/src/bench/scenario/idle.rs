//! `idle`: many devices in silence, and what they cost.

use super::{ENTRANCE, PATIENCE};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Device, Door, Handler};
use crate::bench::machine::{Memory, Observed};
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
    /// Devices, each of another user. Half as many more connect to a second server, with a quarter of the
    /// conversations, to tell what a conversation costs.
    #[arg(long, default_value = "10000", value_parser = options::count)]
    devices: usize,
    /// Conversations of each device.
    #[arg(long, default_value = "20", value_parser = options::count)]
    conversations: usize,
    /// Members of each conversation.
    #[arg(long, default_value = "10", value_parser = options::count)]
    members: usize,
    /// How long the silence lasts, in seconds. Each device has one heartbeat in 25 s.
    #[arg(long, default_value = "25", value_parser = options::seconds)]
    seconds: f64,
}

impl Handler for () {}

/// One server with its devices.
struct Side {
    world: World,
    devices: usize,
    conversations: usize,
}

/// A server in silence.
struct Quiet {
    crowd: Crowd<()>,
    /// The memory before those devices came that count, and how many do.
    before: Memory,
    counted: usize,
}

impl Quiet {
    /// Bytes that each device costs, counted by this measure of memory.
    fn bytes_per_device(&self, now: Memory, measure: impl Fn(Memory) -> u64) -> f64 {
        (measure(now) as f64 - measure(self.before) as f64) / self.counted as f64
    }
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    let (devices, conversations) = (options.devices, options.conversations);
    options::need_sockets(devices + devices.div_ceil(2));
    let progress = Progress::start(Target::Embedded);
    progress.say(format_args!("making {devices} devices in {conversations} conversations each, and half as many more"));
    let (large, small) = tokio::try_join!(
        side(&options, devices, conversations),
        side(&options, devices.div_ceil(2), conversations / 4)
    )?;
    let (one, other) = (Process::server(&large.world.data()).await?, Process::server(&small.world.data()).await?);
    let doors = [&one, &other].map(|server| Door::new(server.address(), ENTRANCE));
    let processes = [one.observed(), other.observed()];
    let work = async {
        let mut large_side = large.fall_silent(&doors[0], processes[0]).await?;
        progress.say("the first server's devices are connected");
        let mut small_side = small.fall_silent(&doors[1], processes[1]).await?;
        progress.say(format_args!("measuring the silence for {} s", options.seconds));
        let (began, cpu) = (Instant::now(), processes[0].cpu_seconds()?);
        let silence = tokio::time::sleep(Duration::from_secs_f64(options.seconds));
        let silence = async {
            silence.await;
            Ok(())
        };
        large_side.crowd.during(small_side.crowd.during(silence)).await?;
        let cpu_percent = (processes[0].cpu_seconds()? - cpu) / began.elapsed().as_secs_f64() * 100.0;
        let memory = (processes[0].memory()?, processes[1].memory()?);
        let anonymous = |memory: Memory| memory.anonymous;
        let per_device = large_side.bytes_per_device(memory.0, anonymous);
        let per_resident = large_side.bytes_per_device(memory.0, |memory| memory.resident);
        let more_conversations = (large.conversations - small.conversations) as f64;
        let per_consumer = (per_device - small_side.bytes_per_device(memory.1, anonymous)) / more_conversations;
        let mut faults = large.world.faults(&large_side.crowd.leave().await?);
        faults += small.world.faults(&small_side.crowd.leave().await?);
        anyhow::Ok((faults, per_device, per_resident, per_consumer, cpu_percent))
    };
    let (faults, per_device, per_resident, per_consumer, cpu_percent): (Faults, f64, f64, f64, f64) =
        one.during(other.during(work)).await?;
    let mut report = Report::new("idle", Target::Embedded, &options, faults)?;
    report.number("bytes_per_device", per_device);
    report.number("bytes_per_consumer", per_consumer);
    report.number("idle_cpu_percent", cpu_percent);
    report.number("resident_bytes_per_device", per_resident);
    report.value("memory", json!("Anonymous of /proc/PID/smaps_rollup; resident: its Rss"));
    Ok(report)
}

async fn side(options: &Options, devices: usize, conversations: usize) -> Result<Side> {
    let rooms = shared_rooms(devices, conversations, options.members);
    // The one message that each has is what the devices show that they have.
    let world = World::make(Plan { people: devices, rooms, messages: 1, body_bytes: 64 }).await?;
    Ok(Side { world, devices, conversations })
}

impl Side {
    /// Lets all devices connect. The first few do not count: they make the server load what any device needs.
    async fn fall_silent(&self, door: &Door, process: Observed) -> Result<Quiet> {
        let devices = (0..self.devices).map(|number| self.world.device(number, true, ()));
        let mut first: Vec<Device<()>> = devices.collect::<Result<_>>()?;
        let rest = first.split_off(self.devices / 100);
        let (first_count, counted) = (first.len(), rest.len());
        let mut crowd = Crowd::come(first, door);
        crowd.during(passed(&door.caught_up, first_count, PATIENCE, "connected")).await?;
        let before = process.memory()?;
        crowd.join(rest, door);
        crowd.during(passed(&door.caught_up, self.devices, PATIENCE, "connected")).await?;
        Ok(Quiet { crowd, before, counted })
    }
}
