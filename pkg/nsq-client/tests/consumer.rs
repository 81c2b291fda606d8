//! What a consumer does: answers, closing, coming back.

mod common;

use common::{Fake, Heard, id, impatient, message, soon};
use lockstep_nsq_client::{AnswerError, CloseOutcome, ConnectSettings, Disconnect, Reconnect, Step, Verdict};
use std::time::Duration;
use tokio::net::TcpListener;

#[tokio::test]
async fn it_says_who_it_is_and_asks_for_no_buffer() {
    let fake = Fake::new().await;
    let subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let identity = fake.accept().await.greeted().await;
    assert_eq!(identity["output_buffer_size"], -1);
    assert_eq!(identity["output_buffer_timeout"], -1);
    assert_eq!(identity["heartbeat_interval"], 30_000);
    assert_eq!(identity["feature_negotiation"], true);
    assert_eq!(identity["msg_timeout"], 0);
    assert!(!subscriber.consumer.is_open());
}

#[tokio::test]
async fn verdicts_are_answers() {
    let cases = [
        (Verdict::Finish, "FIN 0000000000000001\nFIN 0000000000000002\n"),
        (Verdict::Requeue(Duration::from_millis(90)), "REQ 0000000000000001 90\nREQ 0000000000000002 90\n"),
    ];
    for (verdict, expected) in cases {
        let fake = Fake::new().await;
        let mut subscriber = fake.subscriber(impatient(), verdict);
        let mut peer = fake.accept().await;
        peer.subscribed().await;
        subscriber.opened().await;
        peer.write(&[message(1, b"a"), message(2, b"b")].concat()).await;
        assert_eq!(subscriber.message().await.1.id(), id(1));
        peer.expect(expected.as_bytes()).await;
    }
}

#[tokio::test]
async fn held_messages_are_answered_later() {
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Hold);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    let responder = subscriber.opened().await;
    peer.write(&[message(1, b"a"), message(2, b"b"), message(3, b"c")].concat()).await;
    let [a, b, c] = [subscriber.message().await.1, subscriber.message().await.1, subscriber.message().await.1];
    responder.touch(c).expect("open");
    responder.finish(b).expect("open");
    subscriber.consumer.responder().requeue(a, Duration::from_secs(1)).expect("open");
    // What was held was not answered by itself: this is all that comes.
    peer.expect(b"TOUCH 0000000000000003\nFIN 0000000000000002\nREQ 0000000000000001 1000\n").await;
    // Another connection's messages are none of this one's.
    drop(peer);
    assert!(matches!(subscriber.closed().await.0, Disconnect::Closed));
    assert_eq!(responder.finish(c), Err(AnswerError::Gone));
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    let responder = subscriber.opened().await;
    assert_eq!(responder.finish(c), Err(AnswerError::Gone));
    peer.write(&message(3, b"c")).await;
    responder.finish(subscriber.message().await.1).expect("open");
    peer.expect(b"FIN 0000000000000003\n").await;
}

#[tokio::test]
async fn waiting_answers_are_bounded() {
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Hold);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    let responder = subscriber.opened().await;
    peer.write(&message(1, b"a")).await;
    let ticket = subscriber.message().await.1;
    // This thread is the consumer's too: it takes nothing meanwhile.
    let taken = (0..100_000).take_while(|_| responder.touch(ticket).is_ok()).count();
    assert!((400..1_000).contains(&taken), "{taken}");
    assert_eq!(responder.touch(ticket), Err(AnswerError::Full));
    peer.expect(&b"TOUCH 0000000000000001\n".repeat(taken)).await;
    assert_eq!(responder.touch(ticket), Ok(()));
}

#[tokio::test]
async fn closing_says_goodbye() {
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Hold);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    let responder = subscriber.opened().await;
    peer.write(&message(1, b"a")).await;
    let ticket = subscriber.message().await.1;
    responder.finish(ticket).expect("open");
    let server = async {
        peer.expect(b"FIN 0000000000000001\nCLS\n").await;
        // What was on its way goes back at once.
        peer.write(&message(2, b"late")).await;
        peer.respond(b"_heartbeat_").await;
        peer.expect(b"REQ 0000000000000002 0\nNOP\n").await;
        peer.respond(b"CLOSE_WAIT").await;
        assert_eq!(peer.rest().await, b"");
    };
    let (outcome, ()) = tokio::join!(soon(subscriber.consumer.close()), server);
    assert_eq!(outcome, CloseOutcome::Orderly);
    assert_eq!(responder.finish(ticket), Err(AnswerError::Gone));
    assert!(matches!(subscriber.heard.recv().await, Some(Heard::Closed(Disconnect::Stopped, None))));
    assert!(subscriber.heard.recv().await.is_none(), "the handler is gone");
    assert!(!fake.is_called().await);
}

#[tokio::test]
async fn a_server_that_does_not_answer_cls_is_left() {
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    subscriber.opened().await;
    assert_eq!(soon(subscriber.consumer.close()).await, CloseOutcome::Severed);
    assert_eq!(peer.rest().await, b"CLS\n");
    let heard = subscriber.heard.recv().await;
    assert!(matches!(heard, Some(Heard::Closed(Disconnect::Timeout(Step::Closing), None))), "{heard:?}");
    assert!(!fake.is_called().await);
}

#[tokio::test]
async fn no_sub_is_sent_after_the_end() {
    // While it waits for the answer to IDENTIFY.
    let fake = Fake::new().await;
    let subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.greeted().await;
    subscriber.consumer.stop();
    peer.respond(b"OK").await;
    assert_eq!(soon(subscriber.consumer.close()).await, CloseOutcome::NotSubscribed);
    assert_eq!(peer.rest().await, b"");
    assert!(!fake.is_called().await);

    // While it waits for the next try.
    let fake = Fake::new().await;
    let long = Reconnect { base: Duration::from_secs(600), cap: Duration::from_secs(600), tries_max: None };
    let mut subscriber = fake.subscriber(ConnectSettings { reconnect: long, ..impatient() }, Verdict::Finish);
    drop(fake.accept().await);
    subscriber.closed().await;
    assert_eq!(soon(subscriber.consumer.close()).await, CloseOutcome::NotSubscribed);
    assert!(!fake.is_called().await);

    // Dropping is closing without waiting.
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    subscriber.opened().await;
    drop(subscriber.consumer);
    assert_eq!(peer.rest().await, b"CLS\n");
}

#[tokio::test]
async fn a_stop_while_subscribing_waits_for_the_answer() {
    // It comes: then the subscription is taken back, and the handler never hears of it.
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.greeted().await;
    peer.respond(b"OK").await;
    peer.expect(b"SUB t c\nRDY 200\n").await;
    subscriber.consumer.stop();
    peer.respond(b"OK").await;
    peer.expect(b"CLS\n").await;
    peer.respond(b"CLOSE_WAIT").await;
    assert_eq!(soon(subscriber.consumer.close()).await, CloseOutcome::Orderly);
    let heard = subscriber.heard.recv().await;
    assert!(matches!(heard, Some(Heard::Closed(Disconnect::Stopped, None))), "{heard:?}");

    // It does not come: then nobody knows whether the server will still read the SUB.
    let fake = Fake::new().await;
    let connect = ConnectSettings { connect_timeout: Duration::from_millis(100), ..impatient() };
    let subscriber = fake.subscriber(connect, Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.greeted().await;
    peer.respond(b"OK").await;
    peer.expect(b"SUB t c\nRDY 200\n").await;
    assert_eq!(soon(subscriber.consumer.close()).await, CloseOutcome::Unknown);
    assert!(!fake.is_called().await);
}

#[tokio::test]
async fn it_comes_back_until_it_is_told_not_to() {
    let fake = Fake::new().await;
    let tries = Reconnect { base: Duration::from_millis(1), cap: Duration::from_secs(60), tries_max: Some(2) };
    let mut subscriber = fake.subscriber(ConnectSettings { reconnect: tries, ..impatient() }, Verdict::Finish);
    for tries_left in [2, 1, 0] {
        let mut peer = fake.accept().await;
        peer.subscribed().await;
        subscriber.opened().await;
        drop(peer);
        let (reason, retry) = subscriber.closed().await;
        assert!(matches!(reason, Disconnect::Closed), "{reason:?}");
        assert_eq!(retry.is_some(), tries_left > 0, "{retry:?}");
    }
    assert_eq!(soon(subscriber.consumer.ended()).await, CloseOutcome::Severed);
    assert!(subscriber.heard.recv().await.is_none(), "the handler is gone");
    assert!(!fake.is_called().await);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    drop(listener);
    let consumers = lockstep_nsq_client::Consumers::new(
        address.into(),
        lockstep_nsq_client::ConsumerSettings { connect: impatient(), ..Default::default() },
    )
    .expect("good settings");
    let mut subscriber =
        common::Subscriber::open(&consumers, common::topic("t"), common::channel("c"), Verdict::Finish);
    for _ in 0..3 {
        let (reason, retry) = subscriber.closed().await;
        assert!(matches!(reason, Disconnect::Connect(_)) && retry.is_some(), "{reason:?}");
    }
    assert_eq!(soon(subscriber.consumer.close()).await, CloseOutcome::NotSubscribed);
}

#[tokio::test]
async fn it_connects_from_the_address_it_is_given() {
    let fake = Fake::new().await;
    let source = std::net::Ipv4Addr::new(127, 0, 0, 9).into();
    let _subscriber = fake.subscriber(ConnectSettings { source: Some(source), ..impatient() }, Verdict::Finish);
    assert_eq!(fake.accept().await.stream.peer_addr().expect("connected").ip(), source);
}

#[tokio::test]
async fn so_many_connect_at_once_and_no_more() {
    let fake = Fake::new().await;
    let settings =
        lockstep_nsq_client::ConsumerSettings { connect: impatient(), connecting_max: 2, ..Default::default() };
    let consumers = lockstep_nsq_client::Consumers::new(fake.address(), settings).expect("good settings");
    let mut subscribers: Vec<_> = (0..3)
        .map(|_| common::Subscriber::open(&consumers, common::topic("t"), common::channel("c"), Verdict::Finish))
        .collect();
    let (mut first, mut second) = (fake.accept().await, fake.accept().await);
    first.greeted().await;
    second.greeted().await;
    assert!(!fake.is_called().await);
    // One gets through, and the third has its turn.
    first.respond(b"OK").await;
    first.expect(b"SUB t c\nRDY 200\n").await;
    first.respond(b"OK").await;
    fake.accept().await.greeted().await;
    let mut opened = 0;
    for subscriber in &mut subscribers {
        opened += usize::from(subscriber.consumer.is_open());
    }
    assert_eq!(opened, 1);
}

#[tokio::test]
async fn a_dropped_task_is_an_end() {
    let fake = Fake::new().await;
    let (consumer, task) = fake.consumers(impatient()).prepare(common::topic("t"), common::channel("c"), Silent);
    drop(task);
    assert_eq!(soon(consumer.close()).await, CloseOutcome::NotSubscribed);
    let (consumer, task) = fake.consumers(impatient()).prepare(common::topic("t"), common::channel("c"), Silent);
    let task = tokio::spawn(task);
    let mut peer = fake.accept().await;
    peer.greeted().await;
    peer.respond(b"OK").await;
    peer.expect(b"SUB t c\nRDY 200\n").await;
    task.abort();
    assert_eq!(soon(consumer.close()).await, CloseOutcome::Unknown);
}

#[tokio::test]
async fn a_task_is_small() {
    let fake = Fake::new().await;
    let (_consumer, task) = fake.consumers(impatient()).prepare(common::topic("t"), common::channel("c"), Silent);
    let bytes = size_of_val(&task);
    assert!(bytes <= 600, "{bytes} bytes, for each of tens of thousands");
}

struct Silent;

impl lockstep_nsq_client::Handler for Silent {
    fn message(&mut self, _: lockstep_nsq_client::Message<'_>, _: lockstep_nsq_client::Ticket) -> Verdict {
        Verdict::Finish
    }
}
