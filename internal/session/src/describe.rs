//! How a session stands to a conversation, for operators who ask why a message is not there.

use crate::Session;
use crate::session::Phase;
use crate::topics::Topic;
use lockstep_model::{ConversationId, Seq, TopicMode, TopicState};

impl Session {
    /// How the session stands to a conversation. Changes nothing.
    pub fn topic_state(&self, conversation: ConversationId) -> TopicState {
        match self.topics.get(conversation) {
            Some(topic) => {
                let (next, acked, in_flight) = (topic.next, topic.acked, topic.in_flight());
                TopicState { mode: self.topic_mode(topic), next, acked, in_flight }
            }
            None => {
                let mode = if matches!(self.phase, Phase::Open) { TopicMode::NotFollowed } else { TopicMode::Opening };
                TopicState { mode, next: Seq::ZERO, acked: Seq::ZERO, in_flight: 0 }
            }
        }
    }

    fn topic_mode(&self, topic: &Topic) -> TopicMode {
        match topic {
            topic if topic.marks.ended() => TopicMode::Ended,
            topic if topic.live => TopicMode::Live,
            topic if topic.reading => TopicMode::Reading,
            // In line to read, which begins as soon as the connection's window has room.
            topic if topic.queued && !self.window.is_full() => TopicMode::Reading,
            _ => TopicMode::WindowFull,
        }
    }
}
