//! A fixed rate of sends: in each conversation one device sends, and the others get it.

use super::{ENTRANCE, PATIENCE, drained, warm_up};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::{Device, Door, Handler, Identity, Order};
use crate::bench::latency::{Clock, Latencies, Recorder};
use crate::bench::pace::Pacer;
use crate::bench::process::{Process, counter};
use crate::bench::report::Progress;
use crate::bench::target::{Target, Ways};
use crate::bench::track::Faults;
use crate::bench::world::{Plan, World};
use crate::bench::{frames, options};
use anyhow::{Context, Result};
use lockstep_model::ClientMsgId;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Conversations, each with a sender.
    pub(super) conversations: usize,
    /// Devices of each that get what is sent, the sender not among them.
    pub(super) receivers: usize,
    /// Messages a second, over all conversations.
    pub(super) rate: f64,
    /// How long is measured, in seconds.
    pub(super) seconds: f64,
    pub(super) body_bytes: usize,
    pub(super) target: Target,
}

impl Shape {
    fn devices(&self) -> usize {
        self.conversations * (1 + self.receivers)
    }

    /// On NSQ each device has two consumers, one of its feed, and each topic has one of the server's.
    pub(super) fn need_sockets(&self) {
        let each = if self.target == Target::Nsq { 5 } else { 1 };
        options::need_sockets(self.devices() * each);
    }

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
    /// When each conversation's messages were to be sent, by their seq.
    intended: Vec<Box<[AtomicU64]>>,
    received: AtomicU64,
}

enum Part {
    Sender,
    Receiver { conversation: usize, shared: Arc<Shared>, recorder: Recorder },
}

impl Handler for Part {
    fn entry(&mut self, _: &str, seq: u64) {
        let Self::Receiver { conversation, shared, recorder } = self else { return };
        if let Some(intended) = shared.intended[*conversation].get(seq as usize) {
            let late = shared.clock.now().saturating_sub(intended.load(Ordering::Relaxed));
            recorder.add(Duration::from_nanos(late));
        }
        shared.received.fetch_add(1, Ordering::Relaxed);
    }
}

/// One run of all conversations.
struct Run {
    shared: Arc<Shared>,
    latencies: Latencies,
}

impl Run {
    fn new(shape: &Shape) -> Self {
        let each = shape.messages().0.div_ceil(shape.conversations) + 1;
        let intended = (0..shape.conversations).map(|_| (0..each).map(|_| AtomicU64::new(0)).collect());
        let shared = Shared { clock: Clock::start(), intended: intended.collect(), received: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), latencies: Latencies::new() }
    }

    /// The senders first, then the receivers in the same order.
    fn devices(&self, world: &World, shape: &Shape) -> Result<Vec<Device<Part>>> {
        let senders = shape.conversations;
        let part = |number| match number {
            number if number < senders => Part::Sender,
            number => Part::Receiver {
                conversation: (number - senders) / shape.receivers,
                shared: Arc::clone(&self.shared),
                recorder: self.latencies.recorder(),
            },
        };
        (0..shape.devices()).map(|number| world.device(number, false, part(number))).collect()
    }

    /// Sends every message when its time has come.
    async fn send(
        &self,
        shape: &Shape,
        orders: Vec<mpsc::UnboundedSender<Order>>,
        frame: impl Fn(usize, u64) -> String,
    ) -> Result<()> {
        let (messages, before) = shape.messages();
        let mut pacer = Pacer::new()?;
        let start = Instant::now() + Duration::from_millis(10);
        for number in 0..messages {
            let intended = start + Duration::from_secs_f64(number as f64 / shape.rate);
            let (conversation, seq) = (number % shape.conversations, number / shape.conversations + 1);
            let frame = frame(conversation, seq as u64);
            pacer.until(intended).await?;
            if number == before {
                self.latencies.record(true);
            }
            self.shared.intended[conversation][seq].store(self.shared.clock.at(intended), Ordering::Relaxed);
            orders[conversation].send(Order::Write(vec![frame])).ok().context("a sender is gone")?;
        }
        drained(|| self.shared.received.load(Ordering::Relaxed), (messages * shape.receivers) as u64).await
    }
}

/// What the server did.
pub(super) struct Served {
    pub(super) faults: Faults,
    pub(super) latency_ms: Value,
    /// The share of what the devices got that came through nsqd.
    pub(super) from_nsqd_share: f64,
    /// Rows of the store, cursors included, that were written per send.
    pub(super) rows_per_send: f64,
}

/// Rows that the server's store has written for entries, and for what devices have acknowledged.
async fn rows_written(server: SocketAddr) -> Result<f64> {
    let entries = counter(server, r#"lockstep_store_rows_written_total{of="append"}"#).await?;
    Ok(entries + counter(server, r#"lockstep_store_rows_written_total{of="cursor"}"#).await?)
}

pub(super) async fn of_server(shape: &Shape, progress: &Progress) -> Result<(World, Served)> {
    let (conversations, receivers) = (shape.conversations, shape.receivers);
    progress.say(format_args!("making {} devices", shape.devices()));
    let receivers_of = |room| (0..receivers).map(move |receiver| conversations + room * receivers + receiver);
    let rooms = (0..conversations).map(|room| [room].into_iter().chain(receivers_of(room)).collect()).collect();
    let plan = Plan { people: shape.devices(), rooms, messages: 0, body_bytes: shape.body_bytes };
    let mut world = World::make(plan).await?;
    let backing = shape.target.start(shape.messages().0.min(10_000)).await?;
    let ours = Run::new(shape);
    let devices = ours.devices(&world, shape)?;
    let ids: Vec<String> = world.rooms.iter().map(|room| room.id.clone()).collect();
    let body = frames::body(shape.body_bytes);
    let frame = |room: usize, seq| frames::send(seq, &ids[room], ClientMsgId::random().as_str(), &body);
    let server = backing.server(&world.data()).await?;
    let address = server.address();
    progress.say(format_args!("measuring the server ({}) for {} s", shape.target.name(), shape.seconds));
    let ready = async {
        backing.fed(address, 2 * shape.devices()).await?;
        Ok((Ways::of(address).await?, rows_written(address).await?))
    };
    let messages = shape.messages().0;
    let deliveries = ((1 + receivers) * messages) as u64;
    let done = async |(before, rows_before)| {
        let rows = rows_written(address).await? - rows_before;
        let from_nsqd_share = match shape.target {
            Target::Embedded => 0.0,
            Target::Nsq => Ways::since(before, address, deliveries).await?.0,
        };
        Ok((from_nsqd_share, rows / messages as f64))
    };
    let (devices, (from_nsqd_share, rows_per_send)) = drive(&ours, server, devices, shape, frame, ready, done).await?;
    for (number, room) in world.rooms.iter_mut().enumerate() {
        room.head = (messages + conversations - 1 - number) as u64 / conversations as u64;
    }
    let faults = world.faults(&devices);
    drop(devices);
    let latency_ms = ours.latencies.millis(&["mean", "p50", "p99", "max"]);
    Ok((world, Served { faults, latency_ms, from_nsqd_share, rows_per_send }))
}

/// The same messages through a bare relay that brings each to disk before it passes it on.
pub(super) async fn reference(world: &World, shape: &Shape, progress: &Progress) -> Result<Value> {
    let run = Run::new(shape);
    let mut devices = run.devices(world, shape)?;
    for device in &mut devices {
        device.identity = Identity::Role(match device.handler {
            Part::Sender => format!("from {}", device.index),
            Part::Receiver { conversation, .. } => format!("to {conversation}"),
        });
    }
    let body = frames::body(shape.body_bytes);
    let entries = (0..shape.conversations).map(|room| world.entry_frame(room, room, 0, &body));
    let entries: Vec<String> = entries.collect::<Result<_>>()?;
    let frame = |room: usize, seq| entries[room].replacen(r#""seq":0,"#, &format!(r#""seq":{seq},"#), 1);
    let relay = Process::reference("relay").await?;
    progress.say(format_args!("measuring the reference for {} s", shape.seconds));
    let (ready, done) = (async { Ok(()) }, async |()| Ok(()));
    drop(drive(&run, relay, devices, shape, frame, ready, done).await?);
    Ok(run.latencies.millis(&["mean", "p50", "p99", "max"]))
}

/// Connects, sends, and returns the devices. Before and after the sends it looks at what `ready` and `done` want to see.
async fn drive<B, A>(
    run: &Run,
    process: Process,
    devices: Vec<Device<Part>>,
    shape: &Shape,
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
        let orders = (0..shape.conversations).map(|room| crowd.commander(room)).collect();
        crowd.during(run.send(shape, orders, frame)).await?;
        let after = done(before).await?;
        Ok((crowd.leave().await?, after))
    };
    process.during(work).await
}
