//! The bytes that come from one socket: read in large pieces, passed on in portions that end where a frame's head or its
//! payload ends.
//!
//! tungstenite's read buffer otherwise keeps the room of the largest frame that it ever read, up to twice over, and a
//! device's first frames are its largest. A buffer (`BytesMut`) is given up only when it is full to its end and what was
//! cut from it is still in use. The first is so after a large frame if reads end where frames do; the second is what
//! [`Socket`](super::socket::Socket) sees to.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once, into the task's stack. Of that, what tungstenite has not taken yet is kept.
const READ_BYTES: usize = 4 * 1_024;

/// A stream that is read in portions and written as it is.
#[derive(Debug)]
pub(crate) struct Portioned<S> {
    stream: S,
    /// What was read and not passed on: at most [`READ_BYTES`] and a head.
    unread: Vec<u8>,
    passed: usize,
    frame: Frame,
}

/// How much of the current frame has not been passed on.
#[derive(Debug, Default)]
struct Frame {
    head: u8,
    payload: u64,
}

impl<S> Portioned<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new(), passed: 0, frame: Frame::default() }
    }
}

impl Frame {
    /// Passes on as much of `bytes` as the frame's head or its payload has: nothing if it is not known yet where the head
    /// ends.
    fn pass(&mut self, bytes: &[u8], into: &mut ReadBuf<'_>) -> usize {
        if self.head == 0 && self.payload == 0 {
            let Some(frame) = Self::measure(bytes) else { return 0 };
            *self = frame;
        }
        let most = bytes.len().min(into.remaining());
        let portion = if self.head > 0 {
            let portion = most.min(self.head.into());
            self.head -= portion as u8;
            portion
        } else {
            let portion = self.payload.min(most as u64);
            self.payload -= portion;
            portion as usize
        };
        into.put_slice(&bytes[..portion]);
        portion
    }

    /// The lengths of a frame's head and payload, once the whole head is there (RFC 6455, section 5.2).
    fn measure(bytes: &[u8]) -> Option<Self> {
        let length = *bytes.get(1)?;
        let (head, payload) = match length & 0x7f {
            126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into()),
            127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
            length => (2, length.into()),
        };
        let head = head + if length & 0x80 == 0 { 0 } else { 4 };
        (bytes.len() >= head.into()).then_some(Self { head, payload })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Portioned<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (before, room) = (into.filled().len(), into.remaining());
        if !this.unread.is_empty() {
            this.passed += this.frame.pass(&this.unread[this.passed..], into);
            if this.passed == this.unread.len() {
                (this.unread, this.passed) = (Vec::new(), 0);
            }
        }
        while room > 0 && into.filled().len() == before {
            let mut room = [MaybeUninit::uninit(); READ_BYTES];
            let mut room = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut room))?;
            // At the end of the stream half a head is worth nothing.
            if room.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if this.unread.is_empty() {
                let passed = this.frame.pass(room.filled(), into);
                this.unread.extend(&room.filled()[passed..]);
            } else {
                this.unread.drain(..this.passed);
                this.unread.extend(room.filled());
                this.passed = this.frame.pass(&this.unread, into);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Portioned<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    /// A masked text frame with this payload.
    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x81];
        match payload.len() {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.extend(payload);
        frame
    }

    /// Whatever pieces the bytes come in: all arrive, in order, and no read goes past the end of a head or a payload.
    #[tokio::test]
    async fn portions_end_where_heads_and_payloads_do() {
        let payloads = [0, 1, 125, 126, 127, 0, 5_000, 65_535, 65_536, 70_000, 3].map(|length| vec![7; length]);
        let frames = payloads.each_ref().map(|payload| frame(payload));
        let bytes = frames.concat();
        let mut ends = vec![];
        for (frame, payload) in frames.iter().zip(&payloads) {
            let start = ends.last().copied().unwrap_or(0);
            ends.extend([start + frame.len() - payload.len(), start + frame.len()]);
        }
        for piece in [1, 3, 7, 100, 4_096, bytes.len()] {
            let mut pieces = in_pieces(&bytes, piece);
            let (mut got, mut room) = (Vec::<u8>::new(), [0; 512]);
            loop {
                let read = pieces.read(&mut room).await.unwrap();
                if read == 0 {
                    break;
                }
                let crossed = ends.iter().find(|end| (got.len() + 1..got.len() + read).contains(end));
                assert_eq!(crossed, None, "pieces of {piece}: {read} bytes after {}", got.len());
                got.extend(&room[..read]);
            }
            assert!(got == bytes, "pieces of {piece}: {} of {} bytes", got.len(), bytes.len());
            assert_eq!(pieces.unread.capacity(), 0);
        }
    }

    /// The bytes in pieces of this length.
    fn in_pieces(bytes: &[u8], piece: usize) -> Portioned<impl AsyncRead + Unpin + use<>> {
        let (near, mut far) = tokio::io::duplex(piece);
        let bytes = bytes.to_vec();
        tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut far, &bytes).await });
        Portioned::new(near)
    }
}
