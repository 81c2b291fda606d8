//! `fanout`: one device sends, many get it. As fast as it goes with a bounded number of messages under way.

use super::flight::{Figures, Flight, measure};
use super::{ENTRANCE, PATIENCE};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Device, Door, Handler, Identity, Order};
use crate::bench::latency::{Latencies, Recorder};
use crate::bench::process::Process;
use crate::bench::report::{Progress, Report};
use crate::bench::target::{Backing, Target, Ways};
use crate::bench::track::Faults;
use crate::bench::world::{Plan, World};
use crate::bench::{frames, options};
use anyhow::{Context, Result};
use lockstep_model::ClientMsgId;
use std::sync::Arc;
use tokio::sync::mpsc;

/// One sender, many devices in one conversation: deliveries a second, beside a bare fan-out of the same frames.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Devices in the conversation, the sender not among them.
    #[arg(long, default_value = "1000", value_parser = options::count)]
    pub(super) devices: usize,
    /// Messages that may be under way: sent, and not yet received by all.
    #[arg(long, default_value = "32", value_parser = options::count)]
    pub(super) window: usize,
    /// How long is measured, in seconds: the server, then the reference.
    #[arg(long, default_value = "8", value_parser = options::seconds)]
    pub(super) seconds: f64,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    pub(super) body_bytes: usize,
    /// What carries live entries to the devices.
    #[arg(long, value_enum, default_value_t = Target::Embedded)]
    #[serde(skip)]
    pub(super) target: Target,
}

/// What a device does here.
enum Part {
    Sender,
    Receiver(Arc<Flight>, Recorder),
}

impl Handler for Part {
    fn entry(&mut self, _: &str, seq: u64) {
        let Self::Receiver(flight, recorder) = self else { return };
        flight.receive(seq, recorder);
    }
}

/// What the server did.
pub(super) struct Served {
    pub(super) faults: Faults,
    pub(super) figures: Figures,
    /// The share of what the devices got that came through nsqd, and how often the log was read instead.
    pub(super) from_nsqd: (f64, f64),
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    options.need_sockets();
    let progress = Progress::start(options.target);
    let backing = options.target.start(2 * options.window).await?;
    let mut world = world(&options, &progress).await?;
    let served = of_server(&mut world, &options, &backing, &progress).await?;
    let reference = of_reference(&world, &options, &progress).await?;
    let ours = served.figures;
    let mut report = Report::new("fanout", options.target, &options, served.faults)?;
    report.number("deliveries_per_s", ours.deliveries_per_s);
    report.number("reference_per_s", reference.deliveries_per_s);
    report.number("ratio", ours.deliveries_per_s / reference.deliveries_per_s);
    if options.target == Target::Nsq {
        report.number("from_nsqd_share", served.from_nsqd.0);
        report.number("log_reads", served.from_nsqd.1);
    }
    report.value("latency_ms", ours.latency_ms);
    report.number("server_cpu_us_per_delivery", ours.cpu_us_per_delivery[0]);
    report.number("load_cpu_us_per_delivery", ours.load_cpu_us_per_delivery);
    report.value("reference_latency_ms", reference.latency_ms);
    report.number("reference_cpu_us_per_delivery", reference.cpu_us_per_delivery[0]);
    report.number("reference_load_cpu_us_per_delivery", reference.load_cpu_us_per_delivery);
    Ok(report)
}

impl Options {
    /// On NSQ each device has two consumers, one of its feed, and each topic has one of the server's.
    fn need_sockets(&self) {
        let each = if self.target == Target::Nsq { 4 } else { 1 };
        options::need_sockets((self.devices + 1) * each);
    }
}

/// The devices, and a conversation of them all.
pub(super) async fn world(options: &Options, progress: &Progress) -> Result<World> {
    progress.say(format_args!("making {} devices and their conversation", options.devices));
    let people = options.devices + 1;
    let rooms = vec![(0..people).collect()];
    World::make(Plan { people, rooms, messages: 0, body_bytes: options.body_bytes }).await
}

pub(super) async fn of_server(
    world: &mut World,
    options: &Options,
    backing: &Backing,
    progress: &Progress,
) -> Result<Served> {
    let (flight, latencies) = (Flight::new(options.devices, options.window), Latencies::new());
    let part = |number| match number {
        0 => Part::Sender,
        _ => Part::Receiver(Arc::clone(&flight), latencies.recorder()),
    };
    let people = options.devices + 1;
    let devices: Vec<_> = (0..people).map(|number| world.device(number, false, part(number))).collect::<Result<_>>()?;
    let (room, body) = (world.rooms[0].id.clone(), frames::body(options.body_bytes));
    let frame = move |seq| frames::send(seq, &room, ClientMsgId::random().as_str(), &body);
    let server = backing.server(&world.data()).await?;
    let (address, processes): (_, Vec<_>) =
        (server.address(), [server.observed()].into_iter().chain(backing.observed()).collect());
    progress.say("the devices connect to the server");
    let door = door(&server);
    let (sent, devices, figures, from_nsqd) = server
        .during(async {
            let mut crowd = Crowd::come(devices, &door);
            crowd.during(passed(&door.caught_up, people, PATIENCE, "connected")).await?;
            crowd.during(backing.fed(address, 2 * people)).await?;
            let before = Ways::of(address).await?;
            progress.say(format_args!("measuring the server for {} s", options.seconds));
            let write = writer(crowd.commander(0));
            let measured = measure(&flight, &latencies, frame, write, options.seconds, &processes);
            let (sent, figures) = crowd.during(measured).await?;
            let from_nsqd = match options.target {
                Target::Embedded => (0.0, 0.0),
                Target::Nsq => Ways::since(before, address, sent * people as u64).await?,
            };
            anyhow::Ok((sent, crowd.leave().await?, figures, from_nsqd))
        })
        .await?;
    world.rooms[0].head = sent;
    let faults = world.faults(&devices);
    drop(devices);
    let figures = Figures { latency_ms: latencies.millis(&["p50", "p99", "max"]), ..figures };
    Ok(Served { faults, figures, from_nsqd })
}

/// Lets a device write frames.
fn writer(order: mpsc::UnboundedSender<Order>) -> impl FnMut(Vec<String>) -> Result<()> {
    move |frames| order.send(Order::Write(frames)).ok().context("the sender is gone")
}

async fn of_reference(world: &World, options: &Options, progress: &Progress) -> Result<Figures> {
    let (flight, latencies) = (Flight::new(options.devices, options.window), Latencies::new());
    let devices = (0..=options.devices).map(|number| {
        let (role, part) = match number {
            0 => ("publish", Part::Sender),
            _ => ("subscribe", Part::Receiver(Arc::clone(&flight), latencies.recorder())),
        };
        let mut device = world.device(number, false, part)?;
        device.identity = Identity::Role(role.to_owned());
        Ok(device)
    });
    let devices: Vec<Device<Part>> = devices.collect::<Result<_>>()?;
    // What the server writes for such a message, but for its seq.
    let entry = world.entry_frame(0, 0, 0, &frames::body(options.body_bytes))?;
    let (before, after) = entry.split_once(r#""seq":0,"#).context("an entry has a seq")?;
    let (before, after) = (before.to_owned(), after.to_owned());
    let frame = move |seq| format!(r#"{before}"seq":{seq},{after}"#);
    let reference = Process::reference("fanout").await?;
    let watched = [reference.observed()];
    let door = door(&reference);
    let figures = reference
        .during(async {
            let mut crowd = Crowd::come(devices, &door);
            crowd.during(passed(&door.caught_up, options.devices + 1, PATIENCE, "connected")).await?;
            progress.say(format_args!("measuring the reference for {} s", options.seconds));
            let write = writer(crowd.commander(0));
            let measured = measure(&flight, &latencies, frame, write, options.seconds, &watched);
            let (_, figures) = crowd.during(measured).await?;
            crowd.leave().await?;
            anyhow::Ok(figures)
        })
        .await?;
    Ok(Figures { latency_ms: latencies.millis(&["p50", "p99", "max"]), ..figures })
}

fn door(process: &Process) -> Door {
    Door { read_buffer_bytes: 16 * 1_024, ..Door::new(process.address(), ENTRANCE) }
}
