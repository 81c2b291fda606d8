//! The accept loop: one task per HTTP connection, each bounded in number, in time and in what it may keep waiting.

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lockstep_gateway::Peer;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Bytes of a request's header and of the read buffer. A larger header is answered with 431.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// How long the last answer of a connection that is too old may take to be read. Then the connection is dropped.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The bounds of HTTP connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpLimits {
    /// Open at once; more wait in the system's queue.
    pub(crate) connections_max: usize,
    /// How long a header may take, which is also how long a connection may stay idle.
    pub(crate) header_timeout: Duration,
    /// How long a connection is used.
    pub(crate) age_max: Duration,
}

/// When connections end, in two steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    /// No new connections and requests; answers under way are finished.
    pub(crate) stopping: CancellationToken,
    /// What is not finished is dropped.
    pub(crate) dropping: CancellationToken,
}

/// Accepts connections until the end. Upgraded ones leave this function's sight: the door that took them tracks them.
pub(crate) async fn serve<L: Listener<Addr: Address>>(
    mut listener: L,
    router: Router,
    limits: HttpLimits,
    ending: Ending,
    tasks: TaskTracker,
) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    loop {
        let place = tokio::select! {
            () = ending.stopping.cancelled() => return,
            place = Arc::clone(&room).acquire_owned() => place.expect("nobody closes the semaphore"),
        };
        // `accept` of axum's listeners logs failures, waits a moment if descriptors have run out, and goes on.
        let (io, address) = tokio::select! {
            () = ending.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (router, ending) = (router.clone(), ending.clone());
        let connection = async move {
            connection(io, router, address.peer(), limits, ending).await;
            drop(place);
        };
        tasks.spawn(connection.instrument(tracing::debug_span!("http_connection")));
    }
}

/// Where a connection comes from, as far as requests are told.
pub(crate) trait Address {
    /// The other end, if it is not this machine's own.
    fn peer(&self) -> Option<Peer>;
}

impl Address for SocketAddr {
    fn peer(&self) -> Option<Peer> {
        Some(Peer(self.ip()))
    }
}

async fn connection<I>(io: I, router: Router, peer: Option<Peer>, limits: HttpLimits, ending: Ending)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(HEADER_BYTES_MAX);
    let routed = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        peer.and_then(|peer| request.extensions_mut().insert(peer));
        routed.call(request)
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service).with_upgrades());
    tokio::select! {
        ended = connection.as_mut() => return log(ended),
        () = ending.stopping.cancelled() => {}
        () = tokio::time::sleep(limits.age_max) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection.as_mut() => log(ended),
        () = ending.dropping.cancelled() => {}
        () = tokio::time::sleep(LAST_ANSWER_TIMEOUT) => {}
    }
}

/// A connection that breaks is its peer's affair.
fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection broke off");
    }
}
