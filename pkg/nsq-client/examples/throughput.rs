//! How fast one consumer takes a backlog, with and without nsqd's output buffer:
//! `cargo run --release --example throughput -- 127.0.0.1:4150 127.0.0.1:4151 [MESSAGES] [BYTES] [RDY]`
//!
//! Publishes into topics of its own, which it deletes. Prints a line of JSON for each setting. nsqd works for both
//! sides, so that the figure says more about nsqd than about this crate: compare the two programs' use of the processor.

use lockstep_nsq_client::http::NsqdHttp;
use lockstep_nsq_client::{
    Address, ChannelName, ConsumerSettings, Consumers, Handler, Message, OutputBuffer, Producer, Responder, Ticket,
    TopicName, Verdict,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

struct Counter {
    left: usize,
    began: Arc<Notify>,
    done: Arc<Notify>,
}

impl Handler for Counter {
    fn message(&mut self, _: Message<'_>, _: Ticket) -> Verdict {
        self.left -= 1;
        if self.left == 0 {
            self.done.notify_one();
        }
        Verdict::Finish
    }

    fn opened(&mut self, _: &Responder) {
        self.began.notify_one();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "throughput ADDRESS HTTP_ADDRESS [MESSAGES] [BYTES] [RDY]";
    let address: Address = arguments.next().ok_or(usage)?.parse()?;
    let http = NsqdHttp::new(arguments.next().ok_or(usage)?.parse()?, Default::default());
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (messages, bytes, rdy) = (number(200_000)?, number(200)?, number(2_500)?);
    let buffers = [
        ("off", OutputBuffer::Off),
        ("16 KiB, 25 ms", OutputBuffer::On { bytes: 16 * 1024, timeout: Duration::from_millis(25) }),
        ("64 KiB, 25 ms", OutputBuffer::On { bytes: 64 * 1024, timeout: Duration::from_millis(25) }),
    ];
    let producer = Producer::open(address.clone(), Default::default())?;
    producer.connected().await;
    for (index, (name, output_buffer)) in buffers.into_iter().enumerate() {
        let topic = TopicName::new(&format!("throughput-{}-{index}", std::process::id()))?;
        let channel = ChannelName::new("one")?;
        http.create_topic(&topic).await?;
        http.create_channel(&topic, &channel).await?;
        let bodies = vec![vec![b'x'; bytes]; 500];
        for _ in 0..messages.div_ceil(500) {
            producer.publish_many(&topic, &bodies).await?;
        }
        let (began, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = Counter { left: messages, began: began.clone(), done: done.clone() };
        let settings = ConsumerSettings { rdy: u32::try_from(rdy)?, output_buffer, ..Default::default() };
        let consumer = Consumers::new(address.clone(), settings)?.open(topic.clone(), channel, handler);
        began.notified().await;
        let (cpu, start) = (cpu_seconds()?, Instant::now());
        done.notified().await;
        let seconds = start.elapsed().as_secs_f64();
        let busy = 100.0 * (cpu_seconds()? - cpu) / seconds;
        println!(
            "{{\"output_buffer\": \"{name}\", \"rdy\": {rdy}, \"body_bytes\": {bytes}, \"messages_per_second\": {:.0}, \
             \"own_cpu_percent\": {busy:.0}}}",
            messages as f64 / seconds
        );
        consumer.close().await;
        http.delete_topic(&topic).await?;
    }
    producer.close().await;
    Ok(())
}

/// The time that this process was running, and the system for it. Linux only.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).ok_or("no times");
    // Fields 14 and 15 of proc(5), counted after the name; 100 ticks a second on every Linux in use.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
