//! One connection of a consumer, polled as a whole: orders, frames, writing, time.

use super::Group;
use super::handler::Handler;
use super::machine::{Machine, Subject};
use crate::link::Link;
use crate::{Disconnect, Step};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// So often one connection is read before the others of this thread have their turn.
const READS_PER_TURN: usize = 4;

pub(super) struct Session {
    link: Link,
    machine: Machine,
    /// When the server will have taken too long.
    deadline: Instant,
    opened_at: Option<Instant>,
    /// Held until the subscription stands.
    connecting: Option<OwnedSemaphorePermit>,
}

impl Session {
    pub(super) fn new(link: Link, connecting: OwnedSemaphorePermit, deadline: Instant) -> Self {
        Self { link, machine: Machine::new(), deadline, opened_at: None, connecting: Some(connecting) }
    }

    /// The first bytes of the connection.
    pub(super) fn greet(&mut self, group: &Group) {
        self.link.enqueue(&mut group.greeting.clone());
    }

    /// When the server will have taken too long, as things stand.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Where it stood at its end.
    pub(super) fn step(&self) -> Step {
        self.machine.step()
    }

    /// Whether the server confirmed the end.
    pub(super) fn is_closed(&self) -> bool {
        self.machine.is_closed()
    }

    pub(super) fn opened_at(&self) -> Option<Instant> {
        self.opened_at
    }

    /// What the system has not sent yet is not to be sent.
    pub(super) fn abort(&self) {
        self.link.abort();
    }

    /// Does what there is to do. Ready when the connection has ended.
    pub(super) fn poll<H: Handler>(
        &mut self,
        cx: &mut Context<'_>,
        subject: &mut Subject<'_, H>,
        timer: Pin<&mut Sleep>,
    ) -> Poll<Disconnect> {
        match self.turn(cx, subject) {
            Err(reason) => Poll::Ready(reason),
            Ok(()) if self.machine.is_closed() && self.link.is_flushed() => Poll::Ready(Disconnect::Stopped),
            Ok(()) => self.poll_deadline(cx, timer),
        }
    }

    fn turn<H: Handler>(&mut self, cx: &mut Context<'_>, subject: &mut Subject<'_, H>) -> Result<(), Disconnect> {
        self.take_orders(cx, subject)?;
        let mut reads = 0;
        while let Poll::Ready(outcome) = {
            let machine = &mut self.machine;
            self.link.poll_frames(cx, |frame, out| machine.frame(frame, subject, out))
        } {
            if self.machine.step() == Step::Open {
                subject.handler.gathered();
            }
            outcome?;
            self.heard(subject);
            reads += 1;
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        match self.link.poll_flush(cx) {
            Poll::Ready(Err(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    /// Answers and the wish for an end.
    fn take_orders<H>(&mut self, cx: &mut Context<'_>, subject: &Subject<'_, H>) -> Result<(), Disconnect> {
        let mut scratch = crate::scratch::Scratch::lend();
        let stop = subject.shared.take_orders(cx, &mut scratch.out);
        let was = self.machine.step();
        if stop {
            self.machine.stop(subject, &mut scratch.out);
        }
        if self.machine.step() != was {
            self.deadline = Instant::now() + subject.group.settings.close_timeout;
        }
        if scratch.out.is_empty() { Ok(()) } else { self.link.send(cx, &scratch.out) }
    }

    /// Something has come: the server is alive.
    fn heard<H>(&mut self, subject: &Subject<'_, H>) {
        if self.machine.step() != Step::Open {
            return;
        }
        let now = Instant::now();
        self.deadline = now + subject.group.settings.connect.silence_max();
        if self.opened_at.is_none() {
            self.opened_at = Some(now);
            self.connecting = None;
        }
    }

    /// The timer is set when it has run out, not with each frame: most of the time it finds that the server was heard.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Disconnect> {
        if self.deadline < timer.deadline() {
            timer.as_mut().reset(self.deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= self.deadline {
                return Poll::Ready(match self.machine.step() {
                    Step::Open => Disconnect::Silent,
                    step => Disconnect::Timeout(step),
                });
            }
            timer.as_mut().reset(self.deadline);
        }
        Poll::Pending
    }
}
