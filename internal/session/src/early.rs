//! What is heard of conversations that the session does not follow yet.
//!
//! Their consumers open, and begin to bring entries, before the answer that names them arrives; the heads in that answer
//! may be older than those entries.

use lockstep_model::{ConversationId, Offset, Seq};

/// The heads that were heard of too early.
#[derive(Debug, Default)]
pub(crate) struct Early {
    heads: Vec<Offset>,
    missed: bool,
}

impl Early {
    /// Notes that a conversation's log reaches at least this far. Beyond `max` conversations it only notes that
    /// something was missed.
    pub(crate) fn note(&mut self, conversation: ConversationId, head: Seq, max: usize) {
        if let Some(noted) = self.heads.iter_mut().find(|noted| noted.conversation == conversation) {
            noted.seq = noted.seq.max(head);
        } else if self.heads.len() < max {
            self.heads.push(Offset { conversation, seq: head });
        } else {
            self.missed = true;
        }
    }

    /// Notes that something was missed, nobody knows what.
    pub(crate) fn note_missed(&mut self) {
        self.missed = true;
    }

    /// Whether something was missed. It stays so: nobody knows whether it was of a conversation that is yet to come.
    pub(crate) fn is_missed(&self) -> bool {
        self.missed
    }

    /// All that was heard.
    pub(crate) fn take_all(&mut self) -> Vec<Offset> {
        std::mem::take(&mut self.heads)
    }

    /// What was heard of one conversation.
    pub(crate) fn take(&mut self, conversation: ConversationId) -> Option<Offset> {
        let index = self.heads.iter().position(|noted| noted.conversation == conversation)?;
        Some(self.heads.swap_remove(index))
    }
}
