//! What may happen, chosen by whoever tests.

/// What may happen. Numbers that pick something are taken modulo what there is.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Append {
        log: usize,
        count: u64,
    },
    /// The user becomes a member of a further conversation.
    Join,
    /// The user leaves a conversation, or is removed.
    Leave {
        log: usize,
    },
    /// The user joins again, and sees this much of what was before.
    Rejoin {
        log: usize,
        history: u64,
    },
    Retain {
        log: usize,
        count: u64,
    },
    /// The broker brings one of the entries that it carries, whichever, and perhaps keeps it to bring it again.
    Bring {
        pick: usize,
        again: bool,
    },
    Lose {
        pick: usize,
    },
    /// The oldest of what the broker carries do not fit the mailbox.
    Overflow {
        count: usize,
    },
    /// A head signal; `beyond` what the log has.
    Head {
        log: usize,
        beyond: u64,
    },
    /// The engine reads what was asked, giving fewer entries than wanted if it likes, perhaps from a memory that reaches
    /// no further than what the session has heard of; the answer is on its way.
    Read {
        pick: usize,
        fewer: u32,
        stale: bool,
    },
    /// The oldest answer arrives.
    Answer,
    /// The device acknowledges all but the last few.
    Ack {
        log: usize,
        lag: u64,
    },
    AckAll,
    AckBeyond {
        log: usize,
    },
    /// The device sends a message.
    Send,
    /// The user reads all that the device has, or more than that.
    MarkRead {
        log: usize,
        beyond: bool,
    },
    Wait {
        ms: u64,
    },
    OffsetsChange {
        lost: bool,
    },
    /// An input that has no place here.
    Stray(Stray),
    /// The device connects anew. Entries that are appended before the answer to its resume arrive before it.
    Reconnect {
        show: Show,
        early: u64,
    },
    /// The store is restored from a copy that lacks the last entries; all connect anew.
    Restore {
        lacking: u64,
        show: Show,
    },
}

/// Where a device that connects says it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Show {
    /// Where it does.
    Equal,
    /// Lower: it has lost some.
    Lower(u64),
    /// Nothing: the stored cursor counts.
    Unknown,
}

/// An input that has no place while entries flow. It may be refused and changes nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stray {
    Hello,
    Resume,
    Malformed,
    AckOfNothing,
    Admitted,
    Refused,
    Resumed,
    Followed {
        log: usize,
    },
    /// A page that nobody asked for.
    Page {
        log: usize,
    },
    /// An entry of a conversation that is not followed.
    Entry {
        seq: u64,
    },
    Timeout,
}

impl Stray {
    pub(crate) const ALL: [Self; 11] = [
        Self::Hello,
        Self::Resume,
        Self::Malformed,
        Self::AckOfNothing,
        Self::Admitted,
        Self::Refused,
        Self::Resumed,
        Self::Followed { log: 1 },
        Self::Page { log: 1 },
        Self::Entry { seq: 3 },
        Self::Timeout,
    ];
}
