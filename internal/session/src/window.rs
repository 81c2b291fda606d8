//! What was delivered and not yet acknowledged, over all conversations of a connection.

use lockstep_model::{ConversationId, Seq};
use std::collections::VecDeque;
use std::time::Duration;

/// The longest time that a delivery's clock can tell.
pub(crate) const AGE_MAX: Duration = Duration::from_millis(u32::MAX as u64);

/// The deliveries in flight, in their order. Their bytes leave the window in that order too: an acknowledgement of a
/// later delivery frees its bytes once the earlier ones are acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Window {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    /// Something did not fit; until acknowledgements have freed enough bytes, nothing more is delivered.
    full: bool,
}

#[derive(Debug)]
struct Delivery {
    conversation: ConversationId,
    seq: Seq,
    bytes: u32,
    /// Milliseconds since the session's start.
    at_ms: u32,
}

impl Window {
    pub(crate) fn push(&mut self, conversation: ConversationId, seq: Seq, bytes: usize, now: Duration) {
        let at_ms = u32::try_from(now.as_millis()).unwrap_or(u32::MAX);
        self.deliveries.push_back(Delivery { conversation, seq, bytes: bytes as u32, at_ms });
        self.bytes += bytes;
    }

    /// Whether one more of this size fits. One always fits an empty window, however large. Once something did not fit,
    /// nothing does until there is room again, so that small deliveries do not keep a large one waiting for ever.
    pub(crate) fn has_room(&mut self, bytes: usize, bytes_max: usize) -> bool {
        let fits = self.deliveries.is_empty() || (!self.full && self.bytes + bytes <= bytes_max);
        self.full |= !fits;
        fits
    }

    /// Whether something did not fit and there is no room again yet.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Forgets the oldest deliveries as long as `acked` says that they are acknowledged. A full window has room again
    /// with a quarter of `bytes_max` free, so that a device that acknowledges one by one does not cause a read for each.
    pub(crate) fn forget(&mut self, bytes_max: usize, mut acked: impl FnMut(ConversationId, Seq) -> bool) {
        while let Some(delivery) = self.deliveries.front() {
            if !acked(delivery.conversation, delivery.seq) {
                return;
            }
            self.bytes -= delivery.bytes as usize;
            self.deliveries.pop_front();
            self.full &= !self.deliveries.is_empty() && self.bytes > bytes_max / 4 * 3;
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
