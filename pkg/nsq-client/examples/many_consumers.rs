//! Opens many consumers and says what they cost while nothing happens:
//! `cargo run --release --example many_consumers -- 127.0.0.1:4150 [CONSUMERS] [TOPICS] [SECONDS]`
//!
//! The channels are ephemeral. Prints JSON: how long opening took, the growth of this process's memory per consumer, and
//! the share of one core it used while idle. Linux only: the figures come from `/proc/self`.

use lockstep_nsq_client::{
    ChannelName, ConsumerSettings, Consumers, Handler, Message, Responder, Ticket, TopicName, Verdict,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    all: usize,
    complete: Notify,
}

struct Counter(Arc<Counts>);

impl Handler for Counter {
    fn message(&mut self, _: Message<'_>, _: Ticket) -> Verdict {
        Verdict::Finish
    }

    fn opened(&mut self, _: &Responder) {
        if self.0.opened.fetch_add(1, Ordering::Relaxed) + 1 == self.0.all {
            self.0.complete.notify_one();
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("many_consumers ADDRESS [CONSUMERS] [TOPICS] [SECONDS]")?.parse()?;
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (all, topics, seconds) = (number(5_000)?, number(10)?, number(20)?);
    let consumers = Consumers::new(address, ConsumerSettings::default())?;

    // One first, so that what a process has once is not counted.
    let warm = Arc::new(Counts { all: 1, ..Counts::default() });
    let first = consumers.open(TopicName::new("many-0")?, ChannelName::new("first#ephemeral")?, Counter(warm.clone()));
    warm.complete.notified().await;

    let counts = Arc::new(Counts { all, ..Counts::default() });
    let mut opened = Vec::with_capacity(all);
    let (resident, began) = (resident_bytes()?, Instant::now());
    for number in 0..all {
        let topic = TopicName::new(&format!("many-{}", number % topics.max(1)))?;
        let channel = ChannelName::new(&format!("device-{number}#ephemeral"))?;
        opened.push(consumers.open(topic, channel, Counter(counts.clone())));
    }
    tokio::time::timeout(Duration::from_secs(300), counts.complete.notified()).await?;
    let opening = began.elapsed();
    let each = resident_bytes()?.saturating_sub(resident) / all.max(1);
    let (cpu, began) = (cpu_seconds()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    let idle = 100.0 * (cpu_seconds()? - cpu) / began.elapsed().as_secs_f64();
    let each_later = resident_bytes()?.saturating_sub(resident) / all.max(1);
    println!(
        "{{\"consumers\": {all}, \"topics\": {topics}, \"opening_ms\": {}, \"bytes_per_consumer\": {each}, \
         \"bytes_per_consumer_after_idling\": {each_later}, \"idle_seconds\": {seconds}, \"idle_cpu_percent\": {idle:.3}}}",
        opening.as_millis()
    );
    let began = Instant::now();
    opened.push(first);
    opened.iter().for_each(|consumer| consumer.stop());
    for consumer in opened {
        consumer.close().await;
    }
    eprintln!("closed in {:?}", began.elapsed());
    Ok(())
}

/// The memory of this process that is in use: private pages, in bytes.
fn resident_bytes() -> Result<usize, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<usize>()? * 1024)
}

/// The time that all threads of this process were running, and the system for them.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).ok_or("no times");
    // Fields 14 and 15 of proc(5), counted after the name; 100 ticks a second on every Linux in use.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
