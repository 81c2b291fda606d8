//! The client against a server that does exactly what the test says, over real connections.

mod fake;

use fake::frames::{conversation, entry, welcome};
use fake::{FakeConnection, FakeServer, event, within};
use lockstep_client::protocol::{
    Body, ClientFrame, ClientMsgId, Code, Cursor, EntryId, Offset, Send, Seq, ServerFrame, StateChange, Target, UnixMs,
    Unread,
};
use lockstep_client::{
    AskError, DisconnectReason, Event, FixedToken, LocalStore, MemoryStore, RenewError, SendError, StopReason,
    TokenReason,
};
use std::sync::Arc;
use std::time::Duration;

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

fn sent(send: &Send, seq: u64) -> ServerFrame {
    let Target::Conversation(conversation) = send.target else { panic!("a conversation") };
    ServerFrame::Sent {
        reference: send.reference,
        conversation,
        seq: Seq::new(seq),
        id: EntryId::from_bytes([seq as u8; 16]),
        sent_at: UnixMs::ZERO,
        duplicate: false,
    }
}

async fn next_send(connection: &mut FakeConnection) -> Send {
    match connection.next().await {
        Some(ClientFrame::Send(send)) => send,
        other => panic!("a send was expected, not {other:?}"),
    }
}

fn disconnected(event: &Event) -> bool {
    matches!(event, Event::Disconnected { .. })
}

#[tokio::test]
async fn a_connection_from_hello_to_goodbye() {
    let (server, store) = (FakeServer::start().await, store());
    let (client, mut events) = server.client(store.clone());
    let (mut connection, hello) = server.accept().await;
    assert_eq!((&*hello.token, hello.epoch, hello.feed), ("token-1", None, None));
    connection.send(welcome(25_000)).await;
    assert_eq!(connection.resume().await.conversations, []);
    connection.send(ServerFrame::Entries { entries: (5..=36).map(|seq| entry(1, seq)).collect() }).await;
    // The thirty-second entry is acknowledged without a delay.
    let cursors = vec![Offset { conversation: conversation(1), seq: Seq::new(36) }];
    assert_eq!(connection.next().await, Some(ClientFrame::Ack(lockstep_client::protocol::Ack { cursors })));
    assert_eq!(store.history(conversation(1), 100).await.expect("a history").len(), 32);
    connection.send(ServerFrame::Heartbeat).await;
    assert_eq!(connection.next().await, Some(ClientFrame::Heartbeat));
    connection.send(ServerFrame::CaughtUp).await;
    event(&mut events, |event| *event == Event::CaughtUp).await;

    let send = client.send(Target::Conversation(conversation(1)), Body::text("hi"));
    let answer = async {
        let send = next_send(&mut connection).await;
        connection.send(sent(&send, 37)).await;
    };
    let (outcome, ()) = tokio::join!(send, answer);
    assert_eq!(outcome.expect("it is sent").seq, Seq::new(37));

    connection.send(ServerFrame::Entry(entry(1, 37))).await;
    event(&mut events, |event| *event == Event::Entry(entry(1, 37))).await;
    let goodbye = async {
        // What was received is acknowledged before the goodbye.
        let cursors = vec![Offset { conversation: conversation(1), seq: Seq::new(37) }];
        assert_eq!(connection.next().await, Some(ClientFrame::Ack(lockstep_client::protocol::Ack { cursors })));
        assert_eq!(connection.next().await, None);
    };
    tokio::join!(within(client.stop()), goodbye);
    assert_eq!(event(&mut events, |_| true).await, Event::Stopped(StopReason::Asked));
    assert_eq!(events.next().await, None);
    assert_eq!(client.send(Target::Conversation(conversation(1)), Body::text("late")).await, Err(SendError::Stopped));
}

#[tokio::test]
async fn a_refused_token_is_replaced_at_once() {
    let server = FakeServer::start().await;
    let (_client, mut events) = server.client(store());
    let (connection, _) = server.accept().await;
    connection.refuse(Code::TokenExpired, None).await;
    let Event::Disconnected { retry_in, .. } = event(&mut events, disconnected).await else { unreachable!() };
    assert_eq!(retry_in, Duration::ZERO);
    let (_connection, hello) = server.accept().await;
    assert_eq!(hello.token, "token-2");
    let reasons = server.tokens.0.lock().expect("not poisoned").clone();
    assert_eq!(reasons, [TokenReason::Connect, TokenReason::Refused(Code::TokenExpired)]);
}

#[tokio::test]
async fn a_fixed_token_that_is_refused_stops_the_client() {
    let server = FakeServer::start().await;
    let (_client, mut events) =
        server.client_with(store(), |config| config.tokens = Arc::new(FixedToken::new("only-one")));
    let (connection, _) = server.accept().await;
    connection.refuse(Code::TokenRevoked, None).await;
    let stopped = event(&mut events, |event| matches!(event, Event::Stopped(_))).await;
    assert!(matches!(stopped, Event::Stopped(StopReason::Token(_))), "{stopped:?}");
}

#[tokio::test]
async fn stop_means_stop() {
    for with_frame in [true, false] {
        let server = FakeServer::start().await;
        let (client, mut events) = server.client(store());
        let (connection, _) = server.accept_live().await;
        if with_frame {
            connection.refuse(Code::Replaced, None).await;
        } else {
            connection.close(Code::Replaced).await;
        }
        let stopped = event(&mut events, |event| matches!(event, Event::Stopped(_))).await;
        let message = Code::Replaced.spec().sentence.to_owned();
        assert_eq!(stopped, Event::Stopped(StopReason::Refused { code: Some(Code::Replaced), message }));
        assert_eq!(events.next().await, None);
        within(client.stop()).await;
        assert_eq!(server.tokens.0.lock().expect("not poisoned").len(), 1, "no second connection was begun");
    }
}

#[tokio::test]
async fn the_servers_advice_is_obeyed() {
    let server = FakeServer::start().await;
    let (_client, mut events) = server.client(store());
    let (connection, _) = server.accept_live().await;
    connection.refuse(Code::ShuttingDown, Some(400)).await;
    let Event::Disconnected { reason, retry_in } = event(&mut events, disconnected).await else { unreachable!() };
    assert!(matches!(reason, DisconnectReason::Server { ref code, .. } if code == "shutting_down"), "{reason:?}");
    assert!((400..=800).contains(&retry_in.as_millis()), "{retry_in:?}");
    server.accept_live().await;
}

#[tokio::test]
async fn a_gap_ends_the_connection_and_the_next_shows_the_cursor() {
    let (server, store) = (FakeServer::start().await, store());
    let (client, mut events) = server.client(store.clone());
    let (mut connection, _) = server.accept_live().await;
    for seq in [1, 2, 4] {
        connection.send(ServerFrame::Entry(entry(1, seq))).await;
    }
    let Event::Disconnected { reason, .. } = event(&mut events, disconnected).await else { unreachable!() };
    let expected = DisconnectReason::Gap { conversation: conversation(1), expected: Seq::new(3), got: Seq::new(4) };
    assert_eq!(reason, expected);
    assert_eq!(client.counters().gaps, 1);
    let (_connection, resume) = server.accept_live().await;
    let cursor = Cursor { seq: Seq::new(2), entry: Some(EntryId::from_bytes([2; 16])) };
    assert_eq!(resume.conversations.len(), 1);
    assert_eq!(resume.conversations[0].cursor, cursor);
    assert_eq!(store.history(conversation(1), 10).await.expect("a history"), [entry(1, 1), entry(1, 2)]);
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let server = FakeServer::start().await;
    let (_client, mut events) = server.client(store());
    let (mut connection, _) = server.accept().await;
    // The connection stays open and nothing more comes over it, as after a broken network.
    connection.send(welcome(20)).await;
    connection.resume().await;
    let Event::Disconnected { reason, .. } = event(&mut events, disconnected).await else { unreachable!() };
    assert_eq!(reason, DisconnectReason::Silent);
    server.accept_live().await;
}

#[tokio::test]
async fn no_welcome_is_silence_too() {
    let server = FakeServer::start().await;
    let (_client, mut events) =
        server.client_with(store(), |config| config.connect_timeout = Duration::from_millis(200));
    let (_connection, _) = server.accept().await;
    let Event::Disconnected { reason, .. } = event(&mut events, disconnected).await else { unreachable!() };
    assert_eq!(reason, DisconnectReason::Silent);
}

#[tokio::test]
async fn what_was_not_answered_is_sent_again_under_the_same_id() {
    let server = FakeServer::start().await;
    let (client, _events) = server.client(store());
    let (mut connection, _) = server.accept_live().await;
    let id = ClientMsgId::new("mine").expect("an id");
    let target = Target::Conversation(conversation(1));
    let pending = client.enqueue_as(id.clone(), target.clone(), Body::text("hi")).await.expect("it is taken");
    let other = client.enqueue_as(id.clone(), target.clone(), Body::text("other")).await;
    assert_eq!(other.err(), Some(SendError::IdInUse));
    let again = client.enqueue_as(id.clone(), target, Body::text("hi")).await.expect("the same again");
    let first = next_send(&mut connection).await;
    drop(connection);
    let (mut connection, _) = server.accept_live().await;
    let second = next_send(&mut connection).await;
    assert_eq!((&second.client_msg_id, &second.body), (&id, &first.body));
    assert_ne!(second.reference, first.reference);
    connection.send(sent(&second, 1)).await;
    let (one, two) = within(async { tokio::join!(pending.answer(), again.answer()) }).await;
    assert_eq!(one.expect("it is sent").seq, Seq::new(1));
    assert_eq!(two.expect("it is sent").seq, Seq::new(1));
    assert_eq!(client.counters().resends, 1);
}

#[tokio::test]
async fn the_outbox_outlives_the_process() {
    let (server, store) = (FakeServer::start().await, store());
    let (client, _events) = server.client_with(store.clone(), |config| {
        config.url = "ws://127.0.0.1:1/v1/ws".to_owned();
        config.outbox_max = 2;
    });
    let target = || Target::Conversation(conversation(1));
    let first = client.enqueue(target(), Body::text("one")).await.expect("room");
    client.enqueue(target(), Body::text("two")).await.expect("room");
    assert_eq!(client.enqueue(target(), Body::text("three")).await.err(), Some(SendError::OutboxFull));
    within(client.stop()).await;
    assert_eq!(first.answer().await, Err(SendError::Stopped));

    let (_client, mut events) = server.client(store.clone());
    let (mut connection, _) = server.accept_live().await;
    for (seq, text) in [(1, "one"), (2, "two")] {
        let send = next_send(&mut connection).await;
        assert_eq!(send.body, Body::text(text));
        connection.send(sent(&send, seq)).await;
        let answered = event(&mut events, |event| matches!(event, Event::Answered { .. })).await;
        let Event::Answered { client_msg_id, outcome } = answered else { unreachable!() };
        assert_eq!((client_msg_id, outcome.expect("it is sent").seq), (send.client_msg_id, Seq::new(seq)));
    }
    assert_eq!(store.load().await.expect("a state").outbox, []);
}

#[tokio::test]
async fn refusals_are_told_or_tried_again() {
    let server = FakeServer::start().await;
    let (client, mut events) = server.client(store());
    let (mut connection, _) = server.accept_live().await;
    let pending = client.enqueue(Target::Conversation(conversation(1)), Body::text("hi")).await.expect("room");
    for code in [Code::RateLimited, Code::TryAgain, Code::Forbidden] {
        let send = next_send(&mut connection).await;
        let mut error = lockstep_client::protocol::ErrorFrame::of(code, send.reference);
        error.retry_after_ms = (code == Code::RateLimited).then_some(20);
        connection.send(ServerFrame::Error(error)).await;
    }
    let refused = within(pending.answer()).await;
    assert!(matches!(refused, Err(SendError::Refused { ref code, .. }) if code == "forbidden"), "{refused:?}");

    event(&mut events, |event| *event == Event::CaughtUp).await;
    client.read(conversation(1), Seq::new(9)).await.expect("it is taken");
    let Some(ClientFrame::Read { reference, .. }) = connection.next().await else { panic!("a read") };
    let error = lockstep_client::protocol::ErrorFrame::of(Code::ReadBeyond, reference);
    connection.send(ServerFrame::Error(error)).await;
    let refused = event(&mut events, |event| matches!(event, Event::ReadRefused { .. })).await;
    let offset = Offset { conversation: conversation(1), seq: Seq::new(9) };
    assert_eq!(refused, Event::ReadRefused { offset, code: "read_beyond".to_owned() });
}

#[tokio::test]
async fn a_connection_is_renewed_or_goes_on_as_it_was() {
    let server = FakeServer::start().await;
    let (client, mut events) = server.client(store());
    assert_eq!(within(client.renew()).await, Err(RenewError::NotConnected), "before there is a connection");
    let (mut connection, _) = server.accept_live().await;
    event(&mut events, |event| *event == Event::CaughtUp).await;
    let answers: [Option<Code>; 2] = [None, Some(Code::RenewalRefused)];
    for refusal in answers {
        let renewing = tokio::spawn({
            let client = client.clone();
            async move { client.renew().await }
        });
        let Some(ClientFrame::Renew(renew)) = connection.next().await else { panic!("a fresh token") };
        assert!(renew.token.starts_with("token-"), "it comes from the source");
        let (frame, expected) = match refusal {
            None => (ServerFrame::Done { reference: renew.reference }, Ok(())),
            Some(code) => {
                let error = lockstep_client::protocol::ErrorFrame::of(code, renew.reference);
                let (code, message) = (code.name().to_owned(), code.spec().sentence.to_owned());
                (ServerFrame::Error(error), Err(RenewError::Refused { code, message }))
            }
        };
        connection.send(frame).await;
        assert_eq!(within(renewing).await.expect("no panic"), expected);
    }
    // The connection goes on, and with it the answer is lost if it does not.
    let renewing = tokio::spawn(async move { client.renew().await });
    let Some(ClientFrame::Renew(_)) = connection.next().await else { panic!("a fresh token") };
    drop(connection);
    assert_eq!(within(renewing).await.expect("no panic"), Err(RenewError::NotConnected));
}

#[tokio::test]
async fn what_is_asked_is_answered_refused_or_lost_with_the_connection() {
    let server = FakeServer::start().await;
    let (client, mut events) = server.client(store());
    let asking = |asked: &[u8]| {
        let (client, asked) = (client.clone(), asked.iter().copied().map(conversation).collect());
        tokio::spawn(async move { client.unread(asked).await })
    };
    assert_eq!(within(asking(&[1])).await.expect("no panic"), Err(AskError::NotConnected), "too early");
    let (mut connection, _) = server.accept_live().await;
    event(&mut events, |event| *event == Event::CaughtUp).await;

    let asked = asking(&[1, 2]);
    let Some(ClientFrame::Unread { reference, conversations }) = connection.next().await else { panic!("a question") };
    assert_eq!(conversations, [conversation(1), conversation(2)]);
    let (read, head) = (Seq::new(3), Seq::new(5));
    let count =
        Unread { conversation: conversation(1), read, head, unread: 2, more: false, mentions: 0, marked: false };
    connection.send(ServerFrame::Unread { reference, conversations: vec![count] }).await;
    assert_eq!(within(asked).await.expect("no panic"), Ok(vec![count]));

    let change = StateChange { pinned: Some(true), ..StateChange::default() };
    for refusal in [None, Some(Code::NoSuchConversation)] {
        let changing = tokio::spawn({
            let client = client.clone();
            async move { client.change_state(conversation(1), change).await }
        });
        let Some(ClientFrame::State { reference, change: told, .. }) = connection.next().await else {
            panic!("a change")
        };
        assert_eq!(told, change);
        let (frame, expected) = match refusal {
            None => (ServerFrame::Done { reference }, Ok(())),
            Some(code) => {
                let error = lockstep_client::protocol::ErrorFrame::of(code, reference);
                let (code, message) = (code.name().to_owned(), code.spec().sentence.to_owned());
                (ServerFrame::Error(error), Err(AskError::Refused { code, message }))
            }
        };
        connection.send(frame).await;
        assert_eq!(within(changing).await.expect("no panic"), expected);
    }

    let asked = asking(&[1]);
    let Some(ClientFrame::Unread { .. }) = connection.next().await else { panic!("a question") };
    drop(connection);
    assert_eq!(within(asked).await.expect("no panic"), Err(AskError::NotConnected));
}

#[tokio::test]
async fn events_that_nobody_takes_hold_up_the_connection() {
    let (server, store) = (FakeServer::start().await, store());
    let (client, mut events) = server.client_with(store.clone(), |config| config.events_max = 4);
    let (mut connection, _) = server.accept_live().await;
    for seq in 1..=200 {
        connection.send(ServerFrame::Entry(entry(1, seq))).await;
    }
    // A send still goes through: only reading is held up.
    client.enqueue(Target::Conversation(conversation(1)), Body::text("hi")).await.expect("room");
    loop {
        match connection.next().await {
            Some(ClientFrame::Send(_)) => break,
            Some(ClientFrame::Ack(_)) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    let stored = store.history(conversation(1), 1_000).await.expect("a history").len();
    assert!(stored <= 5, "{stored} entries were read although nobody took their events");
    for seq in 1..=200 {
        event(&mut events, |event| *event == Event::Entry(entry(1, seq))).await;
    }
}

#[tokio::test]
async fn another_users_store_is_not_touched() {
    let (server, store) = (FakeServer::start().await, store());
    let user = lockstep_client::protocol::UserId::new("carla").expect("a user");
    let identity = lockstep_client::Change::Identity { user, feed: conversation(7) };
    store.apply(&[identity]).await.expect("the store takes it");
    let before = store.load().await.expect("a state");
    let (_client, mut events) = server.client(store.clone());
    let (mut connection, _) = server.accept().await;
    connection.send(welcome(25_000)).await;
    assert_eq!(event(&mut events, |_| true).await, Event::Stopped(StopReason::OtherUser));
    assert_eq!(store.load().await.expect("a state"), before);
}
