//! The door for services that publish as they would to nsqd's HTTP port, where no nsqd runs.
//!
//! Step 1 of a message's way: `POST /pub?topic=...` and `POST /mpub?topic=...` turn bytes into entries of the conversation
//! whose topic it is, with the sender `service:nsq`. Paths, parameters, answers and errors are those of nsqd 1.3.0
//! (`nsqd/http.go`), so that the same `curl` works with both; what differs stands in `docs/nsq.md`.
//!
//! Like nsqd's port it asks for no token: whoever reaches it may publish into every conversation. It must therefore never
//! answer to a web page, which a browser on the same machine would let reach it.

mod answer;
mod host;
mod mpub;
mod publish;

pub use host::Hosts;

use axum::Router;
use axum::extract::State;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use lockstep_engine::Engine;
use lockstep_model::TopicPrefix;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Bodies of `/mpub` that are read at once; more wait for their turn. Each may have [`mpub::BODY_BYTES_MAX`].
const LARGE_BODIES_MAX: usize = 16;

/// The door: cheap to clone.
#[derive(Clone)]
pub struct NsqHttp {
    engine: Engine,
    topics: TopicPrefix,
    hosts: Arc<Hosts>,
    body_timeout: Duration,
    large_bodies: Arc<Semaphore>,
    writable: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl NsqHttp {
    /// A door that takes the topics with this prefix from requests to these hosts. A body that takes longer than
    /// `body_timeout` is refused. `writable` says whether the store takes writes.
    pub fn new(
        engine: Engine,
        topics: TopicPrefix,
        hosts: Hosts,
        body_timeout: Duration,
        writable: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let (hosts, writable) = (Arc::new(hosts), Arc::new(writable));
        Self { engine, topics, hosts, body_timeout, large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_MAX)), writable }
    }
}

/// All routes of the door.
pub fn router(door: NsqHttp) -> Router {
    let hosts = Arc::clone(&door.hosts);
    Router::new()
        .route("/ping", get(ping))
        .route("/pub", post(publish::publish))
        .route("/mpub", post(publish::publish_many))
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .with_state(door)
        .layer(from_fn_with_state(hosts, host::guard))
        .layer(from_fn(answer::count))
}

/// `GET /ping`: `OK` while messages are taken.
async fn ping(State(door): State<NsqHttp>) -> axum::response::Response {
    answer::health((door.writable)())
}
