//! Questions to the tasks of live connections, which their sessions answer.

use crate::Connection;
use lockstep_model::{ConversationId, Notice, TopicState};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an answer is waited for. A task that takes longer waits for its device to take what is written.
const PATIENCE: Duration = Duration::from_secs(1);

/// The questions that wait for an answer: as many as operators ask at once.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<TopicState>>>,
}

/// Forgets a question that is not waited for any more.
struct Waiting<'a> {
    questions: &'a Questions,
    question: u64,
}

impl Questions {
    /// How a connection's session stands to a conversation; `None` if it does not answer in time.
    pub(crate) async fn ask(&self, connection: &Connection, conversation: ConversationId) -> Option<TopicState> {
        let question = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(question, sender);
        let _waiting = Waiting { questions: self, question };
        // In a full mailbox it has no place, which is an answer too.
        connection.mailbox.whisper(Notice::Describe { question, conversation });
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
    }

    pub(crate) fn answered(&self, question: u64, topic: TopicState) {
        let waiting = self.waiting.lock().remove(&question);
        if let Some(waiting) = waiting {
            // Who asked may have given up meanwhile.
            let _gone = waiting.send(topic);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.questions.waiting.lock().remove(&self.question);
    }
}
