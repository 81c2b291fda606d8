//! The door for services that publish as to nsqd, opened if the configuration says so.

use crate::Config;
use crate::config::NsqHttpListen;
use crate::http::{self, Ending, HttpLimits};
use crate::start::{StartError, listen, without_delay};
use crate::tasks::Tasks;
use lockstep_engine::Engine;
use lockstep_gateway_nsq_http::{Hosts, NsqHttp, router};
use lockstep_store_sql::SqliteStore;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// Connections at once; more wait in the system's queue. Services keep few, and each may bring a large body.
const CONNECTIONS_MAX: usize = 256;

/// The bound socket.
pub(crate) struct Bound {
    listener: TcpListener,
    pub(crate) local_addr: SocketAddr,
}

/// Binds the socket. One that is merely convenient may be taken: then there is none.
pub(crate) fn bind(config: &Config) -> Result<Option<Bound>, StartError> {
    let Some(NsqHttpListen { address, required }) = config.nsq_http_listen() else { return Ok(None) };
    match listen(address) {
        Ok((listener, local_addr)) => Ok(Some(Bound { listener, local_addr })),
        Err(source) if required => Err(StartError::NsqHttp { address, source }),
        Err(error) => {
            tracing::warn!(%address, %error, "services cannot publish as to nsqd: set nsq_http.listen to a free address");
            Ok(None)
        }
    }
}

/// Serves the door.
pub(crate) fn serve(bound: Bound, config: &Config, engine: Engine, store: SqliteStore, ending: &Ending, tasks: &Tasks) {
    let Bound { listener, local_addr } = bound;
    let hosts = Hosts::new(local_addr.ip(), &config.nsq_http.names);
    let body_timeout = Duration::from_millis(config.limits.request_timeout_ms);
    let topics = config.nsq.topic_prefix.clone();
    let door = NsqHttp::new(engine, topics, hosts, body_timeout, move || store.is_writable());
    let limits = HttpLimits {
        connections_max: CONNECTIONS_MAX,
        header_timeout: Duration::from_millis(config.limits.header_timeout_ms),
        age_max: Duration::from_secs(config.limits.http_connection_age_s),
    };
    let serving = http::serve(without_delay(listener), router(door), limits, ending.clone(), tasks.tracker());
    tasks.spawn_vital("NSQ-like listener", serving);
    tracing::info!(%local_addr, "services may publish as to nsqd");
    if !local_addr.ip().is_loopback() {
        tracing::warn!(%local_addr, "whoever reaches this address may publish into every conversation, without a token");
    }
}
