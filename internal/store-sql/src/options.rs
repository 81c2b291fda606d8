//! The store's bounds.

use lockstep_model::limits;

/// The store's bounds. The defaults suit one server with tens of thousands of devices.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Connections that read at the same time; further reads wait for one.
    pub readers: u32,
    /// Commands that may wait for the write task; further callers wait in front of the queue.
    pub commands_waiting_max: usize,
    /// Rows after which a group commit takes no more commands in. A single larger command is still one commit.
    pub group_rows_max: usize,
    /// Conversations that one user may be a member of; one more is refused.
    pub conversations_per_user_max: u32,
    /// Members of one group; one more is refused.
    pub group_members_max: u32,
    /// Members of one room; one more is refused.
    pub room_members_max: u32,
    /// Members up to which [receipts are told](lockstep_ports::Followed::tells_receipts) in a conversation.
    pub receipts_members_max: u32,
    /// Moved heads that are remembered for [`moved_since`](lockstep_ports::MessageLog::moved_since), 24 bytes each; older
    /// marks get `None`.
    pub moved_heads_max: usize,
    /// Pages of 4 KiB in the write-ahead log after which a commit also moves them into the database file. Larger means
    /// less writing in all and longer pauses.
    pub checkpoint_pages: u32,
    /// Largest size of the database file in bytes; absent: as large as the disk allows. What does not fit is answered
    /// with a write error.
    pub database_bytes_max: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            commands_waiting_max: 4_096,
            group_rows_max: 2_048,
            conversations_per_user_max: limits::CONVERSATIONS_PER_USER_MAX as u32,
            group_members_max: limits::GROUP_MEMBERS_MAX as u32,
            room_members_max: limits::ROOM_MEMBERS_MAX as u32,
            receipts_members_max: limits::RECEIPTS_MEMBERS_MAX as u32,
            moved_heads_max: 256 * 1024,
            checkpoint_pages: 8_192,
            database_bytes_max: None,
        }
    }
}
