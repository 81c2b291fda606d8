//! `direct`: pairs of devices, a fixed rate, from the send on one to the other.

use super::{ENTRANCE, PATIENCE, drained, warm_up};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Device, Door, Handler, Identity, Order};
use crate::bench::latency::{Clock, Latencies, Recorder};
use crate::bench::pace::Pacer;
use crate::bench::process::Process;
use crate::bench::report::{Progress, Report};
use crate::bench::target::{Target, Ways};
use crate::bench::track::Faults;
use crate::bench::world::{Plan, World};
use crate::bench::{frames, options};
use anyhow::{Context, Result};
use lockstep_model::ClientMsgId;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Pairs of devices at a fixed rate: latency from one to the other, beside a bare relay that syncs each message to disk.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Pairs of devices, each with a conversation.
    #[arg(long, default_value = "50", value_parser = options::count)]
    pub(super) conversations: usize,
    /// Messages a second, over all pairs.
    #[arg(long, default_value = "60", value_parser = options::rate)]
    pub(super) rate: f64,
    /// How long is measured, in seconds: the server, then the reference.
    #[arg(long, default_value = "20", value_parser = options::seconds)]
    pub(super) seconds: f64,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    pub(super) body_bytes: usize,
    /// What carries live entries to the devices.
    #[arg(long, value_enum, default_value_t = Target::Embedded)]
    #[serde(skip)]
    pub(super) target: Target,
}

impl Options {
    /// Messages that are sent in all, and those of them that come before the measured stretch.
    fn messages(&self) -> (usize, usize) {
        let of = |seconds: f64| (seconds * self.rate).round() as usize;
        let before = of(warm_up(self.seconds).as_secs_f64());
        (before + of(self.seconds).max(1), before)
    }
}

/// What all receivers share.
struct Shared {
    clock: Clock,
    /// When each pair's messages were to be sent, by their seq.
    intended: Vec<Box<[AtomicU64]>>,
    received: AtomicU64,
}

enum Part {
    Sender,
    Receiver { pair: usize, shared: Arc<Shared>, recorder: Recorder },
}

impl Handler for Part {
    fn entry(&mut self, _: &str, seq: u64) {
        let Self::Receiver { pair, shared, recorder } = self else { return };
        if let Some(intended) = shared.intended[*pair].get(seq as usize) {
            let late = shared.clock.now().saturating_sub(intended.load(Ordering::Relaxed));
            recorder.add(Duration::from_nanos(late));
        }
        shared.received.fetch_add(1, Ordering::Relaxed);
    }
}

/// One run of all pairs.
struct Run {
    shared: Arc<Shared>,
    latencies: Latencies,
}

impl Run {
    fn new(options: &Options) -> Self {
        let each = options.messages().0.div_ceil(options.conversations) + 1;
        let intended = (0..options.conversations).map(|_| (0..each).map(|_| AtomicU64::new(0)).collect());
        let shared = Shared { clock: Clock::start(), intended: intended.collect(), received: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), latencies: Latencies::new() }
    }

    /// The senders first, then the receivers in the same order.
    fn devices(&self, world: &World, options: &Options) -> Result<Vec<Device<Part>>> {
        let pairs = options.conversations;
        let part = |number| match number {
            number if number < pairs => Part::Sender,
            number => Part::Receiver {
                pair: number - pairs,
                shared: Arc::clone(&self.shared),
                recorder: self.latencies.recorder(),
            },
        };
        (0..2 * pairs).map(|number| world.device(number, false, part(number))).collect()
    }

    /// Sends every message when its time has come.
    async fn send(
        &self,
        options: &Options,
        orders: Vec<mpsc::UnboundedSender<Order>>,
        frame: impl Fn(usize, u64) -> String,
    ) -> Result<()> {
        let (messages, before) = options.messages();
        let mut pacer = Pacer::new()?;
        let start = Instant::now() + Duration::from_millis(10);
        for number in 0..messages {
            let intended = start + Duration::from_secs_f64(number as f64 / options.rate);
            let (pair, seq) = (number % options.conversations, number / options.conversations + 1);
            let frame = frame(pair, seq as u64);
            pacer.until(intended).await?;
            if number == before {
                self.latencies.record(true);
            }
            self.shared.intended[pair][seq].store(self.shared.clock.at(intended), Ordering::Relaxed);
            orders[pair].send(Order::Write(vec![frame])).ok().context("a sender is gone")?;
        }
        drained(|| self.shared.received.load(Ordering::Relaxed), messages as u64).await
    }
}

/// What the server did.
pub(super) struct Served {
    pub(super) faults: Faults,
    pub(super) latency_ms: Value,
    /// The share of what the devices got that came through nsqd.
    pub(super) from_nsqd_share: f64,
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    // On NSQ each device has two consumers, one of its feed, and each topic has one of the server's.
    let each = if options.target == Target::Nsq { 5 } else { 1 };
    options::need_sockets(2 * options.conversations * each);
    let progress = Progress::start(options.target);
    let (world, served) = of_server(&options, &progress).await?;
    let reference = reference(&world, &options, &progress).await?;
    let mut report = Report::new("direct", options.target, &options, served.faults)?;
    report.value("latency_ms", served.latency_ms);
    report.value("reference_ms", reference);
    if options.target == Target::Nsq {
        report.number("from_nsqd_share", served.from_nsqd_share);
    }
    Ok(report)
}

pub(super) async fn of_server(options: &Options, progress: &Progress) -> Result<(World, Served)> {
    progress.say(format_args!("making {} pairs of devices", options.conversations));
    let pairs = options.conversations;
    let rooms = (0..pairs).map(|pair| vec![pair, pairs + pair]).collect();
    let plan = Plan { people: 2 * pairs, rooms, messages: 0, body_bytes: options.body_bytes };
    let mut world = World::make(plan).await?;
    let backing = options.target.start(options.messages().0.min(10_000)).await?;
    let ours = Run::new(options);
    let devices = ours.devices(&world, options)?;
    let ids: Vec<String> = world.rooms.iter().map(|room| room.id.clone()).collect();
    let body = frames::body(options.body_bytes);
    let frame = |pair: usize, seq| frames::send(seq, &ids[pair], ClientMsgId::random().as_str(), &body);
    let server = backing.server(&world.data()).await?;
    let address = server.address();
    progress.say(format_args!("measuring the server ({}) for {} s", options.target.name(), options.seconds));
    let ready = async {
        backing.fed(address, 4 * pairs).await?;
        Ways::of(address).await
    };
    let deliveries = 2 * options.messages().0 as u64;
    let done = async |before| match options.target {
        Target::Embedded => Ok(0.0),
        Target::Nsq => Ok(Ways::since(before, address, deliveries).await?.0),
    };
    let (devices, from_nsqd_share) = drive(&ours, server, devices, options, frame, ready, done).await?;
    for (pair, room) in world.rooms.iter_mut().enumerate() {
        room.head = (options.messages().0 + pairs - 1 - pair) as u64 / pairs as u64;
    }
    let faults = world.faults(&devices);
    drop(devices);
    let latency_ms = ours.latencies.millis(&["mean", "p50", "p99", "max"]);
    Ok((world, Served { faults, latency_ms, from_nsqd_share }))
}

async fn reference(world: &World, options: &Options, progress: &Progress) -> Result<Value> {
    let run = Run::new(options);
    let mut devices = run.devices(world, options)?;
    for device in &mut devices {
        device.identity = Identity::Role(match device.handler {
            Part::Sender => format!("from {}", device.index),
            Part::Receiver { pair, .. } => format!("to {pair}"),
        });
    }
    let body = frames::body(options.body_bytes);
    let entries = (0..options.conversations).map(|pair| world.entry_frame(pair, pair, 0, &body));
    let entries: Vec<String> = entries.collect::<Result<_>>()?;
    let frame = |pair: usize, seq| entries[pair].replacen(r#""seq":0,"#, &format!(r#""seq":{seq},"#), 1);
    let relay = Process::reference("relay").await?;
    progress.say(format_args!("measuring the reference for {} s", options.seconds));
    let (ready, done) = (async { Ok(()) }, async |()| Ok(()));
    drop(drive(&run, relay, devices, options, frame, ready, done).await?);
    Ok(run.latencies.millis(&["mean", "p50", "p99", "max"]))
}

/// Connects, sends, and returns the devices. Before and after the sends it looks at what `ready` and `done` want to see.
async fn drive<B, A>(
    run: &Run,
    process: Process,
    devices: Vec<Device<Part>>,
    options: &Options,
    frame: impl Fn(usize, u64) -> String,
    ready: impl Future<Output = Result<B>>,
    done: impl AsyncFnOnce(B) -> Result<A>,
) -> Result<(Vec<Device<Part>>, A)> {
    let door = Door::new(process.address(), ENTRANCE);
    let work = async {
        let count = devices.len();
        let mut crowd = Crowd::come(devices, &door);
        crowd.during(passed(&door.caught_up, count, PATIENCE, "connected")).await?;
        let before = crowd.during(ready).await?;
        let orders = (0..options.conversations).map(|pair| crowd.commander(pair)).collect();
        crowd.during(run.send(options, orders, frame)).await?;
        let after = done(before).await?;
        Ok((crowd.leave().await?, after))
    };
    process.during(work).await
}
