//! `fanout`: one device sends, many get it. As fast as it goes with a bounded number of messages under way.

use super::{ENTRANCE, PATIENCE, drained, warm_up};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Device, Door, Handler, Identity, Order};
use crate::bench::latency::{Clock, Latencies, Recorder};
use crate::bench::machine::Observed;
use crate::bench::process::Process;
use crate::bench::report::{Progress, Report};
use crate::bench::track::Faults;
use crate::bench::world::{Plan, World};
use crate::bench::{frames, options};
use anyhow::{Context, Result, ensure};
use lockstep_model::ClientMsgId;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// One sender, many devices in one conversation: deliveries a second, beside a bare fan-out of the same frames.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Devices in the conversation, the sender not among them.
    #[arg(long, default_value = "1000", value_parser = options::count)]
    devices: usize,
    /// Messages that may be under way: sent, and not yet received by all.
    #[arg(long, default_value = "32", value_parser = options::count)]
    window: usize,
    /// How long is measured, in seconds: the server, then the reference.
    #[arg(long, default_value = "8", value_parser = options::seconds)]
    seconds: f64,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    body_bytes: usize,
}

/// The messages that are under way.
struct Flight {
    clock: Clock,
    devices: u32,
    /// Per message, how many devices have it. A message's place is free again once all have it.
    received: Box<[AtomicU32]>,
    sent_at: Box<[AtomicU64]>,
    /// Messages that all have.
    completed: AtomicU64,
    /// How many more may be sent.
    room: Semaphore,
    running: AtomicBool,
}

impl Flight {
    fn new(options: &Options) -> Arc<Self> {
        let places = options.window.next_power_of_two() * 2;
        Arc::new(Self {
            clock: Clock::start(),
            devices: options.devices as u32,
            received: (0..places).map(|_| AtomicU32::new(0)).collect(),
            sent_at: (0..places).map(|_| AtomicU64::new(0)).collect(),
            completed: AtomicU64::new(0),
            room: Semaphore::new(options.window),
            running: AtomicBool::new(true),
        })
    }

    fn place(&self, seq: u64) -> usize {
        (seq % self.received.len() as u64) as usize
    }
}

/// What a device does here.
enum Part {
    Sender,
    Receiver(Arc<Flight>, Recorder),
}

impl Handler for Part {
    fn entry(&mut self, _: &str, seq: u64) {
        let Self::Receiver(flight, recorder) = self else { return };
        let place = flight.place(seq);
        let sent_at = flight.sent_at[place].load(Ordering::Relaxed);
        recorder.add(Duration::from_nanos(flight.clock.now().saturating_sub(sent_at)));
        if flight.received[place].fetch_add(1, Ordering::AcqRel) + 1 == flight.devices {
            flight.received[place].store(0, Ordering::Release);
            flight.completed.fetch_add(1, Ordering::Relaxed);
            flight.room.add_permits(1);
        }
    }
}

/// What was measured.
struct Figures {
    deliveries_per_s: f64,
    cpu_us_per_delivery: f64,
    /// The same of this process, with all its devices.
    load_cpu_us_per_delivery: f64,
    latency_ms: Value,
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    options::need_sockets(options.devices + 1);
    let progress = Progress::start();
    progress.say(format_args!("making {} devices and their conversation", options.devices));
    let people = options.devices + 1;
    let rooms = vec![(0..people).collect()];
    let mut world = World::make(Plan { people, rooms, messages: 0, body_bytes: options.body_bytes }).await?;
    let (faults, ours) = of_server(&mut world, &options, &progress).await?;
    let reference = of_reference(&world, &options, &progress).await?;
    let mut report = Report::new("fanout", &options, faults)?;
    report.number("deliveries_per_s", ours.deliveries_per_s);
    report.number("reference_per_s", reference.deliveries_per_s);
    report.number("ratio", ours.deliveries_per_s / reference.deliveries_per_s);
    report.value("latency_ms", ours.latency_ms);
    report.number("server_cpu_us_per_delivery", ours.cpu_us_per_delivery);
    report.number("load_cpu_us_per_delivery", ours.load_cpu_us_per_delivery);
    report.value("reference_latency_ms", reference.latency_ms);
    report.number("reference_cpu_us_per_delivery", reference.cpu_us_per_delivery);
    report.number("reference_load_cpu_us_per_delivery", reference.load_cpu_us_per_delivery);
    Ok(report)
}

async fn of_server(world: &mut World, options: &Options, progress: &Progress) -> Result<(Faults, Figures)> {
    let (flight, latencies) = (Flight::new(options), Latencies::new());
    let part = |number| match number {
        0 => Part::Sender,
        _ => Part::Receiver(Arc::clone(&flight), latencies.recorder()),
    };
    let devices: Vec<_> =
        (0..=options.devices).map(|number| world.device(number, false, part(number))).collect::<Result<_>>()?;
    let (room, body) = (world.rooms[0].id.clone(), frames::body(options.body_bytes));
    let frame = move |seq| frames::send(seq, &room, ClientMsgId::random().as_str(), &body);
    let server = Process::server(&world.data()).await?;
    let process = server.observed();
    progress.say("the devices connect to the server");
    let door = door(&server);
    let (sent, devices, figures) = server
        .during(async {
            let mut crowd = Crowd::come(devices, &door);
            crowd.during(passed(&door.caught_up, options.devices + 1, PATIENCE, "connected")).await?;
            progress.say(format_args!("measuring the server for {} s", options.seconds));
            let order = crowd.commander(0);
            let (sent, figures) = crowd.during(measure(&flight, &latencies, order, frame, options, process)).await?;
            anyhow::Ok((sent, crowd.leave().await?, figures))
        })
        .await?;
    world.rooms[0].head = sent;
    let faults = world.faults(&devices);
    drop(devices);
    Ok((faults, Figures { latency_ms: latencies.millis(&["p50", "p99", "max"]), ..figures }))
}

async fn of_reference(world: &World, options: &Options, progress: &Progress) -> Result<Figures> {
    let (flight, latencies) = (Flight::new(options), Latencies::new());
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
    let process = reference.observed();
    let door = door(&reference);
    let figures = reference
        .during(async {
            let mut crowd = Crowd::come(devices, &door);
            crowd.during(passed(&door.caught_up, options.devices + 1, PATIENCE, "connected")).await?;
            progress.say(format_args!("measuring the reference for {} s", options.seconds));
            let order = crowd.commander(0);
            let (_, figures) = crowd.during(measure(&flight, &latencies, order, frame, options, process)).await?;
            crowd.leave().await?;
            anyhow::Ok(figures)
        })
        .await?;
    Ok(Figures { latency_ms: latencies.millis(&["p50", "p99", "max"]), ..figures })
}

fn door(process: &Process) -> Door {
    Door { read_buffer_bytes: 16 * 1_024, ..Door::new(process.address(), ENTRANCE) }
}

/// Sends for the measured time, and waits until all have everything. Says how many messages were sent.
async fn measure(
    flight: &Arc<Flight>,
    latencies: &Latencies,
    order: mpsc::UnboundedSender<Order>,
    frame: impl Fn(u64) -> String + Send + 'static,
    options: &Options,
    process: Observed,
) -> Result<(u64, Figures)> {
    let sending = tokio::spawn(send(Arc::clone(flight), order, frame));
    tokio::time::sleep(warm_up(options.seconds)).await;
    let load = Observed::new(std::process::id());
    let (cpu, load_cpu) = (process.cpu_seconds()?, load.cpu_seconds()?);
    let (began, completed) = (Instant::now(), flight.completed.load(Ordering::Relaxed));
    latencies.record(true);
    tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
    latencies.record(false);
    let (took, completed) = (began.elapsed().as_secs_f64(), flight.completed.load(Ordering::Relaxed) - completed);
    let (cpu, load_cpu) = (process.cpu_seconds()? - cpu, load.cpu_seconds()? - load_cpu);
    flight.running.store(false, Ordering::Relaxed);
    flight.room.add_permits(1);
    let sent = sending.await.context("the sender broke off")??;
    drained(|| flight.completed.load(Ordering::Relaxed), sent).await?;
    let deliveries = completed as f64 * f64::from(flight.devices);
    ensure!(deliveries > 0.0, "nothing arrived within {took:.1} s");
    let figures = Figures {
        deliveries_per_s: deliveries / took,
        cpu_us_per_delivery: cpu * 1e6 / deliveries,
        load_cpu_us_per_delivery: load_cpu * 1e6 / deliveries,
        latency_ms: Value::Null,
    };
    Ok((sent, figures))
}

/// Sends as long as there is room. Messages that have room at the same time are written together.
async fn send(flight: Arc<Flight>, order: mpsc::UnboundedSender<Order>, frame: impl Fn(u64) -> String) -> Result<u64> {
    let mut sent = 0;
    loop {
        let mut written = Vec::new();
        flight.room.acquire().await?.forget();
        loop {
            if !flight.running.load(Ordering::Relaxed) {
                return Ok(sent);
            }
            let seq = sent + written.len() as u64 + 1;
            flight.sent_at[flight.place(seq)].store(flight.clock.now(), Ordering::Relaxed);
            written.push(frame(seq));
            match flight.room.try_acquire() {
                Ok(room) => room.forget(),
                Err(_) => break,
            }
        }
        sent += written.len() as u64;
        order.send(Order::Write(written)).ok().context("the sender is gone")?;
    }
}
