//! The task of a consumer: connections one after the other, until its owner wants an end.

use super::Group;
use super::handler::Handler;
use super::machine::Subject;
use super::session::Session;
use super::shared::{CloseOutcome, Shared};
use crate::backoff::Backoff;
use crate::link::Link;
use crate::{ChannelName, Disconnect, Step, TopicName, transport};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::{Instant, sleep, timeout};

/// Answers wait in it at most; a server that reads nothing but sends more than RDY allows is not worth more.
const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;

pub(super) struct Task<H> {
    group: Arc<Group>,
    shared: Arc<Shared>,
    topic: TopicName,
    channel: ChannelName,
    handler: H,
    backoff: Backoff,
    /// A SUB of an earlier connection was not answered, and none has been since.
    unanswered: bool,
    end: EndGuard,
}

/// Tells whoever waits for the end, even if the task is dropped in the middle.
struct EndGuard {
    shared: Arc<Shared>,
    outcome: CloseOutcome,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.shared.end(self.outcome);
    }
}

impl<H: Handler> Task<H> {
    pub(super) fn new(
        group: Arc<Group>,
        shared: Arc<Shared>,
        topic: TopicName,
        channel: ChannelName,
        handler: H,
    ) -> Self {
        let end = EndGuard { shared: shared.clone(), outcome: CloseOutcome::NotSubscribed };
        Self { group, shared, topic, channel, handler, backoff: Backoff::default(), unanswered: false, end }
    }

    pub(super) async fn run(mut self) {
        loop {
            // What happens while there is no connection has its own memory, which an open one gives back.
            let reason = match Box::pin(self.connect()).await {
                Ok(mut session) => self.serve(&mut session).await,
                Err(reason) => reason,
            };
            let retry = match reason {
                Disconnect::Stopped => None,
                _ if self.shared.is_stopped() => None,
                _ => self.backoff.after_failure(&self.group.settings.connect.reconnect, &mut rand::rng()),
            };
            tracing::debug!(
                nsqd = %self.group.address, topic = %self.topic, channel = %self.channel, ?reason, ?retry,
                "consumer disconnected"
            );
            self.handler.closed(&reason, retry);
            let Some(wait) = retry else { break };
            if Box::pin(until_stopped(&self.shared, sleep(wait))).await.is_none() {
                self.handler.closed(&Disconnect::Stopped, None);
                break;
            }
        }
        // The handler goes first, so that whoever waits for the end finds it gone.
        let Self { handler, end, .. } = self;
        drop(handler);
        drop(end);
    }

    async fn connect(&mut self) -> Result<Session, Disconnect> {
        let connecting = async {
            let permit = self.group.connecting.clone().acquire_owned().await;
            let settings = &self.group.settings.connect;
            let connected = timeout(settings.connect_timeout, transport::connect(&self.group.address, settings.source));
            (permit, connected.await)
        };
        let (permit, connected) = until_stopped(&self.shared, connecting).await.ok_or(Disconnect::Stopped)?;
        let transport = match connected {
            Ok(Ok(transport)) => transport,
            Ok(Err(error)) => return Err(Disconnect::Connect(error)),
            Err(_) => return Err(Disconnect::Timeout(Step::Connecting)),
        };
        // The semaphore is never closed.
        let permit = permit.map_err(|error| Disconnect::Connect(io::Error::other(error)))?;
        let settings = &self.group.settings.connect;
        let link = Link::new(transport, settings.frame_bytes_max, UNWRITTEN_BYTES_MAX);
        Ok(Session::new(link, permit, Instant::now() + settings.connect_timeout))
    }

    async fn serve(&mut self, session: &mut Session) -> Disconnect {
        let subject = Subject {
            group: &self.group,
            shared: &self.shared,
            topic: &self.topic,
            channel: &self.channel,
            handler: &mut self.handler,
        };
        // Until it is known better: the task may be dropped at any point of this.
        self.end.outcome = CloseOutcome::Unknown;
        let reason = session.run(subject).await;
        self.shared.set_closed(true);
        self.unanswered = match session.step() {
            Step::Connecting | Step::Identifying => self.unanswered,
            Step::Subscribing => true,
            Step::Open | Step::Closing => false,
        };
        self.end.outcome = match session.step() {
            Step::Closing if session.is_closed() => CloseOutcome::Orderly,
            Step::Open | Step::Closing => CloseOutcome::Severed,
            _ if self.unanswered => CloseOutcome::Unknown,
            _ => CloseOutcome::NotSubscribed,
        };
        if session.step() == Step::Subscribing {
            session.abort();
        }
        let cap = self.group.settings.connect.reconnect.cap;
        if session.opened_at().is_some_and(|opened_at| opened_at.elapsed() >= cap) {
            self.backoff.reset();
        }
        reason
    }
}

/// Runs `future` until the owner wants an end; `None` then.
async fn until_stopped<F: Future>(shared: &Shared, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // There are no answers where no connection is open.
        if shared.take_orders(cx, &mut Vec::new()) {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
