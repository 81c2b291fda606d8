//! Consumers against servers that send what they should not, at every step.

mod common;

use common::{Fake, Heard, PATIENCE, error, impatient, message, response, soon};
use lockstep_nsq_client::codec::DecodeError;
use lockstep_nsq_client::{CloseOutcome, ConnectSettings, Disconnect, ErrorCode, Reconnect, Step, Verdict};
use std::time::Duration;

const STEPS: [Step; 3] = [Step::Identifying, Step::Subscribing, Step::Open];

/// A consumer that does not come back, at the step, after the server has sent these bytes and closed its side.
async fn check(step: Step, bytes: &[u8], expected: impl Fn(&Disconnect) -> bool) {
    let fake = Fake::new().await;
    let connect = ConnectSettings { reconnect: Reconnect::NEVER, frame_bytes_max: 1_000, ..impatient() };
    let mut subscriber = fake.subscriber(connect, Verdict::Finish);
    let mut peer = fake.accept().await;
    match step {
        Step::Identifying => drop(peer.greeted().await),
        Step::Subscribing => {
            peer.greeted().await;
            peer.respond(b"{}").await;
            peer.expect(b"SUB t c\nRDY 200\n").await;
        }
        _ => {
            peer.subscribed().await;
            subscriber.opened().await;
        }
    }
    peer.write(bytes).await;
    drop(peer);
    let (reason, retry) = subscriber.closed().await;
    assert!(expected(&reason), "while {step}, after {}: {reason:?}", bytes.escape_ascii());
    assert_eq!(retry, None);
    let outcome = soon(subscriber.consumer.ended()).await;
    let expected = match step {
        Step::Identifying => CloseOutcome::NotSubscribed,
        Step::Subscribing => CloseOutcome::Unknown,
        _ => CloseOutcome::Severed,
    };
    assert_eq!(outcome, expected, "while {step}");
}

fn header(size: u32, kind: i32) -> Vec<u8> {
    [size.to_be_bytes(), kind.to_be_bytes()].concat()
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection() {
    for step in STEPS {
        check(step, b"HTTP/1.1 400 Bad Request\r\n\r\n", |it| {
            matches!(it, Disconnect::Decode(DecodeError::Size { size: 0x4854_5450, .. }))
        })
        .await;
        for (size, kind) in [(0, 0), (3, 0), (1_001, 2), (0x7fff_ffff, 2), (0x8000_0000, 0), (u32::MAX, 1)] {
            let wrong_size =
                |it: &Disconnect| matches!(it, Disconnect::Decode(DecodeError::Size { size: it, .. }) if *it == size);
            check(step, &header(size, kind), wrong_size).await;
        }
        check(step, &header(100, 3), |it| matches!(it, Disconnect::Decode(DecodeError::Type(3)))).await;
        check(step, &header(100, -1), |it| matches!(it, Disconnect::Decode(DecodeError::Type(-1)))).await;
        check(step, &header(29, 2), |it| matches!(it, Disconnect::Decode(DecodeError::ShortMessage { .. }))).await;
    }
}

#[tokio::test]
async fn an_end_at_any_step_is_an_end() {
    for step in STEPS {
        for bytes in [&[][..], &[0, 0], &response(b"_heartbeat_")[..7], &message(1, b"body")[..30]] {
            check(step, bytes, |it| matches!(it, Disconnect::Closed)).await;
        }
    }
}

#[tokio::test]
async fn frames_out_of_place_end_the_connection() {
    let unexpected = |expected: &'static str| move |it: &Disconnect| matches!(it, Disconnect::Unexpected { what, .. } if *what == expected);
    check(Step::Identifying, &message(1, b"early"), unexpected("message")).await;
    check(Step::Subscribing, &message(1, b"early"), unexpected("message")).await;
    check(Step::Identifying, &response(b"who are you?"), unexpected("response")).await;
    check(Step::Subscribing, &response(b"CLOSE_WAIT"), unexpected("response")).await;
    check(Step::Open, &response(b"OK"), unexpected("response")).await;
    check(Step::Open, &response(b"CLOSE_WAIT"), unexpected("response")).await;
    check(Step::Identifying, &response(b"{\"auth_required\":true}"), |it| matches!(it, Disconnect::AuthRequired)).await;
}

#[tokio::test]
async fn fatal_errors_are_told_by_their_code() {
    let cases = [
        ("E_INVALID x", ErrorCode::Invalid),
        ("E_BAD_BODY x", ErrorCode::BadBody),
        ("E_BAD_TOPIC x", ErrorCode::BadTopic),
        ("E_BAD_CHANNEL x", ErrorCode::BadChannel),
        ("E_SUB_FAILED x", ErrorCode::SubFailed),
        ("E_AUTH_FIRST x", ErrorCode::AuthFirst),
        ("E_UNAUTHORIZED x", ErrorCode::Unauthorized),
        ("E_FROM_THE_FUTURE x", ErrorCode::Other),
    ];
    for step in STEPS {
        for (text, code) in cases {
            check(
                step,
                &error(text.as_bytes()),
                |it| matches!(it, Disconnect::Server(error) if error.code == code && error.text() == text),
            )
            .await;
        }
    }
    // Nothing was finished yet: this server is confused.
    check(Step::Subscribing, &error(b"E_FIN_FAILED x"), |it| matches!(it, Disconnect::Server(_))).await;
}

#[tokio::test]
async fn refused_answers_leave_the_connection_alive() {
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    subscriber.opened().await;
    for text in ["E_FIN_FAILED FIN x failed", "E_REQ_FAILED", "E_TOUCH_FAILED x"] {
        peer.refuse(text.as_bytes()).await;
        let heard = subscriber.next().await;
        assert!(matches!(&heard, Heard::Refused(error) if error.text() == text), "{heard:?}");
    }
    peer.write(&message(7, b"still here")).await;
    assert_eq!(subscriber.message().await.0, b"still here");
    peer.expect(b"FIN 0000000000000007\n").await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let fake = Fake::new().await;
    let connect = ConnectSettings { connect_timeout: Duration::from_millis(50), ..impatient() };
    let mut subscriber = fake.subscriber(connect, Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.greeted().await;
    let (reason, retry) = subscriber.closed().await;
    assert!(matches!(reason, Disconnect::Timeout(Step::Identifying)), "{reason:?}");
    assert!(retry.is_some());
    let mut peer = fake.accept().await;
    peer.greeted().await;
    peer.respond(b"OK").await;
    let (reason, _) = subscriber.closed().await;
    assert!(matches!(reason, Disconnect::Timeout(Step::Subscribing)), "{reason:?}");
}

#[tokio::test]
async fn heartbeats_do_not_stand_for_answers() {
    let fake = Fake::new().await;
    let connect = ConnectSettings { connect_timeout: Duration::from_millis(100), ..impatient() };
    let mut subscriber = fake.subscriber(connect, Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.greeted().await;
    let heartbeats = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut answers = 0;
        // Until the other side has had enough.
        while peer.stream.write_all(&response(b"_heartbeat_")).await.is_ok()
            && peer.stream.read_exact(&mut [0; 4]).await.is_ok()
        {
            answers += 1;
        }
        answers
    };
    let (answers, (reason, _)) = tokio::join!(heartbeats, subscriber.closed());
    assert!(matches!(reason, Disconnect::Timeout(Step::Identifying)), "{reason:?}");
    assert!(answers > 0);
}

#[tokio::test]
async fn a_silent_server_is_noticed_after_two_heartbeats() {
    let fake = Fake::new().await;
    let connect = ConnectSettings { heartbeat_interval: Duration::from_secs(1), ..impatient() };
    let mut subscriber = fake.subscriber(connect, Verdict::Finish);
    let mut peer = fake.accept().await;
    assert_eq!(peer.greeted().await["heartbeat_interval"], 1_000);
    peer.respond(b"OK").await;
    peer.expect(b"SUB t c\nRDY 200\n").await;
    peer.respond(b"OK").await;
    subscriber.opened().await;
    let began = std::time::Instant::now();
    let (reason, _) = subscriber.closed().await;
    assert!(matches!(reason, Disconnect::Silent), "{reason:?}");
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn heartbeats_without_end_are_answered() {
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    subscriber.opened().await;
    for _ in 0..100 {
        peer.write(&response(b"_heartbeat_").repeat(1_000)).await;
        peer.expect(&b"NOP\n".repeat(1_000)).await;
    }
    assert!(subscriber.consumer.is_open());
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_left() {
    let fake = Fake::new().await;
    let connect = ConnectSettings { reconnect: Reconnect::NEVER, ..impatient() };
    let mut subscriber = fake.subscriber(connect, Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    subscriber.opened().await;
    let heartbeats = response(b"_heartbeat_").repeat(10_000);
    let flood = async {
        use tokio::io::AsyncWriteExt;
        while peer.stream.write_all(&heartbeats).await.is_ok() {}
    };
    let ((), (reason, _)) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(flood, subscriber.closed()) }).await.expect("it is left");
    assert!(matches!(reason, Disconnect::Stalled { bytes } if bytes < 400_000), "{reason:?}");
}

#[tokio::test]
async fn a_slow_writer_is_understood() {
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.greeted().await;
    for byte in response(b"{\"max_rdy_count\":100}") {
        peer.write(&[byte]).await;
    }
    peer.expect(b"SUB t c\nRDY 100\n").await;
    let bytes = [response(b"OK"), message(1, b"one"), response(b"_heartbeat_"), message(2, b"two")].concat();
    for byte in bytes {
        peer.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    subscriber.opened().await;
    assert_eq!(subscriber.message().await.0, b"one");
    assert_eq!(subscriber.message().await.0, b"two");
    peer.expect(b"FIN 0000000000000001\nNOP\nFIN 0000000000000002\n").await;
}

#[tokio::test]
async fn bodies_of_any_size_arrive_whole() {
    let fake = Fake::new().await;
    let mut subscriber = fake.subscriber(impatient(), Verdict::Finish);
    let mut peer = fake.accept().await;
    peer.subscribed().await;
    subscriber.opened().await;
    // Around the sizes at which buffers change.
    for size in [1, 8_000, 8_191, 8_192, 8_193, 65_500, 65_536, 70_000, 300_000, 1_000_000] {
        let body: Vec<u8> = (0..size).map(|index: usize| (index % 251) as u8).collect();
        let bytes = [message(1, &body), message(2, b"after"), message(3, &body)].concat();
        for piece in bytes.chunks(9_000) {
            peer.write(piece).await;
            tokio::task::yield_now().await;
        }
        for expected in [&body[..], b"after", &body[..]] {
            assert!(subscriber.message().await.0 == expected, "a body of {size} bytes");
        }
        peer.expect(b"FIN 0000000000000001\nFIN 0000000000000002\nFIN 0000000000000003\n").await;
    }
}
