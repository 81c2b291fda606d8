//! Cumulative acknowledgements, gathered: one frame for several conversations and entries.

use super::Machine;
use lockstep_protocol::limits::CURSORS_PER_FRAME_MAX;
use lockstep_protocol::{Ack, ClientFrame, ConversationId, Offset, Seq};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// An acknowledgement waits for others at most this long.
const DELAY: Duration = Duration::from_millis(100);
/// Entries after which it waits no longer: an eighth of the usual window.
const ENTRIES_MAX: u64 = 32;
/// Bytes of bodies after which it waits no longer: a quarter of the usual window.
const BYTES_MAX: usize = 256 * 1024;
/// What a cursor takes in a frame at most, in bytes: a UUID, a number of 16 digits, names and braces.
pub(super) const CURSOR_BYTES: usize = 160;

#[derive(Debug, Default)]
pub(super) struct Acks {
    cursors: BTreeMap<ConversationId, Seq>,
    entries: u64,
    bytes: usize,
    since: Option<Instant>,
}

impl Acks {
    pub(super) fn add(&mut self, conversation: ConversationId, seq: Seq, bytes: usize, at: Instant) {
        let cursor = self.cursors.entry(conversation).or_default();
        *cursor = (*cursor).max(seq);
        self.entries += 1;
        self.bytes += bytes;
        self.since.get_or_insert(at);
    }

    /// Whether so much has gathered that the server should not wait any longer.
    pub(super) fn is_full(&self, window_entries: u64) -> bool {
        self.entries >= ENTRIES_MAX.min(window_entries / 2).max(1) || self.bytes >= BYTES_MAX
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + DELAY)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Machine {
    /// Writes what has gathered.
    pub(super) fn flush_acks(&mut self) {
        if !self.is_live() {
            return;
        }
        let cursors = std::mem::take(&mut self.acks).cursors;
        let cursors: Vec<Offset> =
            cursors.into_iter().map(|(conversation, seq)| Offset { conversation, seq }).collect();
        for chunk in cursors.chunks(self.cursors_per_frame()) {
            self.write(ClientFrame::Ack(Ack { cursors: chunk.to_vec() }));
        }
    }

    /// Cursors that fit a frame of this server.
    pub(super) fn cursors_per_frame(&self) -> usize {
        (self.limits.frame_bytes_max / CURSOR_BYTES).clamp(1, CURSORS_PER_FRAME_MAX)
    }
}
