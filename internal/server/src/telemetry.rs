//! Logs to standard error, metrics to whoever asks `/metrics`.

use crate::config::{LogConfig, LogFormat};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Bounds of the histograms of durations: from a commit of an idle store to a request that timed out.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds of all others: counts and sizes.
const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0, 100_000.0];

/// Why there are no logs or metrics.
#[derive(Debug, thiserror::Error)]
#[error("{what} could not be set up: {reason}")]
pub struct TelemetryError {
    what: &'static str,
    reason: String,
}

/// Where the metrics of this process are.
#[derive(Clone)]
pub struct Telemetry {
    metrics: PrometheusHandle,
}

impl Telemetry {
    /// Sets up logs and metrics for the whole process, once.
    ///
    /// # Errors
    ///
    /// [`TelemetryError`] if the process has them already, or the level is none.
    pub fn install(log: &LogConfig) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::try_new(&log.level).map_err(|error| failed("the log", &error))?;
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // It would say so on standard error, and panic there: a log that is full must not end what logs.
        let subscriber = subscriber.log_internal_errors(false);
        match log.format {
            LogFormat::Text => subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
            LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        }
        .map_err(|error| failed("the log", &*error))?;
        let metrics = metrics_builder()?.install_recorder().map_err(|error| failed("the metrics", &error))?;
        Ok(Self { metrics })
    }

    /// Metrics of nothing and no logs: for several servers in one process, as tests have them.
    ///
    /// # Errors
    ///
    /// [`TelemetryError`], though never.
    pub fn detached() -> Result<Self, TelemetryError> {
        Ok(Self { metrics: metrics_builder()?.build_recorder().handle() })
    }

    pub(crate) fn metrics(&self) -> &PrometheusHandle {
        &self.metrics
    }
}

fn metrics_builder() -> Result<PrometheusBuilder, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets(COUNTS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS))
        .map_err(|error| failed("the metrics", &error))
}

fn failed(what: &'static str, reason: &(impl std::fmt::Display + ?Sized)) -> TelemetryError {
    TelemetryError { what, reason: reason.to_string() }
}
