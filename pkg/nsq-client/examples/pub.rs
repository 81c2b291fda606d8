//! Publishes a message, or a number of them and says how fast that was:
//! `cargo run --release --example pub -- 127.0.0.1:4150 TOPIC BODY [COUNT]`

use lockstep_nsq_client::{Producer, ProducerSettings, PublishError, TopicName};
use std::collections::VecDeque;
use std::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "pub ADDRESS TOPIC BODY [COUNT]";
    let address = arguments.next().ok_or(usage)?.parse()?;
    let topic = TopicName::new(&arguments.next().ok_or(usage)?)?;
    let body = arguments.next().ok_or(usage)?;
    let count: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let settings = ProducerSettings::default();
    let producer = Producer::open(address, settings.clone())?;
    if tokio::time::timeout(settings.connect.connect_timeout, producer.connected()).await != Ok(true) {
        return Err(PublishError::NotConnected.into());
    }
    let began = Instant::now();
    // As many on their way as the producer takes; then the oldest answer is waited for.
    let mut waiting = VecDeque::new();
    for _ in 0..count {
        let publishing = loop {
            match (producer.try_publish(&topic, body.as_bytes()), waiting.pop_front()) {
                (Ok(publishing), oldest) => {
                    oldest.into_iter().for_each(|oldest| waiting.push_front(oldest));
                    break publishing;
                }
                (Err(PublishError::Full), Some(oldest)) => oldest.await?,
                (Err(error), _) => return Err(error.into()),
            }
        };
        waiting.push_back(publishing);
    }
    for publishing in waiting {
        publishing.await?;
    }
    let took = began.elapsed();
    println!("{count} published in {took:?}: {:.0} a second", count as f64 / took.as_secs_f64());
    producer.close().await;
    Ok(())
}
