//! `nsq`: the server on a real nsqd, beside what that nsqd does for bare clients.

use super::flight::{Figures, Flight, measure};
use super::steady::{self, Shape};
use super::{ENTRANCE, PATIENCE, fanout};
use crate::bench::crowd::{Crowd, passed};
use crate::bench::device::Door;
use crate::bench::latency::Latencies;
use crate::bench::machine::Observed;
use crate::bench::options;
use crate::bench::reference::nsq as bare;
use crate::bench::report::{Progress, Report, rounded};
use crate::bench::target::{Backing, Target};
use crate::bench::track::Faults;
use crate::bench::world::{Plan, World, shared_rooms};
use anyhow::{Context, Result, ensure};
use lockstep_nsq_client::TopicName;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;

/// Members of each of the crowd's conversations.
const MEMBERS: usize = 10;
/// Sends a second where latency is measured: sparse, so that nothing waits for anything else.
const SPARSE_RATE: f64 = 20.0;

/// The server on a real nsqd, beside bare clients of it: deliveries and opened consumers a second, latency, memory.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Devices of the one conversation where deliveries are counted, the sender not among them.
    #[arg(long, default_value = "40", value_parser = options::count)]
    devices: usize,
    /// Messages that may be under way there: sent, and not yet received by all.
    #[arg(long, default_value = "64", value_parser = options::count)]
    window: usize,
    /// Devices that come all at once, to count the consumers opened for them.
    #[arg(long, default_value = "200", value_parser = options::count)]
    crowd: usize,
    /// Conversations of each of those.
    #[arg(long, default_value = "20", value_parser = options::count)]
    conversations: usize,
    /// How long each is measured, in seconds: deliveries and latencies, of the server and of bare nsqd.
    #[arg(long, default_value = "5", value_parser = options::seconds)]
    seconds: f64,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    body_bytes: usize,
    /// What carries live entries to the devices.
    #[arg(long, value_enum, default_value_t = Target::Nsq)]
    #[serde(skip)]
    target: Target,
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    if options.target != Target::Nsq {
        options::refuse("this scenario is about nsqd: leave --target out, or take another scenario");
    }
    if options.conversations < 2 {
        options::refuse(
            "--conversations must be at least 2: what a consumer costs is told by taking away some of them",
        );
    }
    // Of each device its connection, a consumer for each conversation and the feed, and the topics' own consumers.
    let of_crowd = options.crowd * (2 * options.conversations + 4);
    options::need_sockets(of_crowd.max(4 * (options.devices + 1)));
    let progress = Progress::start(Target::Nsq);
    let (mut faults, served, bare_figures) = deliveries(&options, &progress).await?;
    let crowd = crowd(&options, &progress).await?;
    faults += crowd.faults;
    let (more_faults, latencies) = latency(&options, &progress).await?;
    faults += more_faults;

    let ours = served;
    let mut report = Report::new("nsq", Target::Nsq, &options, faults)?;
    report.number("deliveries_per_s", ours.figures.deliveries_per_s);
    report.number("raw_nsqd_per_s", bare_figures.deliveries_per_s);
    report.number("ratio", ours.figures.deliveries_per_s / bare_figures.deliveries_per_s);
    report.number("from_nsqd_share", ours.from_nsqd.0);
    report.number("log_reads", ours.from_nsqd.1);
    report.number("envelope_bytes", ours.envelope_bytes as f64);
    let [server, nsqd] = ours.figures.cpu_us_per_delivery[..] else { anyhow::bail!("two processes were watched") };
    let cpu = json!({
        "server": rounded(server),
        "nsqd": rounded(nsqd),
        "devices": rounded(ours.figures.load_cpu_us_per_delivery),
        "raw_nsqd": rounded(bare_figures.cpu_us_per_delivery[0]),
        "raw_clients": rounded(bare_figures.load_cpu_us_per_delivery),
    });
    report.value("cpu_us_per_delivery", cpu);
    report.number("consumers", crowd.consumers as f64);
    report.number("consumers_per_s", crowd.per_second);
    report.number("raw_consumers_per_s", crowd.bare_per_second);
    report.number("bytes_per_consumer", crowd.bytes_per_consumer);
    for (name, value) in latencies {
        report.value(name, value);
    }
    Ok(report)
}

/// What the server delivered through nsqd.
struct Delivered {
    figures: Figures,
    from_nsqd: (f64, f64),
    envelope_bytes: usize,
}

/// One conversation at saturation: the server, then as many bare consumers.
async fn deliveries(options: &Options, progress: &Progress) -> Result<(Faults, Delivered, Figures)> {
    let Options { devices, window, seconds, body_bytes, .. } = *options;
    let fanout = fanout::Options { devices, window, seconds, body_bytes, target: Target::Nsq };
    let mut world = fanout::world(&fanout, progress).await?;
    let backing = Target::Nsq.start(2 * window).await?;
    let served = fanout::of_server(&mut world, &fanout, &backing, progress).await?;
    let topic = lockstep_model::TopicPrefix::default().topic(world.rooms[0].id.parse()?);
    let envelope_bytes = mean_bytes(&backing, &topic)?;
    let delivered = Delivered { figures: served.figures, from_nsqd: served.from_nsqd, envelope_bytes };
    drop(backing);
    progress.say(format_args!("measuring bare nsqd for {seconds} s"));
    let bare = bare_deliveries(options, envelope_bytes).await?;
    Ok((served.faults, delivered, bare))
}

/// What nsqd counted of a topic's messages.
fn mean_bytes(backing: &Backing, topic: &str) -> Result<usize> {
    let target = format!("/stats?format=json&include_clients=false&topic={topic}");
    let stats: Value = serde_json::from_slice(&backing.nsqd()?.http("GET", &target, b"")?)?;
    let number = |name: &str| stats["topics"][0][name].as_u64().with_context(|| format!("nsqd tells no {name}"));
    Ok((number("message_bytes")? / number("message_count")?.max(1)) as usize)
}

async fn bare_deliveries(options: &Options, body_bytes: usize) -> Result<Figures> {
    let backing = Target::Nsq.start(2 * options.window).await?;
    let (address, nsqd) = (backing.address()?, backing.observed().context("there is an nsqd")?);
    let (flight, latencies) = (Flight::new(options.devices, options.window), Latencies::new());
    // As many as the server has there: the last one stands for the sender's, and is not counted either.
    let consumers = (0..=options.devices).map(|number| {
        let (flight, mut recorder) = (Arc::clone(&flight), latencies.recorder());
        let counts = number < options.devices;
        let take = move |seq| {
            if counts {
                flight.receive(seq, &mut recorder);
            }
        };
        ("bare".to_owned(), take)
    });
    let consumers = bare::open(&address, consumers).await?;
    let (producer, topic) = (bare::producer(&address).await?, TopicName::new("bare")?);
    let publishing = producer.clone();
    let write = move |bodies: Vec<Vec<u8>>| {
        let taken = match &bodies[..] {
            [body] => publishing.try_publish(&topic, body),
            bodies => publishing.try_publish_many(&topic, bodies),
        };
        // That it arrived is told by the consumers.
        Ok(taken.map(drop)?)
    };
    let message = move |seq| bare::numbered(seq, body_bytes);
    let (_, figures) = measure(&flight, &latencies, message, write, options.seconds, &[nsqd]).await?;
    for consumer in consumers {
        consumer.close().await;
    }
    producer.close().await;
    backing.nsqd()?;
    Ok(figures)
}

/// What a crowd of devices costs.
struct Crowded {
    faults: Faults,
    consumers: usize,
    per_second: f64,
    bare_per_second: f64,
    bytes_per_consumer: f64,
}

/// One server with a crowd on it.
struct Side {
    faults: Faults,
    /// Of devices.
    consumers: usize,
    /// Of topics: one each.
    seqs: usize,
    seconds: f64,
    bytes: f64,
    /// The topic of each consumer, for bare ones to follow.
    topics: Vec<String>,
}

/// A crowd with all conversations, the same with a quarter of them, and as many bare consumers.
async fn crowd(options: &Options, progress: &Progress) -> Result<Crowded> {
    let large = side(options, options.conversations, progress).await?;
    let small = side(options, (options.conversations / 4).max(1), progress).await?;
    progress.say(format_args!("opening {} bare consumers", large.consumers));
    let backing = Target::Nsq.start(0).await?;
    let bare_per_second = bare::consumers_per_second(&backing.address()?, large.topics).await?;
    let mut faults = large.faults;
    faults += small.faults;
    Ok(Crowded {
        faults,
        consumers: large.consumers,
        per_second: (large.consumers + large.seqs) as f64 / large.seconds,
        bare_per_second,
        bytes_per_consumer: (large.bytes - small.bytes) / (large.consumers - small.consumers) as f64,
    })
}

async fn side(options: &Options, conversations: usize, progress: &Progress) -> Result<Side> {
    let rooms = shared_rooms(options.crowd, conversations, MEMBERS);
    let seqs = rooms.len() + options.crowd;
    let in_rooms = rooms.iter().enumerate().flat_map(|(number, room)| vec![format!("room-{number}"); room.len()]);
    let feeds = (0..options.crowd).map(|number| format!("feed-{number}"));
    let topics: Vec<String> = in_rooms.chain(feeds).collect();
    let consumers = topics.len();
    let world = World::make(Plan { people: options.crowd, rooms, messages: 1, body_bytes: options.body_bytes }).await?;
    let devices: Vec<_> = (0..options.crowd).map(|number| world.device(number, true, ())).collect::<Result<_>>()?;
    let backing = Target::Nsq.start(0).await?;
    let server = backing.server(&world.data()).await?;
    let (address, process): (_, Observed) = (server.address(), server.observed());
    let door = Door::new(address, ENTRANCE);
    progress.say(format_args!("{} devices come, with {consumers} consumers", options.crowd));
    let work = async {
        let before = process.memory()?.anonymous as f64;
        let began = Instant::now();
        let mut crowd = Crowd::come(devices, &door);
        crowd.during(backing.fed(address, consumers)).await?;
        let seconds = began.elapsed().as_secs_f64();
        crowd.during(passed(&door.caught_up, options.crowd, PATIENCE, "connected")).await?;
        let bytes = process.memory()?.anonymous as f64 - before;
        anyhow::Ok((world.faults(&crowd.leave().await?), seconds, bytes))
    };
    let (faults, seconds, bytes) = server.during(work).await?;
    ensure!(seconds > 0.0, "the clock stands still");
    Ok(Side { faults, consumers, seqs, seconds, bytes, topics })
}

/// Sparse sends from one device to another: on nsqd, inside the server, and a bare publish to a bare consumer.
async fn latency(options: &Options, progress: &Progress) -> Result<(Faults, Vec<(&'static str, Value)>)> {
    let of = |target| Shape {
        conversations: 1,
        receivers: 1,
        rate: SPARSE_RATE,
        seconds: options.seconds,
        body_bytes: options.body_bytes,
        target,
    };
    let (_, on_nsq) = steady::of_server(&of(Target::Nsq), progress).await?;
    let (_, embedded) = steady::of_server(&of(Target::Embedded), progress).await?;
    progress.say(format_args!("measuring a bare publish for {} s", options.seconds));
    let backing = Target::Nsq.start(0).await?;
    let bare = bare::latency(&backing.address()?, SPARSE_RATE, options.seconds, options.body_bytes).await?;
    let mut faults = on_nsq.faults;
    faults += embedded.faults;
    let p50 = |latency: &Value| latency["p50"].as_f64().context("a latency has its median");
    let over = p50(&on_nsq.latency_ms)? - p50(&bare)? - p50(&embedded.latency_ms)?;
    let fields = vec![
        ("latency_ms", on_nsq.latency_ms),
        ("raw_latency_ms", bare),
        ("embedded_latency_ms", embedded.latency_ms),
        ("latency_over_both_ms", json!(rounded(over))),
        ("latency_from_nsqd_share", json!(rounded(on_nsq.from_nsqd_share))),
    ];
    Ok((faults, fields))
}
