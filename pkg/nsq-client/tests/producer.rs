//! Producers: what is known of a message, whatever the server does.

mod common;

use common::{Fake, Peer, impatient, message, response, soon, topic};
use lockstep_nsq_client::{
    ConnectSettings, ErrorCode, Failover, Fate, Invalid, Producer, ProducerSettings, PublishError, Reconnect,
};
use std::time::Duration;

fn settings() -> ProducerSettings {
    ProducerSettings { connect: impatient(), ..ProducerSettings::default() }
}

async fn connect(settings: ProducerSettings) -> (Fake, Peer, Producer) {
    let fake = Fake::new().await;
    let producer = Producer::open(fake.address(), settings).expect("good settings");
    let mut peer = fake.accept().await;
    peer.identified().await;
    assert!(soon(producer.connected()).await);
    (fake, peer, producer)
}

#[tokio::test]
async fn answers_come_in_the_order_of_messages() {
    let (_fake, mut peer, producer) = connect(settings()).await;
    let first = producer.try_publish(&topic("t"), b"one").expect("room");
    let second = producer.try_publish_many(&topic("t"), &["two", "three"]).expect("room");
    peer.expect(b"PUB t\n\0\0\0\x03one").await;
    peer.expect(b"MPUB t\n\0\0\0\x14\0\0\0\x02\0\0\0\x03two\0\0\0\x05three").await;
    peer.respond(b"_heartbeat_").await;
    peer.expect(b"NOP\n").await;
    peer.respond(b"OK").await;
    assert_eq!(soon(first).await, Ok(()));
    peer.respond(b"OK").await;
    assert_eq!(soon(second).await, Ok(()));
    let server = async {
        peer.expect(b"DPUB t 1500\n\0\0\0\x04four").await;
        peer.respond(b"OK").await;
    };
    let t = topic("t");
    let (outcome, ()) = tokio::join!(producer.publish_deferred(&t, Duration::from_millis(1500), b"four"), server);
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn a_refusal_names_the_first_and_says_that_the_others_were_not_seen() {
    let (fake, mut peer, producer) = connect(settings()).await;
    let messages: Vec<_> =
        [b"a", b"b", b"c", b"d"].map(|body| producer.try_publish(&topic("t"), body).expect("room")).into();
    peer.read(4 * 11).await;
    peer.write(&[response(b"OK"), common::error(b"E_PUB_FAILED PUB failed exiting")].concat()).await;
    let mut outcomes = Vec::new();
    for message in messages {
        outcomes.push(soon(message).await);
    }
    assert_eq!(outcomes[0], Ok(()));
    assert!(
        matches!(&outcomes[1], Err(PublishError::Refused(error)) if error.code == ErrorCode::PubFailed),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[2..], [Err(PublishError::NotSent), Err(PublishError::NotSent)]);
    // It comes back by itself.
    let mut peer = fake.accept().await;
    peer.identified().await;
    assert!(soon(producer.connected()).await);
    let again = producer.try_publish(&topic("t"), b"b").expect("room");
    peer.expect(b"PUB t\n\0\0\0\x01b").await;
    peer.respond(b"OK").await;
    assert_eq!(soon(again).await, Ok(()));
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_unknown() {
    let (_fake, mut peer, producer) = connect(settings()).await;
    let message = producer.try_publish(&topic("t"), b"a").expect("room");
    peer.read(11).await;
    drop(peer);
    let error = soon(message).await.expect_err("nobody answered");
    assert_eq!((error.fate(), error), (Fate::Unknown, PublishError::Lost));
    assert_eq!(producer.publish(&topic("t"), b"a").await, Err(PublishError::NotConnected));
}

#[tokio::test]
async fn what_was_not_sent_is_known_to_be_nowhere() {
    let (_fake, peer, producer) = connect(settings()).await;
    // More than two sockets hold, so that the last ones cannot have left.
    let body = vec![b'x'; 1024 * 1024];
    let messages: Vec<_> = (0..15).map(|_| producer.try_publish(&topic("t"), &body).expect("room")).collect();
    // Something has been written once the server can read it.
    soon(peer.stream.readable()).await.expect("a connection");
    drop(peer);
    let mut outcomes = Vec::new();
    for message in messages {
        outcomes.push(soon(message).await.expect_err("nobody answered"));
    }
    assert_eq!(outcomes.last(), Some(&PublishError::NotSent), "{outcomes:?}");
    // Those that left come before those that did not.
    assert!(outcomes.is_sorted_by_key(|outcome| *outcome == PublishError::NotSent), "{outcomes:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let (_fake, mut peer, producer) =
        connect(ProducerSettings { timeout: Duration::from_millis(50), ..settings() }).await;
    let slow = producer.try_publish(&topic("t"), b"a").expect("room");
    assert_eq!(soon(slow).await, Err(PublishError::TimedOut));
    let next = producer.try_publish(&topic("t"), b"b").expect("room");
    peer.read(22).await;
    // The late answer is not taken for the next one's.
    peer.respond(b"OK").await;
    assert_eq!(soon(next).await, Err(PublishError::TimedOut));
    let last = producer.try_publish(&topic("t"), b"c").expect("room");
    peer.write(&[response(b"OK"), response(b"OK")].concat()).await;
    assert_eq!(soon(last).await, Ok(()));
}

#[tokio::test]
async fn what_waits_is_bounded_in_number_and_bytes() {
    let (_fake, mut peer, producer) = connect(ProducerSettings { in_flight_max: 2, ..settings() }).await;
    let first = producer.try_publish(&topic("t"), b"a").expect("room");
    let _second = producer.try_publish(&topic("t"), b"b").expect("room");
    assert_eq!(producer.publish(&topic("t"), b"c").await, Err(PublishError::Full));
    peer.read(22).await;
    peer.respond(b"OK").await;
    assert_eq!(soon(first).await, Ok(()));
    assert!(producer.try_publish(&topic("t"), b"c").is_ok());
    peer.expect(b"PUB t\n\0\0\0\x01c").await;

    let bytes =
        ProducerSettings { body_bytes_max: 1_000, request_bytes_max: 1_000, in_flight_bytes_max: 1_500, ..settings() };
    let (_fake, mut peer, producer) = connect(bytes).await;
    let first = producer.try_publish(&topic("t"), &[b'x'; 900]).expect("room");
    assert!(matches!(producer.try_publish(&topic("t"), &[b'x'; 900]), Err(PublishError::Full)));
    let _small = producer.try_publish(&topic("t"), b"small").expect("room");
    // What was refused left nothing behind.
    peer.read(910).await;
    peer.expect(b"PUB t\n\0\0\0\x05small").await;
    peer.respond(b"OK").await;
    assert_eq!(soon(first).await, Ok(()));
    assert!(producer.try_publish(&topic("t"), &[b'x'; 900]).is_ok());
}

#[tokio::test]
async fn what_nsqd_would_refuse_is_refused_here() {
    let limits = ProducerSettings { body_bytes_max: 10, request_bytes_max: 30, ..settings() };
    let (_fake, mut peer, producer) = connect(limits).await;
    let t = topic("t");
    let too_large = |bytes, max| Err(PublishError::Invalid(Invalid::TooLarge { bytes, max }));
    assert_eq!(producer.publish(&t, b"").await, Err(PublishError::Invalid(Invalid::Empty)));
    assert_eq!(producer.publish(&t, &[0; 11]).await, too_large(11, 10));
    assert_eq!(producer.publish_many::<&[u8]>(&t, &[]).await, Err(PublishError::Invalid(Invalid::Nothing)));
    assert_eq!(producer.publish_many(&t, &["a", ""]).await, Err(PublishError::Invalid(Invalid::Empty)));
    assert_eq!(producer.publish_many(&t, &[[0; 10], [0; 10]]).await, too_large(32, 30));
    assert_eq!(producer.publish_deferred(&t, Duration::ZERO, b"").await, Err(PublishError::Invalid(Invalid::Empty)));
    // None of it reached the server.
    let _good = producer.try_publish(&t, b"good").expect("room");
    peer.expect(b"PUB t\n\0\0\0\x04good").await;
}

#[tokio::test]
async fn wrong_frames_end_the_connection() {
    let garbage: [&[u8]; 5] = [b"garbage!", &response(b"OK"), &response(b"what?"), &message(1, b"m"), &[0xff; 8]];
    for bytes in garbage {
        let (fake, mut peer, producer) = connect(settings()).await;
        peer.write(bytes).await;
        peer.rest().await;
        let mut peer = fake.accept().await;
        peer.identified().await;
        assert!(soon(producer.connected()).await, "{}", bytes.escape_ascii());
    }
}

#[tokio::test]
async fn without_a_connection_publishing_is_refused_at_once() {
    let fake = Fake::new().await;
    let connect = ConnectSettings { connect_timeout: Duration::from_millis(50), ..impatient() };
    let producer = Producer::open(fake.address(), ProducerSettings { connect, ..settings() }).expect("good settings");
    assert_eq!(producer.publish(&topic("t"), b"a").await, Err(PublishError::NotConnected));
    // A server that does not answer IDENTIFY is no connection, and is given up.
    let mut peer = fake.accept().await;
    peer.greeted().await;
    assert!(!producer.is_connected());
    let mut peer = fake.accept().await;
    peer.identified().await;
    assert!(soon(producer.connected()).await);
}

#[tokio::test]
async fn closing_waits_for_answers() {
    let (fake, mut peer, producer) = connect(settings()).await;
    let message = producer.try_publish(&topic("t"), b"a").expect("room");
    let server = async {
        peer.read(11).await;
        peer.respond(b"OK").await;
        assert_eq!(peer.rest().await, b"");
    };
    tokio::join!(soon(producer.close()), server);
    assert_eq!(soon(message).await, Ok(()));
    assert_eq!(producer.publish(&topic("t"), b"b").await, Err(PublishError::Closed));
    assert!(!producer.is_connected() && !soon(producer.connected()).await);
    assert!(!fake.is_called().await);
}

#[tokio::test]
async fn a_producer_that_may_not_come_back_says_so() {
    let connect_settings = ConnectSettings { reconnect: Reconnect::NEVER, ..impatient() };
    let (_fake, peer, producer) = connect(ProducerSettings { connect: connect_settings, ..settings() }).await;
    drop(peer);
    soon(producer.close()).await;
    assert!(!soon(producer.connected()).await);
}

#[tokio::test]
async fn failover_goes_on_only_where_that_makes_no_duplicate() {
    let (_fake_a, mut a, producer_a) = connect(settings()).await;
    let (_fake_b, mut b, producer_b) = connect(settings()).await;
    let failover = Failover::new(vec![producer_a.clone(), producer_b.clone()]);
    let t = topic("t");
    let refuse = async {
        a.read(11).await;
        a.refuse(b"E_PUB_FAILED x").await;
        b.read(11).await;
        b.respond(b"OK").await;
    };
    let (outcome, ()) = tokio::join!(soon(failover.publish(&t, b"a")), refuse);
    assert_eq!(outcome.expect("the second takes it").address(), producer_b.address());
    // The first is not connected now; the second leaves without an answer.
    let leave = async {
        b.read(11).await;
        drop(b);
    };
    let (outcome, ()) = tokio::join!(soon(failover.publish(&t, b"b")), leave);
    assert_eq!(outcome.err(), Some(PublishError::Lost));
    assert_eq!(failover.publish(&t, b"c").await.err(), Some(PublishError::NotConnected));
    assert_eq!(failover.publish(&t, b"").await.err(), Some(PublishError::Invalid(Invalid::Empty)));
}
