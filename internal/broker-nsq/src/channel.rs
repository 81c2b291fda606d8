//! A device's place in a topic: its connections, and the consumer that feeds them.

use crate::places::Number;
use lockstep_model::{ConversationId, DeviceId, Notice, Seq, SharedEntry};
use lockstep_nsq_client::Consumer;
use lockstep_ports::Mailbox;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One channel of a topic. Two connections of a device share it: two consumers of one channel would each get half.
pub(crate) struct Channel {
    pub(crate) topic: ConversationId,
    pub(crate) device: DeviceId,
    /// Whether nsqd feeds it at this moment. If not, it lives by head signals.
    is_fed: AtomicBool,
    /// A recall stands there: what is below it is read from the log, which knows what was erased.
    recall: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    /// Its device's user is not in the conversation any more, as far as is known.
    pub(crate) is_left: bool,
    pub(crate) stage: Stage,
}

/// Where the channel's consumer is.
#[derive(Default)]
pub(crate) enum Stage {
    /// There is none: nobody waits for it, or its topic has no place for its `_seq`.
    #[default]
    None,
    /// There are enough already, of the device or of the process: it waits for a place.
    NoPlace(Number),
    /// It waits for its turn to be opened.
    Waiting,
    /// Its turn has come, but its topic's `_seq` is not there yet.
    ForSeq,
    /// It is open, or on its way there.
    Running(Consumer),
    /// It is being closed. Another is opened only after that: the two would share what comes.
    Closing,
}

impl Inner {
    /// Whether a connection that is not over waits at it.
    pub(crate) fn is_live(&self) -> bool {
        self.mailboxes.iter().any(|mailbox| !mailbox.is_closed())
    }
}

impl Channel {
    pub(crate) fn new(topic: ConversationId, device: DeviceId) -> Arc<Self> {
        Arc::new(Self {
            topic,
            device,
            is_fed: AtomicBool::new(false),
            recall: AtomicU64::new(0),
            inner: Mutex::default(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Whether a connection waits at it.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.lock().mailboxes.is_empty()
    }

    pub(crate) fn is_fed(&self) -> bool {
        self.is_fed.load(Ordering::Acquire)
    }

    /// Notes whether nsqd feeds it, and says whether it did before.
    pub(crate) fn set_fed(&self, is_fed: bool) -> bool {
        self.is_fed.swap(is_fed, Ordering::AcqRel)
    }

    /// Notes a recall: what nsqd still brings from below it reaches nobody.
    pub(crate) fn note_recall(&self, at: Seq) {
        self.recall.fetch_max(at.get(), Ordering::AcqRel);
    }

    /// Whether what stands there may have been recalled since it was published.
    pub(crate) fn may_be_recalled(&self, seq: Seq) -> bool {
        seq.get() < self.recall.load(Ordering::Acquire)
    }

    /// Puts entries before the connections. Under the lock, so that nothing arrives after one was closed.
    pub(crate) fn deliver(&self, entries: &[SharedEntry]) {
        let inner = self.lock();
        inner.mailboxes.iter().for_each(|mailbox| mailbox.deliver(entries));
    }

    /// Puts something before the connections that nobody misses.
    pub(crate) fn whisper(&self, notice: &Notice) {
        let inner = self.lock();
        inner.mailboxes.iter().for_each(|mailbox| mailbox.whisper(notice.clone()));
    }

    /// Tells the connections how far the log reaches.
    pub(crate) fn signal_head(&self, head: Seq) {
        let notice = Notice::Head(lockstep_model::Offset { conversation: self.topic, seq: head });
        let inner = self.lock();
        inner.mailboxes.iter().for_each(|mailbox| mailbox.signal(notice.clone()));
    }
}
