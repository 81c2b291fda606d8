//! `storm`: all devices drop at once, miss something, and return at once.

use super::sender::{Sender, Sends};
use super::{ENTRANCE, PATIENCE, drained};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Device, Door, Handler};
use crate::bench::latency::Latencies;
use crate::bench::process::Process;
use crate::bench::report::{Progress, Report};
use crate::bench::target::Target;
use crate::bench::world::{Plan, World, shared_rooms};
use crate::bench::{frames, options};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// Conversations of one sender. The server allows a user 10,000.
const ROOMS_PER_SENDER: usize = 4_000;
/// Sends that a sender has under way.
const SENDS_UNDER_WAY: usize = 128;

/// All devices drop and return at once: seconds until all are let in, and until all have what they missed.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Devices, each of another user.
    #[arg(long, default_value = "10000", value_parser = options::count)]
    devices: usize,
    /// Conversations of each device.
    #[arg(long, default_value = "20", value_parser = options::count)]
    conversations: usize,
    /// Devices that share a conversation.
    #[arg(long, default_value = "10", value_parser = options::count)]
    members: usize,
    /// Messages that are sent to each conversation while all are away.
    #[arg(long, default_value = "1", value_parser = options::count)]
    messages: usize,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    body_bytes: usize,
}

/// A device that waits for what it missed.
struct Returning {
    missed: usize,
    /// Gets a permit once all of it is there.
    complete: Arc<Semaphore>,
}

impl Handler for Returning {
    fn entry(&mut self, _: &str, _: u64) {
        self.missed = self.missed.saturating_sub(1);
        if self.missed == 0 {
            self.complete.add_permits(1);
        }
    }
}

/// What was measured.
struct Figures {
    seconds_to_all_live: f64,
    seconds_to_all_caught_up: f64,
    cpu_seconds: f64,
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    let mut rooms = shared_rooms(options.devices, options.conversations, options.members);
    let senders = rooms.len().div_ceil(ROOMS_PER_SENDER);
    options::need_sockets(options.devices + senders);
    let progress = Progress::start(Target::Embedded);
    progress.say(format_args!("making {} devices and {} conversations", options.devices, rooms.len()));
    // In each conversation there is one more, who sends while the others are away.
    for (number, members) in rooms.iter_mut().enumerate() {
        members.insert(0, options.devices + number % senders);
    }
    let people = options.devices + senders;
    let mut world = World::make(Plan { people, rooms, messages: 1, body_bytes: options.body_bytes }).await?;
    let complete = Arc::new(Semaphore::new(0));
    let returning = || Returning { missed: options.conversations * options.messages, complete: Arc::clone(&complete) };
    let devices: Vec<_> =
        (0..options.devices).map(|number| world.device(number, true, returning())).collect::<Result<_>>()?;
    let shared = Sends::new();
    let speakers = speakers(&world, &options, senders, &shared)?;
    let server = Process::server(&world.data()).await?;
    let (address, process) = (server.address(), server.observed());

    let work = async {
        let door = Door::new(address, ENTRANCE);
        let mut speakers = Crowd::come(speakers, &door);
        let mut crowd = Crowd::come(devices, &door);
        let connected = passed(&door.caught_up, people, PATIENCE, "connected");
        speakers.during(crowd.during(connected)).await?;
        progress.say("all devices drop; messages are sent");
        let mut devices = crowd.leave().await?;
        speakers.go();
        let missed = (world.rooms.len() * options.messages) as u64;
        speakers.during(drained(|| shared.received().min(shared.answered()), missed)).await?;
        devices.iter_mut().for_each(Device::prepare);
        progress.say("all devices return");
        let (began, cpu) = (Instant::now(), process.cpu_seconds()?);
        // Nobody waits for anybody.
        let door = Door::new(address, options.devices);
        let mut crowd = Crowd::come(devices, &door);
        let returned = async {
            passed(&door.welcome, options.devices, PATIENCE, "let in").await?;
            let seconds_to_all_live = began.elapsed().as_secs_f64();
            passed(&complete, options.devices, PATIENCE, "complete").await?;
            passed(&door.caught_up, options.devices, PATIENCE, "caught up").await?;
            let seconds_to_all_caught_up = began.elapsed().as_secs_f64();
            let cpu_seconds = process.cpu_seconds()? - cpu;
            Ok(Figures { seconds_to_all_live, seconds_to_all_caught_up, cpu_seconds })
        };
        let figures = speakers.during(crowd.during(returned)).await?;
        anyhow::Ok((crowd.leave().await?, speakers.leave().await?, figures))
    };
    let (devices, speakers, figures) = server.during(work).await?;
    world.rooms.iter_mut().for_each(|room| room.head += options.messages as u64);
    let mut faults = world.faults(&devices);
    faults += world.faults(&speakers);
    let mut report = Report::new("storm", Target::Embedded, &options, faults)?;
    report.number("seconds_to_all_live", figures.seconds_to_all_live);
    report.number("seconds_to_all_caught_up", figures.seconds_to_all_caught_up);
    report.number("server_cpu_seconds", figures.cpu_seconds);
    Ok(report)
}

/// Those who send: each to its conversations in turn, as often as there are messages.
fn speakers(world: &World, options: &Options, count: usize, shared: &Arc<Sends>) -> Result<Vec<Device<Sender>>> {
    let latencies = Latencies::new();
    let body: Arc<str> = frames::body(options.body_bytes).into();
    let speaker = |number: usize| {
        let rooms = world.rooms.iter().skip(number).step_by(count).map(|room| room.id.clone());
        let rooms: Vec<String> = rooms.collect();
        let most = (rooms.len() * options.messages) as u64;
        let (shared, recorder) = (Arc::clone(shared), latencies.recorder());
        let sender = Sender::new(shared, recorder, rooms, Arc::clone(&body), SENDS_UNDER_WAY, most);
        world.device(options.devices + number, true, sender)
    };
    (0..count).map(speaker).collect::<Result<_>>().context("the senders cannot be made")
}
