//! What is asked once: how much is unread, and changes of what the user keeps about a conversation.

use super::{Asked, Effect, Machine};
use crate::AskError;
use lockstep_protocol::{ClientFrame, ConversationId, ErrorFrame, Ref, StateChange, Unread};

/// Something that is asked on the connection that there is, and not again on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// How much is unread in these?
    Unread(Vec<ConversationId>),
    /// This is to change.
    State(ConversationId, StateChange),
}

impl Machine {
    /// The application asks. `None` without a connection; else [`Effect::Told`] follows, unless the connection ends first.
    pub fn handle_question(&mut self, question: Question) -> Option<Ref> {
        if !self.is_live() {
            return None;
        }
        let reference = self.ask(Asked::Question);
        let at = Some(reference);
        self.write(match question {
            Question::Unread(conversations) => ClientFrame::Unread { reference: at, conversations },
            Question::State(conversation, change) => ClientFrame::State { reference: at, conversation, change },
        });
        at
    }

    pub(super) fn handle_unread(&mut self, reference: Option<Ref>, counts: Vec<Unread>) {
        let Some(reference) = reference else { return };
        if let Some(Asked::Question) = self.asked.remove(&reference) {
            self.settle_question(reference, Ok(counts));
        }
    }

    pub(super) fn refuse_question(&mut self, error: ErrorFrame) {
        let Some(reference) = error.reference else { return };
        let (code, message) = (error.code.into_owned(), error.message.into_owned());
        self.settle_question(reference, Err(AskError::Refused { code, message }));
    }

    pub(super) fn settle_question(&mut self, reference: Ref, outcome: Result<Vec<Unread>, AskError>) {
        self.effects.push_back(Effect::Told { reference, outcome });
    }
}
