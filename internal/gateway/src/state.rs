//! What every handler shares.

use crate::accounts::Accounts;
use crate::links::Links;
use crate::rest::{Rate, Rates, RequestRates, Requests};
use crate::ws::Meters;
use crate::{AccountsConfig, BodyLimits, LinksConfig, Origins, TrustedProxies};
use axum::extract::FromRef;
use lockstep_auth::{Issuers, Tokens};
use lockstep_engine::{Claim, Engine};
use lockstep_model::{Code, DeviceId, ServiceName, UnixMs, limits};
use lockstep_protocol::ClientLimits;
use lockstep_session::SessionConfig;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The bounds of the native doors.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The bounds of one WebSocket's session; REST shares its rate of sends.
    pub session: SessionConfig,
    /// WebSockets that are open at once, those that have not said hello included. One more is refused with `overloaded`.
    pub sockets_max: usize,
    /// Largest frame from a device. A larger one closes the connection with `frame_too_large`.
    pub frame_bytes_max: usize,
    /// How long a device may take nothing of what is written to it. Then it is closed with `slow_reader`.
    pub write_timeout: Duration,
    /// The bounds of a REST request's body.
    pub request: BodyLimits,
    /// Whose pages may use this server.
    pub origins: Origins,
    /// Whose word on a client's address counts.
    pub trusted_proxies: TrustedProxies,
    /// How fast requests of REST may come. More are refused with `rate_limited`.
    pub requests: RequestRates,
    /// How fast a service may send. More are refused with `rate_limited`.
    pub service_sends: Rate,
    /// Who may sign up and in, and how often.
    pub accounts: AccountsConfig,
    /// How devices are linked.
    pub links: LinksConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            session: SessionConfig::default(),
            sockets_max: 100_000,
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            write_timeout: Duration::from_secs(30),
            request: BodyLimits { bytes_max: 256 * 1024, timeout: Duration::from_secs(10) },
            origins: Origins::default(),
            trusted_proxies: TrustedProxies::default(),
            requests: RequestRates::default(),
            service_sends: Rate { per_second: limits::SERVICE_SENDS_PER_SECOND, burst: limits::SERVICE_SENDS_BURST },
            accounts: AccountsConfig::default(),
            links: LinksConfig::default(),
        }
    }
}

/// What every handler shares: one pointer, since each connection has it.
#[derive(Clone)]
pub struct GatewayState(Arc<Shared>);

/// What is behind the pointer.
#[derive(Clone)]
pub struct Shared {
    /// The use cases.
    pub engine: Engine,
    /// Verifies tokens.
    pub tokens: Arc<Tokens>,
    /// The bounds.
    pub config: Arc<GatewayConfig>,
    /// Tracks the tasks of WebSockets, which outlive the HTTP connection that they began as.
    pub sockets: TaskTracker,
    /// When the server was started.
    pub(crate) started: Instant,
    /// Cancelled when the server begins to stop: it is not ready any more.
    pub stopping: CancellationToken,
    /// One place per WebSocket, taken before the upgrade.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) session: Arc<SessionConfig>,
    pub(crate) client_limits: ClientLimits,
    pub(crate) meters: Arc<Meters>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    writable: Arc<dyn Fn() -> bool + Send + Sync>,
    remark: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    requests: Arc<Requests>,
    device_rates: Arc<Rates<DeviceId>>,
    service_rates: Arc<Rates<ServiceName>>,
    /// What signing up and in needs.
    pub(crate) accounts: Arc<Accounts>,
    /// What linking devices needs.
    pub(crate) links: Arc<Links>,
}

impl GatewayState {
    /// The state of one server. `metrics` renders all metrics in Prometheus' text format.
    pub fn new(
        engine: Engine,
        tokens: Arc<Tokens>,
        config: GatewayConfig,
        stopping: CancellationToken,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let sends = Rate { per_second: config.session.sends_per_second, burst: config.session.sends_burst };
        // Connected devices hold theirs: there is room for all of them, and for as many that are not.
        let device_rates = Rates::for_holders(sends, config.sockets_max);
        let service_rates = Rates::new(config.service_sends);
        let requests = Arc::new(Requests::new(config.requests));
        let accounts = Accounts::new(&config.accounts, &tokens);
        let links = Links::new(&config.links, &tokens);
        let client_limits = ClientLimits {
            heartbeat_ms: config.session.heartbeat.as_millis() as u64,
            ack_timeout_ms: config.session.ack_timeout.as_millis() as u64,
            frame_bytes_max: config.frame_bytes_max,
            body_bytes_max: limits::BODY_BYTES_MAX,
            window_entries: config.session.window_entries,
        };
        Self(Arc::new(Shared {
            places: Arc::new(Semaphore::new(config.sockets_max)),
            session: Arc::new(config.session.clone()),
            client_limits,
            meters: Arc::new(Meters::new()),
            engine,
            tokens,
            config: Arc::new(config),
            sockets: TaskTracker::new(),
            started: Instant::now(),
            stopping,
            metrics: Arc::new(metrics),
            writable: Arc::new(|| true),
            remark: Arc::new(|| None),
            requests,
            device_rates: Arc::new(device_rates),
            service_rates: Arc::new(service_rates),
            accounts: Arc::new(accounts),
            links: Arc::new(links),
        }))
    }

    /// Lets readiness depend on whether the store takes writes.
    pub fn writable_when(mut self, writable: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).writable = Arc::new(writable);
        self
    }

    /// Lets readiness say more: something is not as it should be, yet the server is ready.
    pub fn remarking(mut self, remark: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).remark = Arc::new(remark);
        self
    }

    /// Lets users sign in by the word of outside issuers.
    pub fn trusting(mut self, issuers: Issuers) -> Self {
        let shared = Arc::make_mut(&mut self.0);
        shared.accounts = Arc::new(Accounts::new(&shared.config.accounts, &shared.tokens).trusting(issuers));
        self
    }

    /// What readiness has to add.
    pub(crate) fn remark(&self) -> Option<String> {
        (self.remark)()
    }

    /// Whether the store takes writes.
    pub(crate) fn is_writable(&self) -> bool {
        (self.writable)()
    }

    /// Verifies a device's access token.
    pub(crate) fn verify(&self, token: &str) -> Result<Claim, Code> {
        self.tokens.verify(token, UnixMs::now()).map(engine_claim)
    }

    /// All metrics in Prometheus' text format.
    pub(crate) fn render_metrics(&self) -> String {
        (self.metrics)()
    }

    /// How fast requests of REST come.
    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// How fast devices send, by REST and by their sessions.
    pub(crate) fn device_rates(&self) -> &Rates<DeviceId> {
        &self.device_rates
    }

    /// How fast services send.
    pub(crate) fn service_rates(&self) -> &Rates<ServiceName> {
        &self.service_rates
    }
}

/// A device's claim as the engine asks about it.
pub(crate) fn engine_claim(claim: lockstep_auth::Claim) -> Claim {
    Claim { user: claim.user, device: claim.device, token_generation: claim.token_generation }
}

impl Deref for GatewayState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<GatewayState> for BodyLimits {
    fn from_ref(state: &GatewayState) -> Self {
        state.config.request
    }
}
