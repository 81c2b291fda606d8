//! What the tests share: a peer that says what a test tells it to, and a handler that tells what it hears.
#![allow(dead_code, reason = "not every test program uses all of it")]

use lockstep_nsq_client::codec::Frame;
use lockstep_nsq_client::{
    ChannelName, ConnectSettings, Consumer, ConsumerSettings, Consumers, Disconnect, Handler, Message, MessageId,
    Reconnect, Responder, ServerError, Ticket, TopicName, Verdict,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Nothing in a test takes as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("this should have happened by now")
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("a good name")
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a good name")
}

/// What a handler heard.
#[derive(Debug)]
pub(crate) enum Heard {
    Opened,
    Message(Vec<u8>, Ticket),
    Closed(Disconnect, Option<Duration>),
    Refused(ServerError),
}

pub(crate) struct Ear {
    heard: mpsc::UnboundedSender<Heard>,
    responder: mpsc::UnboundedSender<Responder>,
    verdict: Verdict,
}

impl Handler for Ear {
    fn message(&mut self, message: Message<'_>, ticket: Ticket) -> Verdict {
        let _ = self.heard.send(Heard::Message(message.body.to_vec(), ticket));
        self.verdict
    }

    fn opened(&mut self, responder: &Responder) {
        let _ = self.responder.send(responder.clone());
        let _ = self.heard.send(Heard::Opened);
    }

    fn closed(&mut self, reason: &Disconnect, retry: Option<Duration>) {
        // The reason holds errors that cannot be cloned; what it says is enough.
        let reason = match reason {
            Disconnect::Stopped => Disconnect::Stopped,
            Disconnect::Closed => Disconnect::Closed,
            Disconnect::Silent => Disconnect::Silent,
            Disconnect::AuthRequired => Disconnect::AuthRequired,
            Disconnect::Timeout(step) => Disconnect::Timeout(*step),
            Disconnect::Decode(error) => Disconnect::Decode(*error),
            Disconnect::Unexpected { what, step } => Disconnect::Unexpected { what, step: *step },
            Disconnect::Server(error) => Disconnect::Server(error.clone()),
            Disconnect::Stalled { bytes } => Disconnect::Stalled { bytes: *bytes },
            Disconnect::Connect(error) => Disconnect::Connect(error.kind().into()),
            Disconnect::Io(error) => Disconnect::Io(error.kind().into()),
            other => panic!("a new reason: {other:?}"),
        };
        let _ = self.heard.send(Heard::Closed(reason, retry));
    }

    fn answer_refused(&mut self, error: &ServerError) {
        let _ = self.heard.send(Heard::Refused(error.clone()));
    }
}

/// A consumer and what it hears.
pub(crate) struct Subscriber {
    pub(crate) consumer: Consumer,
    pub(crate) heard: mpsc::UnboundedReceiver<Heard>,
    responders: mpsc::UnboundedReceiver<Responder>,
}

impl Subscriber {
    pub(crate) fn open(consumers: &Consumers, topic: TopicName, channel: ChannelName, verdict: Verdict) -> Self {
        let ((sender, heard), (responder, responders)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let consumer = consumers.open(topic, channel, Ear { heard: sender, responder, verdict });
        Self { consumer, heard, responders }
    }

    pub(crate) async fn next(&mut self) -> Heard {
        soon(self.heard.recv()).await.expect("the consumer still has something to say")
    }

    pub(crate) async fn opened(&mut self) -> Responder {
        let heard = self.next().await;
        assert!(matches!(heard, Heard::Opened), "{heard:?}");
        self.responders.recv().await.expect("sent before")
    }

    pub(crate) async fn message(&mut self) -> (Vec<u8>, Ticket) {
        match self.next().await {
            Heard::Message(body, ticket) => (body, ticket),
            other => panic!("no message: {other:?}"),
        }
    }

    pub(crate) async fn closed(&mut self) -> (Disconnect, Option<Duration>) {
        match self.next().await {
            Heard::Closed(reason, retry) => (reason, retry),
            other => panic!("not closed: {other:?}"),
        }
    }
}

pub(crate) fn impatient() -> ConnectSettings {
    ConnectSettings {
        reconnect: Reconnect { base: Duration::from_millis(10), cap: Duration::from_millis(50), tries_max: None },
        ..ConnectSettings::default()
    }
}

/// Listens like an nsqd.
pub(crate) struct Fake {
    listener: TcpListener,
}

impl Fake {
    pub(crate) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    pub(crate) fn address(&self) -> lockstep_nsq_client::Address {
        self.listener.local_addr().expect("it listens").into()
    }

    pub(crate) fn consumers(&self, connect: ConnectSettings) -> Consumers {
        let settings = ConsumerSettings { connect, close_timeout: Duration::from_millis(200), ..Default::default() };
        Consumers::new(self.address(), settings).expect("good settings")
    }

    pub(crate) fn subscriber(&self, connect: ConnectSettings, verdict: Verdict) -> Subscriber {
        Subscriber::open(&self.consumers(connect), topic("t"), channel("c"), verdict)
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = soon(self.listener.accept()).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Peer { stream }
    }

    /// Whether a connection waits to be accepted.
    pub(crate) async fn is_called(&self) -> bool {
        tokio::select! {
            biased;
            _ = self.listener.accept() => true,
            () = tokio::task::yield_now() => false,
        }
    }
}

/// The server's side of a connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    /// Takes the magic and IDENTIFY, and returns what was identified.
    pub(crate) async fn greeted(&mut self) -> serde_json::Value {
        self.expect(b"  V2IDENTIFY\n").await;
        let length = soon(self.stream.read_u32()).await.expect("a length");
        serde_json::from_slice(&self.read(length as usize).await).expect("JSON")
    }

    /// A consumer that gets as far as this is open.
    pub(crate) async fn subscribed(&mut self) {
        self.greeted().await;
        self.respond(b"{\"max_rdy_count\":2500}").await;
        self.expect(b"SUB t c\nRDY 200\n").await;
        self.respond(b"OK").await;
    }

    /// A producer that gets as far as this is connected.
    pub(crate) async fn identified(&mut self) {
        self.greeted().await;
        self.respond(b"{}").await;
    }

    pub(crate) async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        soon(self.stream.read_exact(&mut bytes)).await.expect("that many bytes");
        bytes
    }

    pub(crate) async fn expect(&mut self, expected: &[u8]) {
        let read = self.read(expected.len()).await;
        assert_eq!(read.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset is an end too.
        let _ = soon(self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("somebody reads");
    }

    pub(crate) async fn respond(&mut self, data: &[u8]) {
        self.write(&response(data)).await;
    }

    pub(crate) async fn refuse(&mut self, text: &[u8]) {
        self.write(&error(text)).await;
    }
}

pub(crate) fn response(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Response(data).encode(&mut bytes);
    bytes
}

pub(crate) fn error(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Error { code: lockstep_nsq_client::ErrorCode::of(text), text }.encode(&mut bytes);
    bytes
}

/// A message whose id is the number in hexadecimal.
pub(crate) fn message(number: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::Message(Message { timestamp_ns: 1, attempts: 1, id: id(number), body }).encode(&mut bytes);
    bytes
}

pub(crate) fn id(number: u64) -> MessageId {
    MessageId(format!("{number:016x}").into_bytes().try_into().expect("16 digits"))
}
