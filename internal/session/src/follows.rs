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
    /// A stay has ended before the device had caught up: what the answer brings counts towards `caught_up`.
    catching_up: bool,
}

impl Follows {
    /// Notes a question. False if one is under way.
    fn ask(&mut self, conversation: ConversationId) -> bool {
        if let Some(under_way) = self.0.iter_mut().find(|it| it.conversation == conversation) {
            under_way.again = true;
            return false;
        }
        self.0.push(Follow { conversation, again: false, catching_up: false });
        true
    }

    /// Notes that `caught_up` waits for the answer.
    fn wait(&mut self, conversation: ConversationId) {
        let under_way = self.0.iter_mut().find(|it| it.conversation == conversation);
        under_way.into_iter().for_each(|it| it.catching_up = true);
    }

    /// Takes the question that is answered.
    fn answered(&mut self, conversation: ConversationId) -> Option<Follow> {
        let index = self.0.iter().position(|it| it.conversation == conversation)?;
        let follow = self.0.swap_remove(index);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Some(follow)
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

    /// A stay has ended: the engine says whether another one follows. Until then a conversation that was catching up has
    /// not caught up.
    pub(crate) fn follow_on(&mut self, row: usize) {
        let topic = &mut self.topics[row];
        let (conversation, catching_up) = (topic.conversation, topic.marks.catching_up());
        topic.marks.set_catching_up(false);
        self.follow(conversation);
        if catching_up {
            self.follows.wait(conversation);
        }
    }

    /// The engine has opened it. Says whether `caught_up` waits for what it brings.
    pub(crate) fn note_followed(&mut self, conversation: ConversationId) -> bool {
        // Whatever was heard since then stands in the log, which is read from here on.
        self.follows.answered(conversation).is_some_and(|follow| follow.catching_up)
    }

    /// There is nothing to bring, as far as the engine knew. The log ends here for the user: the session may not have
    /// seen that yet.
    pub(crate) fn handle_unfollowed(&mut self, end: Offset) {
        let follow = self.follows.answered(end.conversation);
        let (again, catching_up) = follow.map_or((false, false), |follow| (follow.again, follow.catching_up));
        if self.topics.followed(end.conversation).is_some() {
            self.handle_head(end.conversation, end.seq);
        } else if again {
            self.follow(end.conversation);
            if catching_up {
                self.follows.wait(end.conversation);
            }
            return;
        } else {
            self.early.take(end.conversation);
        }
        if catching_up {
            self.go_on_catching_up(end.conversation);
        }
    }

    /// `caught_up` waits for what the conversation has to bring now, if it has.
    pub(crate) fn go_on_catching_up(&mut self, conversation: ConversationId) {
        match self.topics.followed(conversation).map(|row| &mut self.topics[row]) {
            Some(topic) if !topic.live && !topic.marks.catching_up() => topic.marks.set_catching_up(true),
            _ => self.note_one_caught_up(),
        }
    }
}
