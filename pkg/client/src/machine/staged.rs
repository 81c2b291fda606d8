//! Changes that wait for the store, and what may be said once they are in it.

use crate::{Change, Event, SendError, Sent};
use lockstep_protocol::{ChunkAck, ConversationId, Seq};
use std::time::Instant;

/// Something to be said.
#[derive(Debug)]
pub(super) enum Output {
    /// To the application.
    Event(Event),
    /// A message is in the outbox at this position.
    Saved(u64),
    /// The message at this position has its answer, and is gone from the outbox.
    Answer { position: u64, outcome: Result<Sent, SendError> },
    /// To the server: everything up to here is stored.
    Ack { connection: u64, conversation: ConversationId, seq: Seq, bytes: usize, at: Instant },
    /// To the server: everything up to the end of this chunk is stored.
    ChunkAck { connection: u64, ack: ChunkAck },
}

/// What gathers while frames are read. One store call takes it all, so that a burst costs one transaction.
#[derive(Debug, Default)]
pub(super) struct Staged {
    changes: Vec<Change>,
    outputs: Vec<Output>,
    /// The outputs of the changes that are being stored.
    storing: Option<Vec<Output>>,
}

impl Staged {
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn push(&mut self, output: Output) {
        self.outputs.push(output);
    }

    /// A chunk's acknowledgement stands for those of the chunks before it that are stored together with it.
    pub(super) fn push_chunk_ack(&mut self, connection: u64, ack: ChunkAck) {
        let place = (ack.bootstrap, ack.conversation);
        self.outputs.retain(|output| match output {
            Output::ChunkAck { ack, .. } => (ack.bootstrap, ack.conversation) != place,
            _ => true,
        });
        self.push(Output::ChunkAck { connection, ack });
    }

    /// Outputs that wait.
    pub(super) fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Whether something waits and nothing is being stored.
    pub(super) fn is_pending(&self) -> bool {
        self.storing.is_none() && !(self.changes.is_empty() && self.outputs.is_empty())
    }

    /// The changes to be stored now, if there are any.
    pub(super) fn begin_storing(&mut self) -> Option<Vec<Change>> {
        if self.changes.is_empty() {
            return None;
        }
        self.storing = Some(std::mem::take(&mut self.outputs));
        Some(std::mem::take(&mut self.changes))
    }

    /// The outputs of what was being stored.
    pub(super) fn take_storing(&mut self) -> Vec<Output> {
        self.storing.take().unwrap_or_default()
    }

    /// All outputs that wait, and the changes that were not given to the store yet: nothing of it holds any more.
    pub(super) fn take_failed(&mut self) -> (Vec<Output>, Vec<Change>) {
        let mut outputs = self.storing.take().unwrap_or_default();
        outputs.append(&mut self.outputs);
        (outputs, std::mem::take(&mut self.changes))
    }

    /// The outputs that wait for no change.
    pub(super) fn take_outputs(&mut self) -> Vec<Output> {
        if self.changes.is_empty() { std::mem::take(&mut self.outputs) } else { Vec::new() }
    }
}
