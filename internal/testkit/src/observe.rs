//! What can be seen of a running server from outside: its metrics, its memory; and a bound of the system on its files.

use crate::{ServerProcess, ask};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often a metric is read that is waited for.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// What a process holds in memory (proc(5)).
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Bytes now.
    pub resident: u64,
    /// The most that it has ever held, in bytes.
    pub peak: u64,
}

impl ServerProcess {
    /// A metric of the server by its name with labels, as it stands in the exposition; 0 while it is not there.
    ///
    /// # Errors
    ///
    /// If the server does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let answer = ask(self.address(), "GET", "/metrics", &[], None).await?;
        ensure!(answer.status == 200, "the metrics are not there: {answer:?}");
        let found = answer.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.map_or(Ok(0.0), |value| value.parse().with_context(|| format!("{name} is {value:?}")))
    }

    /// Waits until a metric has a value.
    ///
    /// # Errors
    ///
    /// If that takes longer than `patience`, or the server does not answer.
    pub async fn until_metric(&self, name: &str, patience: Duration, wanted: impl Fn(f64) -> bool) -> Result<f64> {
        let mut ticks = tokio::time::interval(LOOK_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                ticks.tick().await;
                let value = self.metric(name).await?;
                if wanted(value) {
                    return Ok(value);
                }
            }
        };
        match tokio::time::timeout(patience, looking).await {
            Ok(found) => found,
            Err(_) => bail!("{name} is {} after {} s", self.metric(name).await?, patience.as_secs()),
        }
    }

    /// What the server holds in memory.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok());
            kib.map(|kib| kib * 1_024).with_context(|| format!("{path} has no {name}"))
        };
        Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }

    /// Lets no file of the server grow beyond so many bytes (setrlimit(2), RLIMIT_FSIZE); `None` lets them all.
    ///
    /// # Errors
    ///
    /// If the system does not allow it.
    pub fn limit_file_bytes(&self, bytes: Option<u64>) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        // Only the soft limit: the hard one could not be raised again.
        let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
        prlimit(pid, Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum })
            .context("the limit of the server's files cannot be set")?;
        Ok(())
    }
}
