//! The task of a producer: connections one after the other, until its owner wants an end.

use super::session::Session;
use super::shared::Shared;
use super::{ProducerSettings, greeting};
use crate::backoff::Backoff;
use crate::link::Link;
use crate::{Address, Disconnect, Step, transport};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::{Instant, sleep, timeout};

/// What may wait to be written besides commands: answers to heartbeats.
const UNWRITTEN_BYTES_EXTRA: usize = 64 * 1024;

pub(super) struct Task {
    address: Address,
    settings: ProducerSettings,
    shared: Arc<Shared>,
    backoff: Backoff,
}

/// Tells whoever waits for the end, even if the task is dropped in the middle.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Task {
    pub(super) fn new(address: Address, settings: ProducerSettings, shared: Arc<Shared>) -> Self {
        Self { address, settings, shared, backoff: Backoff::default() }
    }

    pub(super) async fn run(mut self) {
        let _end = EndGuard(self.shared.clone());
        loop {
            let reason = match self.connect().await {
                Ok(link) => self.serve(link).await,
                Err(reason) => reason,
            };
            let retry = match reason {
                _ if self.shared.is_stopped() => None,
                _ => self.backoff.after_failure(&self.settings.connect.reconnect, &mut rand::rng()),
            };
            tracing::debug!(nsqd = %self.address, ?reason, ?retry, "producer disconnected");
            let Some(wait) = retry else { return };
            if until_stopped(&self.shared, sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn connect(&mut self) -> Result<Link, Disconnect> {
        let settings = &self.settings.connect;
        let connecting = timeout(settings.connect_timeout, transport::connect(&self.address, settings.source));
        match until_stopped(&self.shared, connecting).await {
            None => Err(Disconnect::Stopped),
            Some(Err(_)) => Err(Disconnect::Timeout(Step::Connecting)),
            Some(Ok(Err(error))) => Err(Disconnect::Connect(error)),
            Some(Ok(Ok(transport))) => {
                let unwritten_bytes_max = self.settings.in_flight_bytes_max + UNWRITTEN_BYTES_EXTRA;
                Ok(Link::new(transport, settings.frame_bytes_max, unwritten_bytes_max))
            }
        }
    }

    async fn serve(&mut self, link: Link) -> Disconnect {
        let mut session = Session::new(link, &self.shared, &self.settings);
        let began = Instant::now();
        let reason = session.run(greeting(&self.settings)).await;
        let was_open = session.end(&reason);
        if was_open && began.elapsed() >= self.settings.connect.reconnect.cap {
            self.backoff.reset();
        }
        reason
    }
}

/// Runs `future` until the owner wants an end; `None` then.
async fn until_stopped<F: Future>(shared: &Shared, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // Nothing is accepted where no connection is open.
        if shared.take(cx, &mut Vec::new(), &mut Vec::new()) {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
