//! A light device: one task, one socket with small buffers, and a check of everything that comes.
//!
//! It speaks the protocol as the SDK does, acknowledgements and heartbeats too, but keeps nothing: what a run measures
//! should be the server, though both share the machine.

use super::frames::Frame;
use super::track::Track;
use anyhow::{Context, Result, bail, ensure};
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Entries after which an acknowledgement waits no longer, and how long it waits for them: those of the SDK.
const ACK_ENTRIES: usize = 32;
const ACK_DELAY: Duration = Duration::from_millis(100);
/// Frames that are taken before anything else gets its turn.
const FRAMES_PER_TURN: usize = 256;
/// Devices that connect from one address. The system has about 28,000 ports for each, and keeps those of closed
/// connections for a minute.
const DEVICES_PER_SOURCE: usize = 10_000;
/// How long the way to an open WebSocket may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a scenario does with what a device gets.
pub(super) trait Handler: Send + 'static {
    /// An entry that had not come before.
    fn entry(&mut self, _conversation: &str, _seq: u64) {}
    /// The answer to a send.
    fn sent(&mut self, _reference: u64, _frames: &mut Vec<String>) {}
    /// The run begins: the first frames to write.
    fn go(&mut self, _frames: &mut Vec<String>) {}
    /// All that had come was taken.
    fn pause(&mut self) {}
}

/// Where devices connect to, and how they show that they are there.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    /// Bytes that a device reads at once.
    pub(super) read_buffer_bytes: usize,
    /// As many as may be on their way to an open WebSocket at once.
    pub(super) entrance: Arc<Semaphore>,
    /// Gets a permit for each device that has its `welcome`.
    pub(super) welcome: Arc<Semaphore>,
    /// Gets a permit for each device that has its `caught_up`.
    pub(super) caught_up: Arc<Semaphore>,
}

impl Door {
    pub(super) fn new(address: SocketAddr, at_once: usize) -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self {
            address,
            read_buffer_bytes: 4 * 1_024,
            entrance: Arc::new(Semaphore::new(at_once)),
            welcome: none(),
            caught_up: none(),
        }
    }

    async fn open(&self, index: usize, subprotocol: Option<&'static str>) -> Result<WebSocketStream<TcpStream>> {
        let _entered = self.entrance.acquire().await?;
        let socket = TcpSocket::new_v4()?;
        let source = index / DEVICES_PER_SOURCE;
        if source > 0 {
            let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + source as u32);
            socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{}/v1/ws", self.address).into_client_request()?;
        if let Some(name) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(name));
        }
        let config = WebSocketConfig::default().read_buffer_size(self.read_buffer_bytes).write_buffer_size(4 * 1_024);
        Ok(client_async_with_config(request, stream, Some(config)).await?.0)
    }
}

/// How a device says who it is.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    /// To a server.
    Token { token: String, epoch: String, feed: String },
    /// To a reference: its part. A reference knows no acknowledgements.
    Role(String),
}

/// What a device is told to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Write these frames, in one write if they fit.
    Write(Vec<String>),
    /// Begin.
    Go,
}

/// A device, connected or not.
pub(super) struct Device<H> {
    pub(super) index: usize,
    pub(super) identity: Identity,
    pub(super) track: Track,
    pub(super) handler: H,
    /// What it says first, if that was made before.
    greeting: Vec<String>,
}

/// What happens to a connected device.
enum Happened {
    Order(Option<Order>),
    Message(Option<Result<Message, tokio_tungstenite::tungstenite::Error>>),
    AckDue,
}

impl<H: Handler> Device<H> {
    pub(super) fn new(index: usize, identity: Identity, track: Track, handler: H) -> Self {
        Self { index, identity, track, handler, greeting: Vec::new() }
    }

    /// Makes what it will say first, so that this does not take time once it counts.
    pub(super) fn prepare(&mut self) {
        self.greeting = match &self.identity {
            Identity::Token { token, epoch, feed } => self.track.greeting(token, epoch, feed),
            Identity::Role(role) => vec![role.clone()],
        };
    }

    /// Connects, and takes what comes until nobody gives orders any more. Then the socket is dropped, as if switched off.
    pub(super) async fn run(mut self, door: Door, orders: mpsc::UnboundedReceiver<Order>) -> Result<Self> {
        let index = self.index;
        self.live(&door, orders).await.with_context(|| format!("device {index}"))?;
        Ok(self)
    }

    async fn live(&mut self, door: &Door, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<()> {
        let subprotocol = matches!(self.identity, Identity::Token { .. }).then_some("lockstep.v1");
        let opening = tokio::time::timeout(CONNECT_TIMEOUT, door.open(self.index, subprotocol));
        let mut socket = opening.await.context("no answer to its upgrade")?.context("cannot connect")?;
        if self.greeting.is_empty() {
            self.prepare();
        }
        let mut out = std::mem::take(&mut self.greeting);
        let mut timer = pin!(sleep(Duration::ZERO));
        let mut armed = false;
        loop {
            if !out.is_empty() {
                for frame in out.drain(..) {
                    socket.feed(Message::text(frame)).await?;
                }
                socket.flush().await?;
            }
            let happened = tokio::select! {
                biased;
                order = orders.recv() => Happened::Order(order),
                message = socket.next() => Happened::Message(message),
                () = timer.as_mut(), if armed => Happened::AckDue,
            };
            let mut ack_now = false;
            match happened {
                Happened::Order(None) => return Ok(()),
                Happened::Order(Some(Order::Write(frames))) => out.extend(frames),
                Happened::Order(Some(Order::Go)) => self.handler.go(&mut out),
                Happened::Message(first) => {
                    self.take_message(first, door, &mut out)?;
                    for _ in 1..FRAMES_PER_TURN {
                        let Some(next) = socket.next().now_or_never() else { break };
                        self.take_message(next, door, &mut out)?;
                    }
                    self.handler.pause();
                }
                Happened::AckDue => (armed, ack_now) = (false, true),
            }
            if ack_now || self.track.unacknowledged >= ACK_ENTRIES {
                self.acknowledge(&mut out);
            } else if self.track.unacknowledged > 0 && !armed {
                timer.as_mut().reset(Instant::now() + ACK_DELAY);
                armed = true;
            }
        }
    }

    fn acknowledge(&mut self, out: &mut Vec<String>) {
        let written = out.len();
        self.track.acknowledge(out);
        if matches!(self.identity, Identity::Role(_)) {
            out.truncate(written);
        }
    }

    fn take_message(
        &mut self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
        door: &Door,
        out: &mut Vec<String>,
    ) -> Result<()> {
        match message.context("the connection ended")?.context("the connection broke")? {
            Message::Text(text) => self.take_frame(&text, door, out),
            Message::Close(reason) => bail!("the connection was closed: {reason:?}"),
            // Answered by the library.
            _ => Ok(()),
        }
    }

    fn take_frame(&mut self, text: &str, door: &Door, out: &mut Vec<String>) -> Result<()> {
        let frame: Frame<'_> = serde_json::from_str(text).with_context(|| format!("not a frame: {text}"))?;
        match frame.kind {
            "entry" => {
                let (conversation, seq) = frame.conversation.zip(frame.seq).context("an entry without a place")?;
                ensure!(frame.body.is_some(), "an entry without a body");
                self.take_entry(conversation, seq, frame.id.context("an entry without an id")?)?;
            }
            "entries" => {
                for entry in frame.entries.context("a batch without entries")? {
                    ensure!(entry.body.get().starts_with('{'), "an entry whose body is no object");
                    self.take_entry(entry.conversation, entry.seq, entry.id)?;
                }
            }
            "sent" => {
                ensure!(!frame.duplicate, "a message was taken for one that had been sent before");
                self.handler.sent(frame.reference.context("an answer to nothing")?, out);
            }
            "heartbeat" => out.push(r#"{"type":"heartbeat"}"#.to_owned()),
            "welcome" => door.welcome.add_permits(1),
            "caught_up" => door.caught_up.add_permits(1),
            "offsets" | "receipts" => {}
            "error" => {
                bail!("the server says {}: {}", frame.code.unwrap_or_default(), frame.message.unwrap_or_default())
            }
            other => bail!("an unexpected frame: {other}"),
        }
        Ok(())
    }

    fn take_entry(&mut self, conversation: &str, seq: u64, id: &str) -> Result<()> {
        if self.track.take(conversation, seq, id)? {
            self.handler.entry(conversation, seq);
        }
        Ok(())
    }
}
