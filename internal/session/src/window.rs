//! What was delivered and not yet acknowledged, over all conversations of a connection.

use lockstep_model::{ConversationId, Seq};
use std::collections::VecDeque;
use std::time::Duration;

/// The deliveries in flight, in their order. Their bytes leave the window in that order too: an acknowledgement of a
/// later delivery frees its bytes once the earlier ones are acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Window {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    /// Something did not fit; until an acknowledgement frees bytes, nothing more is read.
    full: bool,
}

#[derive(Debug)]
struct Delivery {
    conversation: ConversationId,
    seq: Seq,
    bytes: u32,
    /// Milliseconds since the session's start: enough for 49 days.
    at_ms: u32,
}

impl Window {
    pub(crate) fn push(&mut self, conversation: ConversationId, seq: Seq, bytes: usize, now: Duration) {
        let at_ms = u32::try_from(now.as_millis()).unwrap_or(u32::MAX);
        self.deliveries.push_back(Delivery { conversation, seq, bytes: bytes as u32, at_ms });
        self.bytes += bytes;
    }

    /// Whether one more of this size fits. One always fits an empty window, however large.
    pub(crate) fn has_room(&mut self, bytes: usize, bytes_max: usize) -> bool {
        let fits = self.deliveries.is_empty() || self.bytes + bytes <= bytes_max;
        self.full |= !fits;
        fits
    }

    /// Whether something did not fit since bytes were last freed.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Forgets the oldest deliveries as long as `acked` says that they are acknowledged.
    pub(crate) fn forget(&mut self, mut acked: impl FnMut(ConversationId, Seq) -> bool) {
        while let Some(delivery) = self.deliveries.front() {
            if !acked(delivery.conversation, delivery.seq) {
                return;
            }
            self.bytes -= delivery.bytes as usize;
            self.deliveries.pop_front();
            self.full = false;
        }
    }

    /// When the oldest unacknowledged delivery was made.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.deliveries.front().map(|delivery| Duration::from_millis(u64::from(delivery.at_ms)))
    }

    /// Gives back the memory of a burst.
    pub(crate) fn trim(&mut self) {
        if self.deliveries.is_empty() {
            self.deliveries = VecDeque::new();
        }
    }
}
