//! A service that reads a channel.

use lockstep_nsq_client::{
    ChannelName, Consumer, ConsumerSettings, Consumers, Handler, Message, Ticket, TopicName, Verdict,
};
use lockstep_nsq_servers::Nsqd;
use std::time::Duration;
use tokio::sync::mpsc;

/// Waits no longer than a broken test may take.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it did not happen in time")
}

/// Reads a channel and finishes what it reads.
pub(crate) struct Reader {
    consumer: Consumer,
    bodies: mpsc::UnboundedReceiver<Vec<u8>>,
}

struct Bodies(mpsc::UnboundedSender<Vec<u8>>);

impl Handler for Bodies {
    fn message(&mut self, message: Message<'_>, _: Ticket) -> Verdict {
        let _closing = self.0.send(message.body.to_vec());
        Verdict::Finish
    }
}

impl Reader {
    pub(crate) fn open(nsqd: &Nsqd, topic: &str, channel: &str) -> Self {
        let (sender, bodies) = mpsc::unbounded_channel();
        let consumers = Consumers::new(nsqd.tcp_address().into(), ConsumerSettings::default()).expect("settings");
        let (topic, channel) = (TopicName::new(topic).expect("a topic"), ChannelName::new(channel).expect("a channel"));
        Self { consumer: consumers.open(topic, channel, Bodies(sender)), bodies }
    }

    /// The next message's body.
    pub(crate) async fn next(&mut self) -> Vec<u8> {
        soon(self.bodies.recv()).await.expect("the consumer ended")
    }

    pub(crate) async fn close(self) {
        self.consumer.close().await;
    }
}
