//! The engine's bounds.

use crate::BootstrapConfig;
use lockstep_model::limits;
use lockstep_ports::LinkBounds;
use std::time::Duration;

/// The engine's bounds and periods. The defaults are the design's.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// How often heads are compared with what was published (I4), and how long tail loss may go unnoticed.
    pub heads_period: Duration,
    /// How often acknowledged cursors are stored: at most one row per device and conversation in this time.
    pub cursors_period: Duration,
    /// How long receipts gather: at most one is told per conversation and user in this time.
    pub receipts_period: Duration,
    /// Most members of a conversation in which receipts are told. The store's bound is to be the same.
    pub receipts_members_max: u64,
    /// Live entries and signals that may wait for one connection; more make it read the log.
    pub mailbox_max: u32,
    /// Appends that may wait for the store; more are answered with `try_again`.
    pub appends_waiting_max: usize,
    /// Appends in one commit.
    pub appends_per_commit_max: usize,
    /// Entries that the ring of recent entries keeps per conversation.
    pub ring_entries_max: usize,
    /// Bytes that all rings keep together; beyond it they forget their oldest.
    pub ring_bytes_max: usize,
    /// Records that the trace keeps of what happened to entries; 0 is none. Rounded up to a power of two.
    pub trace_records: usize,
    /// Connections that this process serves; one more is refused with `overloaded`.
    pub connections_max: usize,
    /// Conversations of one user.
    pub conversations_per_user_max: usize,
    /// How long a link waits.
    pub link_ttl: Duration,
    /// Links that wait; one more is refused until one of them ends.
    pub links_waiting: LinkBounds,
    /// How new devices are filled.
    pub bootstrap: BootstrapConfig,
    /// How long after the first attempt to finish a removal the next one is made. Each pause is twice as long as the one
    /// before.
    pub teardown_retry_min: Duration,
    /// The longest of these pauses.
    pub teardown_retry_max: Duration,
}

impl EngineConfig {
    /// How long after so many attempts to finish a removal the next one is made.
    pub(crate) fn teardown_pause_after(&self, attempts: u64) -> Duration {
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(30);
        self.teardown_retry_min.saturating_mul(1 << doublings).min(self.teardown_retry_max)
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            heads_period: Duration::from_secs(5),
            cursors_period: Duration::from_secs(1),
            receipts_period: Duration::from_millis(200),
            receipts_members_max: limits::RECEIPTS_MEMBERS_MAX,
            mailbox_max: 1_024,
            appends_waiting_max: 16_384,
            appends_per_commit_max: 1_024,
            ring_entries_max: 256,
            ring_bytes_max: 64 * 1024 * 1024,
            trace_records: 65_536,
            connections_max: 100_000,
            conversations_per_user_max: limits::CONVERSATIONS_PER_USER_MAX,
            link_ttl: Duration::from_secs(120),
            links_waiting: LinkBounds { all: 2_000, per_network: 20 },
            bootstrap: BootstrapConfig::default(),
            teardown_retry_min: Duration::from_secs(1),
            teardown_retry_max: Duration::from_secs(300),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_attempts_grow_and_are_bounded() {
        let config = EngineConfig::default();
        let seconds = |attempts| config.teardown_pause_after(attempts).as_secs();
        assert_eq!([1, 2, 3, 8].map(seconds), [1, 2, 4, 128]);
        assert_eq!([10, 40, u64::MAX].map(seconds), [300; 3]);
    }
}
