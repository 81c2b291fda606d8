//! Which conversations the engine is looking at for this session: each once at a time.
//!
//! Who leaves and joins again quickly would else have two answers under way, of which the older one could say where a stay
//! begins that the session has delivered meanwhile.

use crate::Session;
use lockstep_model::{Ask, ConversationId, Offset, Seq};

/// The questions under way.
#[derive(Debug, Default)]
pub(crate) struct Follows(Vec<Follow>);

#[derive(Debug)]
struct Follow {
    conversation: ConversationId,
    /// Something was heard since the question: an answer of "no" may be too old.
    again: bool,
}

impl Follows {
    /// Notes a question. False if one is under way.
    fn ask(&mut self, conversation: ConversationId) -> bool {
        if let Some(under_way) = self.0.iter_mut().find(|it| it.conversation == conversation) {
            under_way.again = true;
            return false;
        }
        self.0.push(Follow { conversation, again: false });
        true
    }

    /// Notes the answer, and says whether the question was put again meanwhile.
    fn answered(&mut self, conversation: ConversationId) -> bool {
        let Some(index) = self.0.iter().position(|it| it.conversation == conversation) else { return false };
        let again = self.0.swap_remove(index).again;
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        again
    }
}

impl Session {
    /// Has the engine open a conversation, if the user is a member.
    pub(crate) fn follow(&mut self, conversation: ConversationId) {
        if self.follows.ask(conversation) {
            // What was delivered may wait for acknowledgements, so that the stored cursor does not know of it.
            let seq = self.topics.get(conversation).map_or(Seq::ZERO, |topic| topic.next.previous());
            self.ask(Ask::Follow(Offset { conversation, seq }));
        }
    }

    /// The engine has opened it.
    pub(crate) fn note_followed(&mut self, conversation: ConversationId) {
        // Whatever was heard since then stands in the log, which is read from here on.
        self.follows.answered(conversation);
    }

    /// There is nothing to bring, as far as the engine knew. The log ends here for the user: the session may not have
    /// seen that yet.
    pub(crate) fn handle_unfollowed(&mut self, end: Offset) {
        let again = self.follows.answered(end.conversation);
        if self.topics.followed(end.conversation).is_some() {
            self.handle_head(end.conversation, end.seq);
        } else if again {
            self.follow(end.conversation);
        } else {
            self.early.take(end.conversation);
        }
    }
}
