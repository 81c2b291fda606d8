//! What filling a device brings, told to the applications of both sides.

use lockstep_protocol::{About, BootstrapId, ConversationId, DeviceId, Entry, Progress, Seq};

/// What happens while a device is filled from a main one. See "Filling a new device" in `docs/protocol.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filling {
    /// This device is being filled.
    Started {
        /// The filling.
        bootstrap: BootstrapId,
        /// How many conversations are filled already.
        done: u32,
        /// Of how many.
        total: u32,
    },
    /// What the server knows of a conversation that comes next.
    Conversation(Box<About>),
    /// A part of a conversation's past. It is in the local store.
    Entries {
        /// The conversation.
        conversation: ConversationId,
        /// It is what the main device has from here ...
        from: Seq,
        /// ... to here.
        to: Seq,
        /// The entries in the order of their seqs. Some may be missing.
        entries: Vec<Entry>,
        /// Whether the conversation is filled with them: the log goes on after it.
        last: bool,
    },
    /// What came of this conversation is dropped, since the server has another log of it. It comes anew.
    Dropped(ConversationId),
    /// How far it is: this device's filling, or one that this device gives to.
    Progress(Progress),
    /// This device is filled.
    Done {
        /// The filling.
        bootstrap: BootstrapId,
    },
    /// The server does not fill this device now.
    Refused {
        /// The name of the server's code.
        code: String,
        /// The server's sentence.
        message: String,
    },
    /// This device, a main one, is asked to give its history to another.
    Asked {
        /// The filling.
        bootstrap: BootstrapId,
        /// The device that is filled.
        device: DeviceId,
    },
}

/// What is wrong with a chunk. Nothing of it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// It does not begin where the one before ended.
    #[error("does not follow the one before")]
    Order,
    /// Its body is not the one that was digested.
    #[error("has another digest than it says")]
    Digest,
    /// Its body is no list of entries of that place.
    #[error("holds something else than entries of its place, in order")]
    Body,
    /// It is sealed: this version cannot open it.
    #[error("is sealed, which this version cannot open")]
    Sealed,
}
