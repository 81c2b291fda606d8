//! What a filling wants to be done, and its bounds.

use lockstep_model::{BootstrapState, Chunk, ChunkAck, Code, ConversationId, DeviceId, Filled, Seq, Skip, WaitReason};
use std::time::Duration;

/// The bounds of fillings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelayConfig {
    /// How long a main device may be silent.
    pub(crate) stall: Duration,
    /// How long a chunk may stay without an acknowledgement.
    pub(crate) ack_timeout: Duration,
    /// How long it waits for a main device.
    pub(crate) wait: Duration,
    /// Whether the server's log gives what no main device has.
    pub(crate) log_fallback: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Tell the device what the server knows of these conversations, then call [`Relay::handle_told`].
    Tell(Vec<ConversationId>),
    /// Ask a main device.
    Ask { main: DeviceId, conversation: ConversationId, from_seq: Option<Seq>, head: Seq },
    /// Pass a chunk to the device.
    Pass(Box<Chunk>),
    /// Tell the device what it will not get.
    Skip { conversation: ConversationId, skip: Skip },
    /// Tell a main device what was stored.
    Acked { main: DeviceId, ack: ChunkAck },
    /// The conversation is filled: move the cursor, and let the log go on.
    Filled(Filled),
    /// Tell the device, and the main devices that are asked, how far it is.
    Progress { state: BootstrapState, filled: Option<Filled>, reason: Option<WaitReason> },
    /// A main device is not asked any more.
    Stop(DeviceId),
    /// Somebody should wake a main device.
    Wake,
    /// Close the device's connection.
    Close(Code),
    /// All is filled.
    Done,
}
