//! One connection of a producer, polled as a whole: commands, answers, writing, time.

use super::shared::{Entry, Shared};
use super::{ProducerSettings, PublishError};
use crate::codec::{Frame, HEARTBEAT, Identified, OK, ServerError, command};
use crate::link::Link;
use crate::{Disconnect, Step};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};

/// So often the connection is read before other tasks of this thread have their turn.
const READS_PER_TURN: usize = 4;

pub(super) struct Session<'a> {
    link: Link,
    shared: &'a Arc<Shared>,
    settings: &'a ProducerSettings,
    waiting: Waiting,
    open: bool,
    /// Buffers that change places with those of the handles.
    commands: Vec<u8>,
    entries: Vec<Entry>,
    /// When the server will have been silent for too long.
    silent_at: Instant,
    /// When closing will have taken too long.
    close_by: Option<Instant>,
}

impl<'a> Session<'a> {
    pub(super) fn new(link: Link, shared: &'a Arc<Shared>, settings: &'a ProducerSettings) -> Self {
        Self {
            link,
            shared,
            settings,
            waiting: Waiting::default(),
            open: false,
            commands: Vec::new(),
            entries: Vec::new(),
            silent_at: Instant::now() + settings.connect.connect_timeout,
            close_by: None,
        }
    }

    /// Serves the connection until it ends.
    pub(super) async fn run(&mut self, mut greeting: Vec<u8>) -> Disconnect {
        self.link.enqueue(&mut greeting);
        let mut timer = std::pin::pin!(tokio::time::sleep_until(self.silent_at));
        std::future::poll_fn(|cx| self.poll(cx, timer.as_mut())).await
    }

    /// Tells everybody who waits what became of his message. Returns whether publishing was possible.
    pub(super) fn end(mut self, reason: &Disconnect) -> bool {
        let untaken = self.shared.set_disconnected();
        let (mut count, mut bytes) = self.waiting.end(reason, self.link.written());
        for mut entry in untaken.into_iter().chain(self.entries.drain(..)) {
            (count, bytes) = (count + 1, bytes + entry.bytes);
            entry.tell(Err(PublishError::NotSent));
        }
        self.shared.release(count, bytes);
        self.open
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<Disconnect> {
        match self.turn(cx) {
            Err(reason) => Poll::Ready(reason),
            Ok(()) if self.close_by.is_some() && self.waiting.is_empty() => Poll::Ready(Disconnect::Stopped),
            Ok(()) => self.poll_deadline(cx, timer),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        self.take(cx);
        for turn in 1.. {
            // Before reading, so that nobody's message waits for others' answers.
            if let Poll::Ready(written) = self.link.poll_flush(cx) {
                written?;
            }
            let Poll::Ready(read) = self.poll_frames(cx) else { break };
            read?;
            if turn == READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        Ok(())
    }

    /// What was accepted since.
    fn take(&mut self, cx: &mut Context<'_>) {
        if self.shared.take(cx, &mut self.commands, &mut self.entries) && self.close_by.is_none() {
            self.close_by = Some(Instant::now() + self.settings.timeout);
        }
        let mut end = self.link.accepted();
        for entry in self.entries.drain(..) {
            end += entry.bytes as u64;
            self.waiting.push(entry, end);
        }
        self.link.enqueue(&mut self.commands);
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Disconnect>> {
        let Self { link, shared, waiting, open, .. } = self;
        let (mut count, mut bytes) = (0, 0);
        let outcome = link.poll_frames(cx, |frame, out| {
            match frame {
                Frame::Response(HEARTBEAT) => command::nop(out),
                Frame::Response(data) if !*open => {
                    let unexpected = Disconnect::Unexpected { what: "response", step: Step::Identifying };
                    if Identified::decode(data).ok_or(unexpected)?.auth_required {
                        return Err(Disconnect::AuthRequired);
                    }
                    *open = true;
                    shared.set_connected();
                }
                Frame::Response(OK) => {
                    let unexpected = Disconnect::Unexpected { what: "response", step: Step::Open };
                    bytes += waiting.answer(Ok(())).ok_or(unexpected)?;
                    count += 1;
                }
                Frame::Response(_) => return Err(Disconnect::Unexpected { what: "response", step: Step::Open }),
                Frame::Error { text, .. } => return Err(Disconnect::Server(ServerError::new(text))),
                Frame::Message(_) => return Err(Disconnect::Unexpected { what: "message", step: Step::Open }),
            }
            Ok(())
        });
        if count > 0 {
            shared.release(count, bytes);
        }
        if outcome.is_ready() && self.open {
            self.silent_at = Instant::now() + self.settings.connect.silence_max();
        }
        outcome
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Disconnect> {
        loop {
            let next = [self.waiting.next_deadline(), self.close_by].into_iter().flatten().min();
            let deadline = next.unwrap_or(self.silent_at).min(self.silent_at);
            // A timer that runs out early is set again then, instead of with each message.
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            self.waiting.expire(now);
            if self.silent_at <= now {
                let step = Step::Identifying;
                return Poll::Ready(if self.open { Disconnect::Silent } else { Disconnect::Timeout(step) });
            }
            if self.close_by.is_some_and(|close_by| close_by <= now) {
                return Poll::Ready(Disconnect::Timeout(Step::Closing));
            }
            let next = [self.waiting.next_deadline(), self.close_by].into_iter().flatten().min();
            timer.as_mut().reset(next.unwrap_or(self.silent_at).min(self.silent_at));
        }
    }
}

/// The commands that were given to the connection and have no answer yet, in the order of the answers. As many as are
/// accepted.
#[derive(Default)]
struct Waiting {
    commands: VecDeque<Sent>,
    /// So many of the first have timed out: nobody waits for their answers any more.
    expired: usize,
}

struct Sent {
    entry: Entry,
    /// Where its last byte stands among all that were given to the connection.
    end: u64,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    fn push(&mut self, entry: Entry, end: u64) {
        self.commands.push_back(Sent { entry, end });
    }

    /// The first one's answer has come. Returns how many bytes it had, or `None` if nobody waits.
    fn answer(&mut self, outcome: Result<(), PublishError>) -> Option<usize> {
        let mut sent = self.commands.pop_front()?;
        let bytes = sent.entry.bytes;
        self.expired = self.expired.saturating_sub(1);
        sent.entry.tell(outcome);
        Some(bytes)
    }

    /// When the next one times out. Deadlines rise: all have the same time.
    fn next_deadline(&self) -> Option<Instant> {
        self.commands.get(self.expired).map(|sent| sent.entry.deadline)
    }

    fn expire(&mut self, now: Instant) {
        while let Some(sent) = self.commands.get_mut(self.expired).filter(|sent| sent.entry.deadline <= now) {
            sent.entry.tell(Err(PublishError::TimedOut));
            self.expired += 1;
        }
    }

    /// The connection has ended after the system had taken `written` bytes. Returns how many commands had no answer, and
    /// their bytes.
    fn end(&mut self, reason: &Disconnect, written: u64) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        if let Disconnect::Server(error) = reason
            && let Some(refused) = self.answer(Err(PublishError::Refused(error.clone())))
        {
            (count, bytes) = (1, refused);
        }
        // nsqd works through commands in order, and reads nothing after an error.
        let refused = count > 0;
        for mut sent in self.commands.drain(..) {
            (count, bytes) = (count + 1, bytes + sent.entry.bytes);
            let unseen = refused || sent.end > written;
            sent.entry.tell(Err(if unseen { PublishError::NotSent } else { PublishError::Lost }));
        }
        (count, bytes)
    }
}
