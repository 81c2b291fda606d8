//! The session's bounds.

use lockstep_model::limits;
use std::time::Duration;

/// The session's bounds and periods, shared by all sessions of a door. The defaults are the design's.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// How long the hello may take, and then the last resume. Then the connection closes with `hello_timeout`.
    pub hello_timeout: Duration,
    /// How often a heartbeat is sent. Two without any frame from the device close with `heartbeat_timeout`. The engine
    /// may take as long to let the device in and to open its conversations; then the connection closes with
    /// `unavailable`.
    pub heartbeat: Duration,
    /// How long the oldest delivery may stay unacknowledged. Then the connection closes with `ack_timeout`.
    pub ack_timeout: Duration,
    /// How long the connection may be open, at most 49 days. Then it closes with `session_age`.
    pub age_max: Duration,
    /// How long an entry that came too early waits for those before it. Then the gap is read from the log.
    pub reorder_grace: Duration,
    /// Deliveries of one conversation ahead of the acknowledgement. Then the conversation waits, in log mode, until a
    /// quarter of them is acknowledged.
    pub window_entries: u64,
    /// Bytes ahead of the acknowledgement, over all conversations, in the order of delivery. Then all wait, until a
    /// quarter of them is acknowledged.
    pub window_bytes: usize,
    /// Entries in one read of the log.
    pub page_entries: u32,
    /// Reads under way at once. Further conversations wait for their turn.
    pub reads_max: u32,
    /// Entries that wait for earlier ones. One more makes its conversation read the log. Also the conversations that
    /// are heard of before they are followed; beyond that, all are rechecked.
    pub held_max: usize,
    /// Cursors that a device may show. A resume frame beyond that is refused with `bad_frame`.
    pub shown_max: usize,
    /// Sends and read offsets without an answer. At the bound, the device's frames are left unread.
    pub sends_waiting_max: u32,
    /// Sends per second. Beyond it they are refused with `rate_limited`.
    pub sends_per_second: u32,
    /// Sends at once before the rate counts.
    pub sends_burst: u32,
    /// Signals per second in one conversation. Beyond it they are dropped.
    pub signals_per_second: u32,
    /// Signals at once in one conversation before the rate counts.
    pub signals_burst: u32,
    /// Frames per second. Beyond it the connection closes with `flood`.
    pub frames_per_second: u32,
    /// Frames at once before the rate counts.
    pub frames_burst: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            hello_timeout: Duration::from_millis(limits::HELLO_TIMEOUT_MS),
            heartbeat: Duration::from_millis(limits::HEARTBEAT_MS),
            ack_timeout: Duration::from_millis(limits::ACK_TIMEOUT_MS),
            age_max: Duration::from_secs(24 * 60 * 60),
            reorder_grace: Duration::from_millis(5),
            window_entries: limits::WINDOW_ENTRIES_MAX,
            window_bytes: limits::WINDOW_BYTES_MAX,
            page_entries: limits::ENTRIES_PER_FRAME_MAX as u32,
            reads_max: 4,
            held_max: 64,
            shown_max: limits::CONVERSATIONS_PER_USER_MAX + 1,
            sends_waiting_max: 256,
            sends_per_second: limits::SENDS_PER_SECOND,
            sends_burst: limits::SENDS_BURST,
            signals_per_second: limits::SIGNALS_PER_SECOND,
            signals_burst: limits::SIGNALS_BURST,
            frames_per_second: limits::FRAMES_PER_SECOND,
            frames_burst: limits::FRAMES_BURST,
        }
    }
}
