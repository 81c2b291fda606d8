//! When a handler hears that a read is over.

mod common;

use common::{Fake, channel, impatient, message, soon, topic};
use lockstep_nsq_client::{Handler, Message, Ticket, Verdict};
use tokio::sync::mpsc;

/// Counts messages, and tells how many a read had.
struct Counting {
    messages: usize,
    reads: mpsc::UnboundedSender<usize>,
}

impl Handler for Counting {
    fn message(&mut self, _: Message<'_>, _: Ticket) -> Verdict {
        self.messages += 1;
        Verdict::Finish
    }

    fn gathered(&mut self) {
        let _over = self.reads.send(std::mem::take(&mut self.messages));
    }
}

#[tokio::test]
async fn a_handler_hears_when_all_of_a_read_was_given() {
    let fake = Fake::new().await;
    let (reads, mut told) = mpsc::unbounded_channel();
    let consumers = fake.consumers(impatient());
    let _consumer = consumers.open(topic("t"), channel("c"), Counting { messages: 0, reads });
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    peer.write(&[message(1, b"a"), message(2, b"b"), message(3, b"c")].concat()).await;
    // The answer to SUB was a read too.
    let mut messages = 0;
    while messages < 3 {
        messages += soon(told.recv()).await.expect("the consumer lives");
    }
    peer.expect(b"FIN 0000000000000001\nFIN 0000000000000002\nFIN 0000000000000003\n").await;
}
