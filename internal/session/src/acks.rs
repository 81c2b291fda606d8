//! Cumulative acknowledgements, and the cursors that they move (I7).

use crate::Session;
use lockstep_model::{Ask, Code, Offset};

impl Session {
    /// The device has everything up to these places. Those that are wrong change nothing, the others count.
    pub(crate) fn handle_ack(&mut self, cursors: Vec<Offset>) {
        let mut refusal = None;
        for Offset { conversation, seq } in cursors {
            let Some(topic) = self.topics.get_mut(conversation) else {
                refusal = Some(Code::NoSuchConversation);
                continue;
            };
            if seq >= topic.next {
                refusal = Some(Code::AckBeyond);
                continue;
            }
            if seq <= topic.acked {
                continue;
            }
            topic.acked = seq;
            let is_over = topic.is_over();
            self.ask(Ask::Acked { conversation, seq });
            if is_over {
                self.topics.remove(conversation);
            } else {
                self.queue_read(conversation);
            }
        }
        let (topics, bytes_max) = (&self.topics, self.config.window_bytes);
        let acked = |conversation, seq| topics.get(conversation).is_none_or(|topic| topic.acked >= seq);
        self.window.forget(bytes_max, acked);
        if let Some(code) = refusal {
            self.fail(None, code);
        }
    }
}
