//! What carries live entries from the log to the devices: the server itself, or a real nsqd beside it.

use super::machine::Observed;
use super::process::{Process, counter};
use anyhow::{Context, Result, bail, ensure};
use lockstep_nsq_client::Address;
use lockstep_nsq_servers::{Nsqd, NsqdOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the server on NSQ is told beside its nsqd, and what for: the opening of consumers is measured, not its limits.
pub(super) const NSQ_RAISED: &[(&str, &str)] = &[
    ("nsq.consumers_per_second_max", "1000000"),
    ("nsq.consumers_per_device_max", "10000"),
    ("nsq.consumers_max", "1000000"),
];

/// How long the server may take to open the next consumer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the server is asked how many consumers are open.
const GLANCE: Duration = Duration::from_millis(5);
/// How long the last envelopes may take after the devices that are waited for have everything.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// What carries live entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Target {
    /// The server, inside its process.
    Embedded,
    /// An nsqd of its own: found, or built.
    Nsq,
}

impl Target {
    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Nsq => "nsq",
        }
    }

    /// Starts what it needs. So many messages of a channel wait in an nsqd's memory: an ephemeral channel drops the others.
    ///
    /// # Errors
    ///
    /// A sentence that says what to install, if there is no nsqd and none can be built.
    pub(super) async fn start(self, messages_waiting: usize) -> Result<Backing> {
        if self == Self::Embedded {
            return Ok(Backing { nsqd: None });
        }
        let mem_queue_size = u32::try_from(messages_waiting).context("too many messages at once")?.max(100);
        let options = NsqdOptions { mem_queue_size, ..NsqdOptions::default() };
        let started =
            tokio::task::spawn_blocking(move || Nsqd::start(&options)).await.context("nsqd's start broke off")?;
        Ok(Backing { nsqd: Some(started.context("no nsqd could be started")?) })
    }
}

/// A target that runs. Its processes end with it.
pub(super) struct Backing {
    nsqd: Option<Nsqd>,
}

impl Backing {
    /// Starts a server on it. The folder around the data is the bench's own.
    pub(super) async fn server(&self, data: &Path) -> Result<Process> {
        let Some(nsqd) = &self.nsqd else { return Process::server(data).await };
        let file = data.parent().context("the data folder stands in another")?.join("nsq.toml");
        let settings: String =
            NSQ_RAISED.iter().map(|(key, value)| format!("{} = {value}\n", key.trim_start_matches("nsq."))).collect();
        let (tcp, http) = (nsqd.tcp_address(), nsqd.http_address());
        let text = format!("[nsq]\n{settings}nsqds = [{{ tcp = \"{tcp}\", http = \"{http}\" }}]\n");
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Process::server_with(data, Some(&file)).await
    }

    /// The nsqd.
    ///
    /// # Errors
    ///
    /// If there is none, or it has ended.
    pub(super) fn nsqd(&self) -> Result<&Nsqd> {
        let nsqd = self.nsqd.as_ref().context("this target has no nsqd")?;
        ensure!(nsqd.is_running(), "nsqd ended midway\n{}", nsqd.log_tail());
        Ok(nsqd)
    }

    /// Where its clients connect to.
    pub(super) fn address(&self) -> Result<Address> {
        Ok(self.nsqd()?.tcp_address().to_string().parse()?)
    }

    /// The nsqd's process, if there is one.
    pub(super) fn observed(&self) -> Option<Observed> {
        self.nsqd.as_ref().map(|nsqd| Observed::new(nsqd.pid()))
    }

    /// Waits until so many consumers of the server are open, so that what is sent comes through nsqd.
    pub(super) async fn fed(&self, server: SocketAddr, consumers: usize) -> Result<()> {
        if self.nsqd.is_none() {
            return Ok(());
        }
        let (mut last, mut since) = (0.0, Instant::now());
        loop {
            let open = counter(server, "lockstep_nsq_consumers_open").await?;
            if open >= consumers as f64 {
                return Ok(());
            }
            if open != last {
                (last, since) = (open, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                self.nsqd()?;
                bail!("{open} of {consumers} consumers are open, and no other for {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// What came to the devices of a server through nsqd, and what was read from the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    envelopes: f64,
    log_reads: f64,
}

impl Ways {
    /// Up to now.
    pub(super) async fn of(server: SocketAddr) -> Result<Self> {
        let envelopes = counter(server, r#"lockstep_nsq_messages_total{what="envelope"}"#).await?;
        let ring = counter(server, r#"lockstep_log_reads_total{source="ring"}"#).await?;
        let store = counter(server, r#"lockstep_log_reads_total{source="store"}"#).await?;
        Ok(Self { envelopes, log_reads: ring + store })
    }

    /// The share of so many deliveries that came through nsqd since then, and how often the log was read meanwhile.
    pub(super) async fn since(then: Self, server: SocketAddr, deliveries: u64) -> Result<(f64, f64)> {
        let began = Instant::now();
        loop {
            let now = Self::of(server).await?;
            let envelopes = now.envelopes - then.envelopes;
            // The last ones may be on their way to devices that are not waited for, such as the sender.
            if envelopes >= deliveries as f64 || began.elapsed() > STRAGGLERS {
                return Ok((envelopes / deliveries.max(1) as f64, now.log_reads - then.log_reads));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}
