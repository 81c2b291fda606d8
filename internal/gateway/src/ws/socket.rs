//! The socket of one connection: frames in, frames out gathered into few writes, a goodbye at the end.

use super::gathered::Gathered;
use super::portioned::Portioned;
use super::translate::goodbye;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use lockstep_engine::Mailbox;
use lockstep_model::Code;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// What a WebSocket here runs on.
pub(crate) type Stream = Gathered<Portioned<TokioIo<Upgraded>>>;

/// What tungstenite reads at once, and the read buffer that it begins with. Less than 1 KiB, or each later one (a large
/// frame's is given up) would have that much room too.
const READ_BUFFER_BYTES: usize = 512;
/// A larger frame is held until the next read, so that tungstenite does not keep its room for the next ones.
const SMALL_FRAME_BYTES: usize = 256;
/// Frames that wait for one socket are gathered up to here, then written.
const WRITE_BUFFER_BYTES: usize = 32 * 1_024;
/// What tungstenite itself writes are control frames, one at a time.
const CONTROL_BUFFER_BYTES: usize = 1_024;
/// How long the goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// How tungstenite treats a connection.
pub(crate) fn config(frame_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(CONTROL_BUFFER_BYTES)
        .max_message_size(Some(frame_bytes_max))
        .max_frame_size(Some(frame_bytes_max))
}

/// What came from the device.
#[derive(Debug)]
pub(crate) enum Incoming {
    Text(Utf8Bytes),
    /// A ping, which is answered below this, or a pong.
    Control,
    /// A frame that ends the connection.
    Wrong(Code),
    /// The device is gone.
    Gone,
}

/// Why a write ended the connection.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The device is gone.
    Gone,
    /// The connection is to be closed with this code.
    Closed(Code),
}

/// A WebSocket whose writes are gathered until [`flush`](Self::flush).
pub(crate) struct Socket {
    inner: WebSocketStream<Stream>,
    /// The last frame, if it was large and nothing was read since.
    large: Option<Utf8Bytes>,
    write_timeout: Duration,
}

impl Socket {
    pub(crate) fn new(inner: WebSocketStream<Stream>, write_timeout: Duration) -> Self {
        Self { inner, large: None, write_timeout }
    }

    /// The next frame of the device.
    pub(crate) async fn next(&mut self) -> Incoming {
        let next = poll_fn(|context| {
            let polled = self.inner.poll_next_unpin(context);
            self.large = None;
            polled
        });
        match next.await {
            Some(Ok(Message::Text(text))) => {
                self.large = (text.len() > SMALL_FRAME_BYTES).then(|| text.clone());
                Incoming::Text(text)
            }
            Some(Ok(Message::Binary(_))) => Incoming::Wrong(Code::BinaryFrame),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Control,
            Some(Ok(Message::Close(_))) | None => Incoming::Gone,
            Some(Err(error)) => wrong(&error),
        }
    }

    /// The next frame, if it has come already.
    pub(crate) fn ready(&mut self) -> Option<Incoming> {
        self.next().now_or_never()
    }

    /// Adds a frame to what will be written. True if so much waits that it has to be flushed before the next.
    #[must_use]
    pub(crate) fn push(&mut self, text: &str) -> bool {
        let gathered = self.inner.get_mut();
        gathered.push_text(text);
        gathered.waiting_bytes() >= WRITE_BUFFER_BYTES
    }

    /// Writes what was gathered: waits for the socket, but no longer than the device may take, and not when the
    /// connection is being closed. False if there was nothing.
    pub(crate) async fn flush(&mut self, mailbox: Option<&Mailbox>) -> Result<bool, WriteError> {
        if self.inner.get_ref().waiting_bytes() == 0 {
            return Ok(false);
        }
        // Nearly always the socket takes it at once, and then a timer would cost more than the frame.
        let at_once = poll_fn(|context| Poll::Ready(self.poll_flush(context))).await;
        if let Poll::Ready(done) = at_once {
            return done.map(|()| true);
        }
        Box::pin(self.flush_slowly(mailbox)).await.map(|()| true)
    }

    async fn flush_slowly(&mut self, mailbox: Option<&Mailbox>) -> Result<(), WriteError> {
        let timeout = self.write_timeout;
        let written = poll_fn(|context| {
            if let Poll::Ready(done) = self.poll_flush(context) {
                return Poll::Ready(done);
            }
            match mailbox.map(|mailbox| mailbox.poll_closed(context)) {
                Some(Poll::Ready(code)) => Poll::Ready(Err(WriteError::Closed(code))),
                _ => Poll::Pending,
            }
        });
        let written = tokio::time::timeout(timeout, written).await;
        written.unwrap_or(Err(WriteError::Closed(Code::SlowReader)))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        self.inner.get_mut().poll_write_out(context).map_err(|_| WriteError::Gone)
    }

    /// Sends what is left to a device that has closed: the reply to its close frame (RFC 6455, section 5.5.1).
    pub(crate) async fn finish(mut self) {
        let rest = async {
            let _closed = self.inner.flush().await;
            poll_fn(|context| self.poll_flush(context)).await
        };
        // Whether it arrived makes no difference any more.
        let _over = tokio::time::timeout(GOODBYE_TIMEOUT, rest).await;
    }

    /// Tells the device why, and closes.
    pub(crate) async fn close(self, code: Code) {
        let frame = CloseFrame { code: code.spec().close.into(), reason: Utf8Bytes::from_static(code.name()) };
        self.part(&goodbye(code), frame).await;
    }

    /// Sends a last frame, closes, and waits a moment for the device to have read that: a socket that is dropped with unread
    /// input takes the goodbye with it.
    pub(crate) async fn part(mut self, last: &str, frame: CloseFrame) {
        self.inner.get_mut().push_text(last);
        let farewell = async {
            self.inner.send(Message::Close(Some(frame))).await?;
            while let Some(Ok(_)) = self.inner.next().await {}
            // After a frame that could not be read tungstenite reads nothing more; the rest of it is still coming.
            let stream = self.inner.get_mut();
            stream.shutdown().await?;
            let mut unread = [0; 512];
            while stream.read(&mut unread).await? > 0 {}
            Ok::<_, Error>(())
        };
        // Whether it arrived makes no difference any more.
        let _over = tokio::time::timeout(GOODBYE_TIMEOUT, farewell).await;
    }
}

fn wrong(error: &Error) -> Incoming {
    match error {
        Error::Capacity(_) => Incoming::Wrong(Code::FrameTooLarge),
        Error::Utf8(_) => Incoming::Wrong(Code::BadUtf8),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Incoming::Gone,
        Error::Protocol(_) => Incoming::Wrong(Code::BadWebSocket),
        _ => Incoming::Gone,
    }
}
