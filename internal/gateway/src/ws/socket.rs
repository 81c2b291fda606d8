//! The socket of one connection: frames in, frames out gathered into few writes, a goodbye at the end.

use super::translate::goodbye;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::{FutureExt, Sink as _, SinkExt as _, StreamExt as _};
use lockstep_engine::Mailbox;
use lockstep_model::{Code, limits};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio_tungstenite::tungstenite;

/// Largest frame that the server writes: a full batch of the largest bodies.
pub(crate) const FRAME_BYTES_MAX: usize = limits::ENTRIES_PER_FRAME_MAX * (limits::BODY_BYTES_MAX + 1_024);
/// How long the goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// What came from the device.
#[derive(Debug)]
pub(crate) enum Incoming {
    Text(Utf8Bytes),
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
    inner: WebSocket,
    unflushed: bool,
    write_timeout: Duration,
}

impl Socket {
    pub(crate) fn new(inner: WebSocket, write_timeout: Duration) -> Self {
        Self { inner, unflushed: false, write_timeout }
    }

    /// The next frame of the device. Pings are answered below this.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            return match self.inner.next().await {
                Some(Ok(Message::Text(text))) => Incoming::Text(text),
                Some(Ok(Message::Binary(_))) => Incoming::Wrong(Code::BinaryFrame),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) | None => Incoming::Gone,
                Some(Err(error)) => wrong(error),
            };
        }
    }

    /// The next frame, if it has come already.
    pub(crate) fn ready(&mut self) -> Option<Incoming> {
        self.next().now_or_never()
    }

    /// Adds a frame to what will be written. Waits only if the buffer is full.
    pub(crate) async fn push(&mut self, text: Utf8Bytes, mailbox: Option<&Mailbox>) -> Result<(), WriteError> {
        self.until_written(mailbox, |socket, context| socket.poll_ready(context)).await?;
        self.unflushed = true;
        self.inner.start_send_unpin(Message::Text(text)).map_err(|_| WriteError::Gone)
    }

    /// Writes what was gathered. False if there was nothing.
    pub(crate) async fn flush(&mut self, mailbox: Option<&Mailbox>) -> Result<bool, WriteError> {
        if !std::mem::take(&mut self.unflushed) {
            return Ok(false);
        }
        self.until_written(mailbox, |socket, context| socket.poll_flush(context)).await?;
        Ok(true)
    }

    /// Waits for the socket, but no longer than the device may take, and not when the connection is being closed.
    async fn until_written(
        &mut self,
        mailbox: Option<&Mailbox>,
        mut poll: impl FnMut(Pin<&mut WebSocket>, &mut std::task::Context<'_>) -> Poll<Result<(), axum::Error>>,
    ) -> Result<(), WriteError> {
        // Nearly always the socket takes it at once, and then a timer would cost more than the frame.
        let at_once = poll_fn(|context| Poll::Ready(poll(Pin::new(&mut self.inner), context))).await;
        if let Poll::Ready(done) = at_once {
            return done.map_err(|_| WriteError::Gone);
        }
        let written = poll_fn(|context| {
            if let Poll::Ready(done) = poll(Pin::new(&mut self.inner), context) {
                return Poll::Ready(done.map_err(|_| WriteError::Gone));
            }
            match mailbox.map(|mailbox| mailbox.poll_closed(context)) {
                Some(Poll::Ready(code)) => Poll::Ready(Err(WriteError::Closed(code))),
                _ => Poll::Pending,
            }
        });
        tokio::time::timeout(self.write_timeout, written).await.unwrap_or(Err(WriteError::Closed(Code::SlowReader)))
    }

    /// Tells the device why, closes, and waits a moment for it to have read that: a socket that is dropped with unread
    /// input takes the goodbye with it.
    pub(crate) async fn close(mut self, code: Code) {
        let frame = CloseFrame { code: code.spec().close, reason: Utf8Bytes::from_static(code.name()) };
        let farewell = async {
            self.inner.feed(Message::Text(goodbye(code))).await?;
            self.inner.send(Message::Close(Some(frame))).await?;
            while let Some(Ok(_)) = self.inner.next().await {}
            Ok::<_, axum::Error>(())
        };
        // Whether it arrived makes no difference any more.
        let _over = tokio::time::timeout(GOODBYE_TIMEOUT, farewell).await;
    }
}

fn wrong(error: axum::Error) -> Incoming {
    match error.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Incoming::Wrong(Code::FrameTooLarge),
        Some(tungstenite::Error::Utf8(_)) => Incoming::Wrong(Code::BadUtf8),
        Some(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
            Incoming::Gone
        }
        Some(tungstenite::Error::Protocol(_)) => Incoming::Wrong(Code::BadWebSocket),
        _ => Incoming::Gone,
    }
}
