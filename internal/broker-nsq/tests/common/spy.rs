//! Another consumer of a conversation's topic: it sees what lies on the wire.

use super::look::{PATIENCE, channel_name, topic_name};
use lockstep_model::ConversationId;
use lockstep_nsq_client::{
    Consumer, ConsumerSettings, Consumers, Handler, Message, MessageId, Responder, Ticket, Verdict,
};
use lockstep_nsq_servers::Nsqd;
use tokio::sync::mpsc;

/// A consumer of its own channel. What has come waits for whoever asks.
pub(crate) struct Spy {
    seen: mpsc::UnboundedReceiver<Seen>,
    _consumer: Consumer,
}

pub(crate) enum Seen {
    Opened,
    Message(MessageId, Vec<u8>),
}

struct Eyes(mpsc::UnboundedSender<Seen>);

impl Handler for Eyes {
    fn message(&mut self, message: Message<'_>, _: Ticket) -> Verdict {
        let _ = self.0.send(Seen::Message(message.id, message.body.to_vec()));
        Verdict::Finish
    }

    fn opened(&mut self, _: &Responder) {
        let _ = self.0.send(Seen::Opened);
    }
}

impl Spy {
    /// Begins to watch a topic, and waits until it does.
    pub(crate) async fn watch(nsqd: &Nsqd, conversation: ConversationId) -> Self {
        let (eyes, seen) = mpsc::unbounded_channel();
        let consumers = Consumers::new(nsqd.tcp_address().into(), ConsumerSettings::default()).expect("good settings");
        let consumer = consumers.open(topic_name(conversation), channel_name("spy#ephemeral"), Eyes(eyes));
        let mut spy = Self { seen, _consumer: consumer };
        assert!(matches!(spy.next().await, Seen::Opened));
        spy
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> (MessageId, Vec<u8>) {
        loop {
            if let Seen::Message(id, body) = self.next().await {
                return (id, body);
            }
        }
    }

    /// The ids of the messages that have come and were not asked for.
    pub(crate) fn seen_so_far(&mut self) -> Vec<MessageId> {
        let mut ids = Vec::new();
        while let Ok(seen) = self.seen.try_recv() {
            if let Seen::Message(id, _) = seen {
                ids.push(id);
            }
        }
        ids
    }

    async fn next(&mut self) -> Seen {
        let next = tokio::time::timeout(PATIENCE, self.seen.recv()).await;
        next.expect("the spy sees nothing").expect("it is open")
    }
}
