//! Shows what is published in a topic: `cargo run --example tail -- 127.0.0.1:4150 TOPIC [CHANNEL]`

use lockstep_nsq_client::{
    ChannelName, Consumers, Disconnect, Handler, Message, Responder, Ticket, TopicName, Verdict,
};
use std::time::Duration;

struct Tail;

impl Handler for Tail {
    fn message(&mut self, message: Message<'_>, _: Ticket) -> Verdict {
        let Message { timestamp_ns, attempts, id, body } = message;
        println!("{timestamp_ns} {id} attempt {attempts}: {}", body.escape_ascii());
        Verdict::Finish
    }

    fn opened(&mut self, _: &Responder) {
        eprintln!("subscribed");
    }

    fn closed(&mut self, reason: &Disconnect, retry: Option<Duration>) {
        eprintln!("disconnected: {reason:?}; next try: {retry:?}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "tail ADDRESS TOPIC [CHANNEL]";
    let address = arguments.next().ok_or(usage)?.parse()?;
    let topic = TopicName::new(&arguments.next().ok_or(usage)?)?;
    let channel = ChannelName::new(arguments.next().as_deref().unwrap_or("tail#ephemeral"))?;
    let consumer = Consumers::new(address, Default::default())?.open(topic, channel, Tail);
    tokio::signal::ctrl_c().await?;
    eprintln!("{:?}", consumer.close().await);
    Ok(())
}
