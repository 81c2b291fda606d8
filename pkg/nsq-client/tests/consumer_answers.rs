//! When a consumer's answers leave, and when a handler hears that a read is over.

mod common;

use common::{Fake, Peer, Subscriber, channel, impatient, message, soon, topic};
use lockstep_nsq_client::{ConsumerSettings, Consumers, Handler, Message, Ticket, Verdict};
use std::time::Duration;
use tokio::sync::mpsc;

fn consumers(fake: &Fake, answer_delay: Duration) -> Consumers {
    let settings = ConsumerSettings { connect: impatient(), answer_delay, ..ConsumerSettings::default() };
    Consumers::new(fake.address(), settings).expect("good settings")
}

async fn open(fake: &Fake, answer_delay: Duration) -> (Subscriber, Peer) {
    let consumers = consumers(fake, answer_delay);
    let mut subscriber = Subscriber::open(&consumers, topic("t"), channel("c"), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    subscriber.opened().await;
    (subscriber, peer)
}

fn fins(numbers: impl Iterator<Item = u64>) -> String {
    numbers.map(|number| format!("FIN {number:016x}\n")).collect()
}

/// The consumer runs on the thread of the test: what it has not written when its handler was heard, it has let wait.
#[tokio::test]
async fn they_wait_for_others_until_a_quarter_of_rdy_has_gathered() {
    let fake = Fake::new().await;
    let (mut subscriber, mut peer) = open(&fake, Duration::from_secs(1)).await;
    for number in 0..50 {
        peer.write(&message(number, b"a")).await;
        subscriber.message().await;
        let read = peer.stream.try_read(&mut [0; 64]);
        assert!(read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "after {number}");
    }
    peer.write(&message(50, b"a")).await;
    peer.expect(fins(0..51).as_bytes()).await;
}

#[tokio::test]
async fn they_leave_when_the_time_is_over() {
    let fake = Fake::new().await;
    let (_subscriber, mut peer) = open(&fake, Duration::from_millis(1)).await;
    for number in 0..3 {
        peer.write(&message(number, b"a")).await;
        peer.expect(fins(number..=number).as_bytes()).await;
    }
}

#[tokio::test]
async fn they_leave_before_whatever_is_urgent() {
    let fake = Fake::new().await;
    let (mut subscriber, mut peer) = open(&fake, Duration::from_secs(1)).await;
    peer.write(&message(1, b"a")).await;
    subscriber.message().await;
    subscriber.consumer.stop();
    peer.expect(b"FIN 0000000000000001\nCLS\n").await;
}

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
    let consumers = consumers(&fake, Duration::ZERO);
    let _consumer = consumers.open(topic("t"), channel("c"), Counting { messages: 0, reads });
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    peer.write(&[message(1, b"a"), message(2, b"b"), message(3, b"c")].concat()).await;
    // The answer to SUB was a read too.
    let mut messages = 0;
    while messages < 3 {
        messages += soon(told.recv()).await.expect("the consumer lives");
    }
    peer.expect(fins(1..4).as_bytes()).await;
}
