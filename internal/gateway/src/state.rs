//! What every handler shares.

use crate::rest::SendRates;
use lockstep_auth::Tokens;
use lockstep_engine::Engine;
use lockstep_model::limits;
use lockstep_session::SessionConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The bounds of the native doors.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The bounds of one WebSocket's session; REST shares its rate of sends.
    pub session: SessionConfig,
    /// Largest frame from a device. A larger one closes the connection with `frame_too_large`.
    pub frame_bytes_max: usize,
    /// Largest body of a REST request. A larger one is refused with `body_too_large`.
    pub request_bytes_max: usize,
    /// How long the body of a REST request may take. Then it is refused with `request_timeout`.
    pub request_timeout: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            session: SessionConfig::default(),
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            request_bytes_max: 256 * 1024,
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// What every handler shares: cheap to clone.
#[derive(Clone)]
pub struct GatewayState {
    /// The use cases.
    pub engine: Engine,
    /// Verifies tokens.
    pub tokens: Arc<Tokens>,
    /// The bounds.
    pub config: Arc<GatewayConfig>,
    /// Tracks the tasks of WebSockets, which outlive the HTTP connection that they began as.
    pub sockets: TaskTracker,
    /// Cancelled when the server begins to stop: it is not ready any more.
    pub stopping: CancellationToken,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    send_rates: Arc<SendRates>,
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
        let send_rates = SendRates::new(config.session.sends_per_second, config.session.sends_burst);
        Self {
            engine,
            tokens,
            config: Arc::new(config),
            sockets: TaskTracker::new(),
            stopping,
            metrics: Arc::new(metrics),
            send_rates: Arc::new(send_rates),
        }
    }

    /// All metrics in Prometheus' text format.
    pub(crate) fn render_metrics(&self) -> String {
        (self.metrics)()
    }

    pub(crate) fn send_rates(&self) -> &SendRates {
        &self.send_rates
    }
}
