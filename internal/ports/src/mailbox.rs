//! The one queue in front of a connection.

use lockstep_model::{Code, DeviceId, Notice, SharedEntry};
use parking_lot::Mutex;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What others put before a connection: live entries from the broker, answers and signals from the engine.
///
/// Bounded: at most `queue_max` live entries and signals wait; beyond that they are dropped and the connection gets one
/// [`Notice::Overflowed`], upon which its session rechecks the log. Answers are never dropped: each is to a question of
/// the session, which bounds its questions. After [`close`](Self::close) nothing is taken any more.
#[derive(Debug)]
pub struct Mailbox {
    device: DeviceId,
    queue_max: u32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    notices: Vec<Notice>,
    overflowed: bool,
    closed: Option<Code>,
    waker: Option<Waker>,
}

/// What a connection finds when it is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakeup {
    /// Notices were moved into the caller's vector.
    Notices,
    /// The mailbox was closed with this code; notices may have been moved too, but they must not be delivered.
    Closed(Code),
}

/// Where the connection's task takes notices.
pub type Inbox = Vec<Notice>;

impl Mailbox {
    /// An empty mailbox of a device's connection.
    pub fn new(device: DeviceId, queue_max: u32) -> Arc<Self> {
        Arc::new(Self { device, queue_max, inner: Mutex::default() })
    }

    /// Whose it is: the channel's name.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Puts live entries before the connection.
    pub fn deliver(&self, entries: &[SharedEntry]) {
        self.offer(entries.len(), || entries.iter().cloned().map(Notice::Entry));
    }

    /// Puts a signal before the connection: something that it could also find out by a recheck.
    pub fn signal(&self, notice: Notice) {
        self.offer(1, || std::iter::once(notice));
    }

    /// Puts something before the connection that nobody misses: if the queue is full it is dropped without a word.
    pub fn whisper(&self, notice: Notice) {
        let mut inner = self.inner.lock();
        if inner.closed.is_none() && inner.notices.len() < self.queue_max as usize {
            inner.notices.push(notice);
            wake(inner);
        }
    }

    /// Puts the answer to a question before the connection. False if the connection is gone.
    #[must_use]
    pub fn answer(&self, notice: Notice) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed.is_some() {
            return false;
        }
        inner.notices.push(notice);
        wake(inner);
        true
    }

    /// Ends the connection with a code. The first code wins.
    pub fn close(&self, code: Code) {
        let mut inner = self.inner.lock();
        if inner.closed.is_none() {
            inner.closed = Some(code);
            wake(inner);
        }
    }

    /// Whether the connection has been ended.
    pub fn is_closed(&self) -> bool {
        self.inner.lock().closed.is_some()
    }

    /// Whether the connection has been ended because its device may do nothing any more: it was removed, its user was
    /// disabled, or its tokens were revoked.
    pub fn is_barred(&self) -> bool {
        matches!(self.inner.lock().closed, Some(Code::DeviceRemoved | Code::UserDisabled | Code::TokenRevoked))
    }

    /// Moves all waiting notices into `inbox`, or arranges for the task to be woken when there are some.
    pub fn poll_take(&self, context: &mut Context<'_>, inbox: &mut Inbox) -> Poll<Wakeup> {
        let mut inner = self.inner.lock();
        // The room goes with the notices: an idle connection has none.
        let notices = std::mem::take(&mut inner.notices);
        if inbox.is_empty() {
            *inbox = notices
        } else {
            inbox.extend(notices)
        }
        if std::mem::take(&mut inner.overflowed) {
            inbox.push(Notice::Overflowed);
        }
        if let Some(code) = inner.closed {
            return Poll::Ready(Wakeup::Closed(code));
        }
        if !inbox.is_empty() {
            return Poll::Ready(Wakeup::Notices);
        }
        match &mut inner.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits only for the end of the connection, while notices stay where they are. Shares its place with
    /// [`poll_take`](Self::poll_take): one task waits at a time.
    pub fn poll_closed(&self, context: &mut Context<'_>) -> Poll<Code> {
        let mut inner = self.inner.lock();
        if let Some(code) = inner.closed {
            return Poll::Ready(code);
        }
        inner.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// How many notices wait for the connection's task.
    pub fn waiting(&self) -> usize {
        self.inner.lock().notices.len()
    }

    fn offer<I: Iterator<Item = Notice>>(&self, count: usize, notices: impl FnOnce() -> I) {
        let mut inner = self.inner.lock();
        if inner.closed.is_some() {
            return;
        }
        if inner.notices.len() + count > self.queue_max as usize {
            inner.overflowed = true;
        } else {
            inner.notices.extend(notices());
        }
        wake(inner);
    }
}

/// Wakes the connection's task after the lock is gone, so that it does not wake into it.
fn wake(mut inner: parking_lot::MutexGuard<'_, Inner>) {
    let waker = inner.waker.take();
    drop(inner);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_model::{ConversationId, Offset, Seq};

    fn head(seq: u64) -> Notice {
        Notice::Head(Offset { conversation: ConversationId::from_bytes([7; 16]), seq: Seq::new(seq) })
    }

    fn take(mailbox: &Mailbox) -> (Poll<Wakeup>, Inbox) {
        let mut inbox = Inbox::new();
        let found = mailbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut inbox);
        (found, inbox)
    }

    #[test]
    fn a_full_mailbox_says_so_and_keeps_answers() {
        let mailbox = Mailbox::new(DeviceId::generate(), 2);
        assert_eq!(take(&mailbox), (Poll::Pending, vec![]));
        for seq in 1..=4 {
            mailbox.signal(head(seq));
        }
        assert!(mailbox.answer(Notice::Failed(Code::Unavailable)));
        let expected = vec![head(1), head(2), Notice::Failed(Code::Unavailable), Notice::Overflowed];
        assert_eq!(take(&mailbox), (Poll::Ready(Wakeup::Notices), expected));
        mailbox.signal(head(5));
        assert_eq!(take(&mailbox), (Poll::Ready(Wakeup::Notices), vec![head(5)]));
    }

    #[test]
    fn what_nobody_misses_is_dropped_without_a_word() {
        let mailbox = Mailbox::new(DeviceId::generate(), 2);
        for seq in 1..=3 {
            mailbox.whisper(head(seq));
        }
        assert_eq!(take(&mailbox), (Poll::Ready(Wakeup::Notices), vec![head(1), head(2)]));
        mailbox.close(Code::Replaced);
        mailbox.whisper(head(4));
        assert_eq!(take(&mailbox), (Poll::Ready(Wakeup::Closed(Code::Replaced)), vec![]));
    }

    #[test]
    fn a_closed_mailbox_takes_nothing() {
        let mailbox = Mailbox::new(DeviceId::generate(), 2);
        mailbox.close(Code::Replaced);
        mailbox.close(Code::ShuttingDown);
        mailbox.signal(head(1));
        assert!(!mailbox.answer(head(2)));
        assert_eq!(take(&mailbox), (Poll::Ready(Wakeup::Closed(Code::Replaced)), vec![]));
    }
}
