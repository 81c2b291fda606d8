//! `bootstrap`: a new device is filled from a main one.

use super::PATIENCE;
use crate::bench::options;
use crate::bench::process::Process;
use crate::bench::reference;
use crate::bench::report::{Progress, Report};
use crate::bench::target::Target;
use crate::bench::track::Faults;
use crate::bench::world::{Plan, Room, World};
use anyhow::{Context, Result, bail};
use lockstep_client::{Client, ClientConfig, Event, Events, Filling, FixedToken, MemoryStore, StopReason};
use lockstep_model::ConversationId;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A new device is filled from a main one: how long until the first conversation is there, and until all are.
#[derive(Debug, clap::Args, serde::Serialize)]
pub(in crate::bench) struct Options {
    /// Conversations of the user.
    #[arg(long, default_value = "100", value_parser = options::count)]
    conversations: usize,
    /// The latest messages of each that are filled, at most 1,000; each conversation has one more.
    #[arg(long, default_value = "100", value_parser = options::count)]
    messages: usize,
    /// Bytes of a message's body.
    #[arg(long, default_value = "64", value_parser = options::body_bytes)]
    body_bytes: usize,
}

/// What the device that is filled has seen.
#[derive(Default)]
struct Seen {
    first_screen_ms: f64,
    total_ms: f64,
    entries: HashMap<ConversationId, Vec<u64>>,
    /// The bytes of each chunk's body, about.
    chunks: Vec<usize>,
}

/// Runs the scenario.
pub(in crate::bench) async fn run(options: Options) -> Result<Report> {
    if options.messages > lockstep_model::limits::BOOTSTRAP_ENTRIES_MAX as usize {
        options::refuse("--messages must be at most 1000: a device is not filled with more of a conversation");
    }
    let progress = Progress::start(Target::Embedded);
    progress.say(format_args!("writing {} messages", options.conversations * (options.messages + 1)));
    let rooms = (0..options.conversations).map(|_| vec![0, 1]).collect();
    let plan = Plan { people: 2, rooms, messages: options.messages + 1, body_bytes: options.body_bytes };
    let world = World::make(plan).await?;
    let sub = world.unfilled_sub(0).await?;
    let server = Process::server(&world.data()).await?;
    let (address, process) = (server.address(), server.observed());
    let (seen, cpu) = server
        .during(async {
            progress.say("the main device takes all of it");
            let store = Arc::new(MemoryStore::with_history(usize::MAX));
            let mut config = config(address, world.token(0), store.clone());
            config.gives_history = Some(store);
            let (main, mut events) = Client::start(config);
            next_of(&mut events, |event| matches!(event, Event::CaughtUp).then_some(())).await?;
            // What it can give was told before this is answered.
            main.unread(vec![world.rooms[0].id.parse()?]).await?;
            tokio::spawn(async move { while events.next().await.is_some() {} });
            progress.say("measuring");
            let cpu = process.cpu_seconds()?;
            let seen = fill(address, &sub, options.messages).await?;
            let cpu = process.cpu_seconds()? - cpu;
            main.stop().await;
            anyhow::Ok((seen, cpu))
        })
        .await?;
    let bare = Process::reference("fanout").await?;
    progress.say("measuring the reference");
    let address = bare.address();
    let reference_ms = bare.during(reference::pass_on(address, &seen.chunks, PATIENCE)).await?;
    let mut report =
        Report::new("bootstrap", Target::Embedded, &options, faults(&world.rooms, &seen, options.messages))?;
    report.number("first_screen_ms", seen.first_screen_ms);
    report.number("total_ms", seen.total_ms);
    report.number("reference_ms", reference_ms);
    report.number("chunks", seen.chunks.len() as f64);
    let entries = options.conversations * options.messages;
    report.number("server_cpu_us_per_entry", cpu * 1e6 / entries as f64);
    Ok(report)
}

fn config(address: SocketAddr, token: &str, store: Arc<MemoryStore>) -> ClientConfig {
    ClientConfig::new(format!("ws://{address}/v1/ws"), Arc::new(FixedToken::new(token)), store)
}

/// Connects the new device, and takes what it is filled with.
async fn fill(address: SocketAddr, token: &str, entries: usize) -> Result<Seen> {
    let mut config = config(address, token, Arc::new(MemoryStore::with_history(usize::MAX)));
    config.fill_entries = Some(u32::try_from(entries)?);
    let mut seen = Seen::default();
    let began = Instant::now();
    let elapsed_ms = || began.elapsed().as_secs_f64() * 1e3;
    let (client, mut events) = Client::start(config);
    next_of(&mut events, |event| match event {
        Event::Filling(Filling::Entries { conversation, entries, last, .. }) => {
            if last && seen.first_screen_ms == 0.0 {
                seen.first_screen_ms = elapsed_ms();
            }
            let json = entries.iter().filter_map(|entry| serde_json::to_string(entry).ok());
            seen.chunks.push(json.map(|json| json.len() + 1).sum());
            seen.entries.entry(conversation).or_default().extend(entries.iter().map(|entry| entry.seq.get()));
            None
        }
        Event::Filling(Filling::Done { .. }) => {
            seen.total_ms = elapsed_ms();
            Some(())
        }
        _ => None,
    })
    .await?;
    client.stop().await;
    Ok(seen)
}

/// Takes events up to one that is looked for.
async fn next_of<T>(events: &mut Events, mut found: impl FnMut(Event) -> Option<T>) -> Result<T> {
    let looking = async {
        loop {
            match events.next().await {
                Some(Event::Stopped(StopReason::Asked)) | None => bail!("a device has stopped"),
                Some(Event::Stopped(reason)) => bail!("a device has stopped: {reason}"),
                Some(Event::Disconnected { reason, .. }) => bail!("a device was disconnected: {reason}"),
                Some(event) => {
                    if let Some(found) = found(event) {
                        return Ok(found);
                    }
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.context("a device does not get what it waits for")?
}

/// What is missing of the latest messages, and what came twice or out of order.
fn faults(rooms: &[Room], seen: &Seen, messages: usize) -> Faults {
    let mut faults = Faults::default();
    for room in rooms {
        let id = room.id.parse().ok();
        let seqs = id.and_then(|id: ConversationId| seen.entries.get(&id)).map_or(&[][..], Vec::as_slice);
        let wanted = room.head.saturating_sub(messages as u64) + 1..=room.head;
        faults.lost += wanted.filter(|seq| !seqs.contains(seq)).count() as u64;
        faults.reordered += seqs.windows(2).filter(|pair| pair[0] > pair[1]).count() as u64;
        let mut once = seqs.to_vec();
        once.sort_unstable();
        once.dedup();
        faults.duplicated += (seqs.len() - once.len()) as u64;
    }
    faults
}
