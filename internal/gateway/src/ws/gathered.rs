//! The bytes that wait for one socket: frames are gathered and leave in one write.
//!
//! This stands below tungstenite, which reads, answers pings and closes. Text frames to the device are put here directly:
//! a shared entry is then copied once, and the buffer's memory goes as soon as it is written, where tungstenite's own
//! would stay as large as the largest batch for as long as the connection lives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Control frames (at most 131 bytes each) wait up to here; then their writer waits.
const CONTROL_BYTES_MAX: usize = 64 * 1_024;

/// A stream whose writes are gathered until it is flushed. A write is taken whole or not at all, so that frames of both
/// writers, tungstenite and [`push_text`](Self::push_text), never mix.
#[derive(Debug)]
pub(crate) struct Gathered<S> {
    stream: S,
    waiting: Vec<u8>,
    written: usize,
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), written: 0 }
    }

    /// Adds one text frame of the server: final, not masked (RFC 6455, section 5.2).
    pub(crate) fn push_text(&mut self, text: &str) {
        const FINAL_TEXT: u8 = 0x81;
        let payload = text.as_bytes();
        self.waiting.reserve(payload.len() + 10);
        self.waiting.push(FINAL_TEXT);
        match payload.len() {
            length @ 0..=125 => self.waiting.push(length as u8),
            length @ 126..=0xffff => {
                self.waiting.push(126);
                self.waiting.extend((length as u16).to_be_bytes());
            }
            length => {
                self.waiting.push(127);
                self.waiting.extend((length as u64).to_be_bytes());
            }
        }
        self.waiting.extend(payload);
    }

    /// How many bytes wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting.len() - self.written
    }

    /// Writes all that waits.
    pub(crate) fn poll_write_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.waiting.len() {
            let rest = &self.waiting[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => self.written += bytes,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        (self.waiting, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.waiting_bytes() > CONTROL_BYTES_MAX {
            ready!(self.poll_write_out(context))?;
        }
        self.waiting.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::{Message, protocol::Role};

    /// Frames of every length form, between control frames of tungstenite, through a pipe far smaller than they are.
    #[tokio::test]
    async fn frames_of_both_writers_arrive_whole_and_in_order() {
        let config = crate::ws::socket::config(1 << 20);
        let (near, far) = tokio::io::duplex(100);
        let mut server = WebSocketStream::from_raw_socket(Gathered::new(near), Role::Server, Some(config)).await;
        let mut device = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
        let writing = async {
            for length in lengths {
                server.get_mut().push_text(&"x".repeat(length));
                server.feed(Message::Ping(vec![7; length % 100].into())).await.unwrap();
                server.get_mut().push_text("between");
            }
            server.flush().await.unwrap();
            assert_eq!((server.get_ref().waiting_bytes(), server.get_ref().waiting.capacity()), (0, 0));
        };
        let reading = async {
            let (mut texts, mut pings) = (Vec::new(), Vec::new());
            while texts.len() < 2 * lengths.len() || pings.len() < lengths.len() {
                match device.next().await.unwrap().unwrap() {
                    Message::Ping(payload) => pings.push(payload.len()),
                    message => texts.push(message.into_text().unwrap().len()),
                }
            }
            // Each writer's frames keep their order; a control frame may be overtaken.
            assert_eq!(texts, lengths.iter().flat_map(|length| [*length, "between".len()]).collect::<Vec<_>>());
            assert_eq!(pings, lengths.map(|length| length % 100));
        };
        tokio::join!(writing, reading);
    }
}
