//! Bare nsqd: consumers and a producer of the NSQ client in this process, with the settings that the server gives them.

use super::super::crowd::passed;
use super::super::latency::{Clock, Latencies, Recorder};
use super::super::pace::Pacer;
use anyhow::{Context, Result, ensure};
use lockstep_nsq_client::{
    Address, ChannelName, ConnectSettings, Consumer, ConsumerSettings, Consumers, Handler, Message, Producer,
    ProducerSettings, Responder, Ticket, TopicName, Verdict,
};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long something may take on nsqd.
const PATIENCE: Duration = Duration::from_secs(60);
/// Consumers that connect at once: as the server's.
const CONNECTING_MAX: usize = 32;

/// A consumer that hands on the number at the beginning of each body.
struct Numbered<F> {
    take: F,
    opened: Arc<Semaphore>,
}

impl<F: FnMut(u64) + Send + 'static> Handler for Numbered<F> {
    fn message(&mut self, message: Message<'_>, _: Ticket) -> Verdict {
        if let Some(number) = message.body.first_chunk() {
            (self.take)(u64::from_be_bytes(*number));
        }
        Verdict::Finish
    }

    fn opened(&mut self, _: &Responder) {
        self.opened.add_permits(1);
    }
}

/// A body that begins with a number.
pub(in super::super) fn numbered(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(bytes.max(body.len()), b'x');
    body
}

/// The channel of a topic that the server consumes beside those of devices.
const SEQ: &str = "_seq";

/// Opens a consumer for each of these topics and handlers, and one of `_seq` for each topic, as the server does; waits
/// until all are open. They close when they are dropped.
pub(in super::super) async fn open<F>(
    address: &Address,
    wanted: impl IntoIterator<Item = (String, F)>,
) -> Result<Vec<Consumer>>
where
    F: FnMut(u64) + Send + 'static,
{
    let connect = ConnectSettings { client_id: "lockstep".into(), ..ConnectSettings::default() };
    let settings = ConsumerSettings { connect, connecting_max: CONNECTING_MAX, ..ConsumerSettings::default() };
    let consumers = Consumers::new(address.clone(), settings)?;
    let opened = Arc::new(Semaphore::new(0));
    let (mut all, mut topics) = (Vec::new(), HashSet::new());
    for (number, (topic, take)) in wanted.into_iter().enumerate() {
        let topic = TopicName::new(&topic)?;
        if topics.insert(topic.clone()) {
            let handler = Numbered { take: |_| {}, opened: Arc::clone(&opened) };
            all.push(consumers.open(topic.clone(), ChannelName::new(SEQ)?, handler));
        }
        let channel = ChannelName::new(&format!("device-{number}#ephemeral"))?;
        let handler = Numbered { take, opened: Arc::clone(&opened) };
        all.push(consumers.open(topic, channel, handler));
    }
    passed(&opened, all.len(), PATIENCE, "consuming").await?;
    Ok(all)
}

/// A producer that is connected.
pub(in super::super) async fn producer(address: &Address) -> Result<Producer> {
    let producer = Producer::open(address.clone(), ProducerSettings::default())?;
    let connected = tokio::time::timeout(PATIENCE, producer.connected()).await;
    ensure!(connected.context("nsqd does not answer")?, "nsqd does not take publishes");
    Ok(producer)
}

/// Consumers a second, those of `_seq` among them, that are opened on these topics, one after the other as fast as it goes.
pub(in super::super) async fn consumers_per_second(address: &Address, topics: Vec<String>) -> Result<f64> {
    let began = Instant::now();
    let consumers = open(address, topics.into_iter().map(|topic| (topic, |_| {}))).await?;
    let rate = consumers.len() as f64 / began.elapsed().as_secs_f64();
    for consumer in consumers.iter() {
        consumer.stop();
    }
    for consumer in consumers {
        consumer.close().await;
    }
    Ok(rate)
}

/// The latency of messages at a fixed rate, from the moment when each was to be published to its consumer.
pub(in super::super) async fn latency(address: &Address, rate: f64, seconds: f64, bytes: usize) -> Result<Value> {
    let (clock, latencies, received) = (Clock::start(), Latencies::new(), Arc::new(AtomicU64::new(0)));
    let mut recorder: Recorder = latencies.recorder();
    let count = Arc::clone(&received);
    let take = move |at| {
        recorder.add(Duration::from_nanos(clock.now().saturating_sub(at)));
        count.fetch_add(1, Ordering::Relaxed);
    };
    let topic = "bare-latency";
    let consumers = open(address, [(topic.to_owned(), take)]).await?;
    let (producer, topic) = (producer(address).await?, TopicName::new(topic)?);
    let (before, messages) = (rate.ceil() as u64, (rate * seconds).ceil() as u64);
    let mut pacer = Pacer::new()?;
    let start = Instant::now() + Duration::from_millis(10);
    for number in 0..before + messages {
        let intended = start + Duration::from_secs_f64(number as f64 / rate);
        pacer.until(intended).await?;
        latencies.record(number >= before);
        producer.publish(&topic, &numbered(clock.at(intended), bytes)).await?;
    }
    super::super::scenario::drained(|| received.load(Ordering::Relaxed), before + messages).await?;
    ensure!(received.load(Ordering::Relaxed) == before + messages, "nsqd lost a message");
    // What a consumer has gathered it gives when its task ends.
    for consumer in consumers {
        consumer.close().await;
    }
    producer.close().await;
    Ok(latencies.millis(&["mean", "p50", "p99", "max"]))
}
