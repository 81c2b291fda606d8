//! What idle consumers cost this process, the broker's own included:
//! `cargo run --release -p lockstep-broker-nsq --example idle_consumers [CONSUMERS] [TOPICS]`
//!
//! Starts an nsqd, opens consumers through the broker, waits until nsqd feeds all, and prints JSON: the growth of this
//! process's anonymous memory per consumer (device, topic), in bytes. Each topic has a consumer of `_seq` besides. Linux
//! only: the figures come from `/proc/self/smaps_rollup`.

#[path = "../tests/common/mod.rs"]
mod common;

use common::listener::Listener;
use common::{furnish, start};
use lockstep_broker_nsq::{Ingest, NsqSettings};
use lockstep_model::{ConversationId, DeviceId};
use lockstep_ports::Broker;
use std::time::Instant;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let consumers = arguments.next().unwrap_or(2_000);
    let topics = arguments.next().unwrap_or(50).min(consumers);
    let (_, nsqds) = start(1, false, |_| {}).await;
    let house = furnish(None, nsqds, |settings: &mut NsqSettings| {
        settings.consumers_per_device_max = topics;
        if std::env::var_os("WITHOUT_SEQ").is_some() {
            settings.ingest = Ingest::Off;
        }
    });
    house.until_connected().await;
    // One first, so that what a process has once is not counted.
    let _warm = Listener::fed(&house.broker, &[ConversationId::generate()]).await;
    let topics: Vec<ConversationId> = (0..topics).map(|_| ConversationId::generate()).collect();
    let mut devices: Vec<_> = (0..consumers / topics.len()).map(|_| Listener::of(DeviceId::generate())).collect();
    let (before, began) = (anonymous_bytes(), Instant::now());
    for device in &mut devices {
        house.broker.open(&topics, &device.mailbox).await;
    }
    for device in &mut devices {
        device.until_fed(&topics).await;
        device.notices.shrink_to_fit();
    }
    let opening = began.elapsed();
    let opened = house.broker.consumers() - 1;
    let each = anonymous_bytes().saturating_sub(before) / opened;
    println!(
        "{{\"consumers\": {opened}, \"topics\": {}, \"opening_ms\": {}, \"anonymous_bytes_per_consumer\": {each}}}",
        topics.len(),
        opening.as_millis()
    );
    house.broker.stop().await;
}

fn anonymous_bytes() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("it is a Linux");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("a line of that name");
    let kilobytes: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kilobytes * 1024
}
