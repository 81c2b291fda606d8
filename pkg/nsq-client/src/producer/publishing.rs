//! A message on its way.

use super::PublishError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

pub(super) type Answer = oneshot::Sender<Result<(), PublishError>>;

/// Resolves when nsqd has answered, or when it is known that it will not have in time. Dropping it changes nothing for
/// the message.
#[derive(Debug)]
#[must_use = "it says whether the message was published"]
pub struct Publishing(oneshot::Receiver<Result<(), PublishError>>);

impl Publishing {
    pub(super) fn new() -> (Answer, Self) {
        let (answer, receiver) = oneshot::channel();
        (answer, Self(receiver))
    }
}

impl Future for Publishing {
    type Output = Result<(), PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Without an answer the task was dropped in the middle, say with its runtime.
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).unwrap_or(Err(PublishError::Lost)))
    }
}
