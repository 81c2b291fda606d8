//! Questions of one kind that are asked one by one and answered many at a time.
//!
//! When ten thousand devices return at once, each asks what it follows. What waits while one statement runs is answered
//! by the next one, as the write task does with writes: sqlx-sqlite's way to its thread and back then counts once for
//! many.

use crate::read::Readers;
use lockstep_ports::StoreError;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Questions answered by one statement. Each answer may have a row for every conversation of a user.
const QUESTIONS_MAX: usize = 32;

/// The handle of a task that answers questions of one kind. The task ends with its last handle.
pub(crate) struct Gathered<Q, A> {
    operation: &'static str,
    /// Full: callers wait in front of it.
    queue: mpsc::Sender<Asked<Q, A>>,
}

struct Asked<Q, A> {
    question: Q,
    answer: oneshot::Sender<Result<A, StoreError>>,
}

impl<Q: Send + 'static, A: Send + 'static> Gathered<Q, A> {
    /// Starts the task. `answer` answers all questions it is given, in their order.
    pub(crate) fn start<F, T>(operation: &'static str, readers: Arc<Readers>, answer: F) -> Self
    where
        F: Fn(Arc<Readers>, Vec<Q>) -> T + Send + 'static,
        T: Future<Output = Result<Vec<A>, StoreError>> + Send,
    {
        let (queue, mut waiting) = mpsc::channel::<Asked<Q, A>>(QUESTIONS_MAX);
        tokio::spawn(async move {
            let mut asked = Vec::new();
            while waiting.recv_many(&mut asked, QUESTIONS_MAX).await > 0 {
                // Who does not wait any more is not asked for.
                asked.retain(|asked| !asked.answer.is_closed());
                let (questions, askers): (Vec<_>, Vec<_>) =
                    asked.drain(..).map(|asked| (asked.question, asked.answer)).unzip();
                match answer(Arc::clone(&readers), questions).await {
                    Ok(answers) => askers.into_iter().zip(answers).for_each(|(asker, answer)| give(asker, Ok(answer))),
                    Err(error) => askers.into_iter().for_each(|asker| give(asker, Err(error.clone()))),
                }
            }
        });
        Self { operation, queue }
    }

    /// Asks one question.
    pub(crate) async fn ask(&self, question: Q) -> Result<A, StoreError> {
        let closed = || StoreError::Closed { operation: self.operation };
        let (answer, answered) = oneshot::channel();
        self.queue.send(Asked { question, answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

fn give<A>(asker: oneshot::Sender<Result<A, StoreError>>, answer: Result<A, StoreError>) {
    // Whoever asked may have gone meanwhile.
    let _gone = asker.send(answer);
}
