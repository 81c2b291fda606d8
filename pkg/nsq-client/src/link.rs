//! A connection's frames and bytes: reads into shared buffers, keeps what is incomplete, writes what waits.

use crate::Disconnect;
use crate::codec::{Decoded, Frame, decode};
use crate::scratch::Scratch;
use crate::transport::Transport;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// The beginning of a frame up to this size is put before what is read next; a longer one is completed in its own buffer.
const REJOINED_BYTES_MAX: usize = 8 * 1024;

pub(crate) struct Link {
    transport: Transport,
    frame_bytes_max: usize,
    /// How much may wait to be written. Above it the connection ends: the server sends but does not read.
    unwritten_bytes_max: usize,
    /// The beginning of a frame. Without capacity when there is none.
    partial: Vec<u8>,
    /// Whole commands that the system has not taken yet, of which the first `taken` bytes it has.
    unwritten: Vec<u8>,
    taken: usize,
    /// Bytes handed to the system since the connection began.
    written: u64,
}

impl Link {
    pub(crate) fn new(transport: Transport, frame_bytes_max: usize, unwritten_bytes_max: usize) -> Self {
        let (partial, unwritten) = (Vec::new(), Vec::new());
        Self { transport, frame_bytes_max, unwritten_bytes_max, partial, unwritten, taken: 0, written: 0 }
    }

    /// Reads once, and gives every whole frame to `take`, which appends what it has to answer to the buffer it is
    /// given. All answers leave in one write. `Pending` if nothing has arrived; whoever polls is woken when it does.
    pub(crate) fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Frame<'_>, &mut Vec<u8>) -> Result<(), Disconnect>,
    ) -> Poll<Result<(), Disconnect>> {
        let mut scratch = Scratch::lend();
        let crate::scratch::Buffers { read, out } = &mut *scratch;
        let kept = self.partial.len();
        let begin = if kept <= REJOINED_BYTES_MAX { kept } else { 0 };
        let mut buffer = ReadBuf::new(&mut read[begin..]);
        if let Err(error) = ready!(self.transport.poll_read(cx, &mut buffer)) {
            return Poll::Ready(Err(Disconnect::Io(error)));
        }
        let end = begin + buffer.filled().len();
        if end == begin {
            return Poll::Ready(Err(Disconnect::Closed));
        }
        let taken = if begin == kept {
            read[..begin].copy_from_slice(&self.partial);
            let taken = take_frames(&read[..end], self.frame_bytes_max, |frame| take(frame, out));
            if let Ok(taken) = taken {
                self.keep(&read[taken..end]);
            }
            taken
        } else {
            self.partial.extend_from_slice(&read[..end]);
            let taken = take_frames(&self.partial, self.frame_bytes_max, |frame| take(frame, out));
            if let Ok(taken @ 1..) = taken {
                let rest = self.partial.split_off(taken);
                self.keep(&rest);
            }
            taken
        };
        // What was answered before a failure is still worth sending.
        let sent = self.send(cx, out);
        Poll::Ready(taken.map(|_| ()).and(sent))
    }

    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    /// Writes whole commands, or lets them wait for [`Self::poll_flush`].
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, commands: &[u8]) -> Result<(), Disconnect> {
        let mut rest = commands;
        if self.is_flushed() {
            while !rest.is_empty() {
                match self.transport.poll_write(cx, rest) {
                    Poll::Ready(Ok(written)) => {
                        self.written += written as u64;
                        rest = &rest[written..];
                    }
                    Poll::Ready(Err(error)) => return Err(Disconnect::Io(error)),
                    Poll::Pending => break,
                }
            }
        }
        self.wait(rest);
        let bytes = self.unwritten.len() - self.taken;
        if bytes > self.unwritten_bytes_max { Err(Disconnect::Stalled { bytes }) } else { Ok(()) }
    }

    /// Lets whole commands wait for [`Self::poll_flush`], and leaves an empty buffer in their place. Their owner has
    /// bounded them.
    pub(crate) fn enqueue(&mut self, commands: &mut Vec<u8>) {
        if self.is_flushed() {
            self.taken = 0;
            std::mem::swap(&mut self.unwritten, commands);
        } else {
            self.wait(commands);
        }
        commands.clear();
    }

    /// Puts bytes behind those that wait. What the system has is dropped as soon as it is the greater part, so that the
    /// buffer stays in proportion to what waits even if it is never empty.
    fn wait(&mut self, bytes: &[u8]) {
        if self.taken > self.unwritten.len() / 2 {
            self.unwritten.drain(..self.taken);
            self.taken = 0;
        }
        self.unwritten.extend_from_slice(bytes);
    }

    /// Writes what waits. `Pending` if the system takes no more; whoever polls is woken when it does.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnect>> {
        while self.taken < self.unwritten.len() {
            match ready!(self.transport.poll_write(cx, &self.unwritten[self.taken..])) {
                Ok(written) => {
                    self.taken += written;
                    self.written += written as u64;
                }
                Err(error) => return Poll::Ready(Err(Disconnect::Io(error))),
            }
        }
        self.unwritten = Vec::new();
        self.taken = 0;
        Poll::Ready(Ok(()))
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.taken == self.unwritten.len()
    }

    /// Bytes handed to the system since the connection began.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes handed to the system, and those that wait.
    pub(crate) fn accepted(&self) -> u64 {
        self.written + (self.unwritten.len() - self.taken) as u64
    }

    /// Ends the connection so that what the system has not sent yet is not sent at all.
    pub(crate) fn abort(&self) {
        self.transport.abort();
    }
}

/// Takes whole frames from the beginning of `bytes`. Returns how many bytes they had.
fn take_frames(
    bytes: &[u8],
    frame_bytes_max: usize,
    mut take: impl FnMut(Frame<'_>) -> Result<(), Disconnect>,
) -> Result<usize, Disconnect> {
    let mut taken = 0;
    while taken < bytes.len() {
        match decode(&bytes[taken..], frame_bytes_max).map_err(Disconnect::Decode)? {
            Decoded::Frame { frame, bytes } => {
                taken += bytes;
                take(frame)?;
            }
            Decoded::Incomplete { .. } => break,
        }
    }
    Ok(taken)
}
