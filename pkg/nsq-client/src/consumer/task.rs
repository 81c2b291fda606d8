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
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Answers wait in it at most; a server that reads nothing but sends more than RDY allows is not worth more.
const UNWRITTEN_BYTES_MAX: usize = 256 * 1024;

/// Small, as there are many: what happens while there is no connection has memory of its own, which an open one gives
/// back, and nothing is kept twice.
pub(super) struct Task<H> {
    group: Arc<Group>,
    topic: TopicName,
    channel: ChannelName,
    backoff: Backoff,
    /// A SUB of an earlier connection was not answered, and none has been since.
    unanswered: bool,
    session: Option<Session>,
    // Dropped in this order, so that whoever waits for the end finds the handler gone.
    handler: H,
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
        let end = EndGuard { shared, outcome: CloseOutcome::NotSubscribed };
        Self { group, topic, channel, backoff: Backoff::default(), unanswered: false, session: None, handler, end }
    }

    // An `async fn` would keep `self` twice.
    #[expect(clippy::manual_async_fn, reason = "the future is half as large")]
    pub(super) fn run(mut self) -> impl Future<Output = ()> + Send + 'static {
        async move { while self.once().await {} }
    }

    /// One connection, and the wait after it. False if there is to be no other.
    async fn once(&mut self) -> bool {
        let permit = match until_stopped(&self.end.shared, self.group.connecting.clone().acquire_owned()).await {
            Some(Ok(permit)) => permit,
            // The semaphore is never closed, so this is a stop.
            Some(Err(_)) | None => return self.ended(Disconnect::Stopped).is_some(),
        };
        let reason = match Box::pin(self.connect(permit)).await {
            Ok(()) => self.serve().await,
            Err(reason) => reason,
        };
        let Some(wait) = self.ended(reason) else { return false };
        let stopped = Box::pin(until_stopped(&self.end.shared, sleep(wait))).await.is_none();
        if stopped {
            self.handler.closed(&Disconnect::Stopped, None);
        }
        !stopped
    }

    /// A connection has ended, or did not come about. Returns how long to wait for the next try, if there is to be one.
    fn ended(&mut self, reason: Disconnect) -> Option<Duration> {
        let last = matches!(reason, Disconnect::Stopped) || self.end.shared.is_stopped();
        let mut next = || self.backoff.after_failure(&self.group.settings.connect.reconnect, &mut rand::rng());
        let retry = if last { None } else { next() };
        let Self { group, topic, channel, .. } = self;
        tracing::debug!(nsqd = %group.address, %topic, %channel, ?reason, ?retry, "consumer disconnected");
        self.handler.closed(&reason, retry);
        retry
    }

    async fn connect(&mut self, permit: OwnedSemaphorePermit) -> Result<(), Disconnect> {
        let settings = &self.group.settings.connect;
        let connecting = timeout(settings.connect_timeout, transport::connect(&self.group.address, settings.source));
        let transport = match until_stopped(&self.end.shared, connecting).await {
            None => return Err(Disconnect::Stopped),
            Some(Err(_)) => return Err(Disconnect::Timeout(Step::Connecting)),
            Some(Ok(Err(error))) => return Err(Disconnect::Connect(error)),
            Some(Ok(Ok(transport))) => transport,
        };
        let link = Link::new(transport, settings.frame_bytes_max, UNWRITTEN_BYTES_MAX);
        self.session = Some(Session::new(link, permit, Instant::now() + settings.connect_timeout));
        Ok(())
    }

    async fn serve(&mut self) -> Disconnect {
        let Self { group, topic, channel, session, handler, end, .. } = self;
        let Some(session) = session else { return Disconnect::Stopped };
        // Until it is known better: the task may be dropped at any point of this.
        end.outcome = CloseOutcome::Unknown;
        session.greet(group);
        let reason = {
            let mut timer = pin!(sleep_until(session.deadline()));
            let shared = &end.shared;
            poll_fn(|cx| session.poll(cx, &mut Subject { group, shared, topic, channel, handler }, timer.as_mut()))
                .await
        };
        self.after_serving();
        reason
    }

    fn after_serving(&mut self) {
        let Some(session) = self.session.take() else { return };
        self.end.shared.set_closed(true);
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
