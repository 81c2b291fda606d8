//! The demo's server: this same program, in a process of its own.

use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long the server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server, killed when it is dropped.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    data: PathBuf,
    /// TCP and HTTP addresses.
    nsqds: Vec<(SocketAddr, SocketAddr)>,
    /// Held open, so that the server can go on writing.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a server on a data folder and a free port; live entries go through these nsqds, if there are any.
    pub(super) async fn start(data: &Path, nsqds: Vec<(SocketAddr, SocketAddr)>) -> Result<Self> {
        Self::start_at(data, nsqds, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn start_at(data: &Path, nsqds: Vec<(SocketAddr, SocketAddr)>, listen: SocketAddr) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own path is not known")?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--listen").arg(listen.to_string()).arg("--data").arg(data);
        // The demo is the same wherever it runs: no configuration of the place or of the person counts.
        command.current_dir(data.parent().context("the data folder stands in another")?);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
            command.env_remove(name);
        }
        if !nsqds.is_empty() {
            let table = |(tcp, http): &(SocketAddr, SocketAddr)| format!("{{tcp=\"{tcp}\",http=\"{http}\"}}");
            let tables: Vec<String> = nsqds.iter().map(table).collect();
            command.env("LOCKSTEP_NSQ__NSQDS", format!("[{}]", tables.join(",")));
        }
        // What goes wrong goes to the terminal; what goes as usual would drown the demo.
        command.env("LOCKSTEP_LOG__LEVEL", "error");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("the server cannot be started")?;
        let mut output = BufReader::new(child.stdout.take().context("the server's output is not there")?).lines();
        let line = tokio::time::timeout(PATIENCE, output.next_line()).await.context("the server does not listen")??;
        let line = line.context("the server stopped before it listened")?;
        let address = line.strip_prefix("lockstep: listening on http://").and_then(|text| text.trim().parse().ok());
        let address = address.with_context(|| format!("the server's first line was {line:?}"))?;
        Ok(Self { child, address, data: data.to_owned(), nsqds, _output: output })
    }

    /// Kills it as a crash would (SIGKILL), and waits until it is gone.
    pub(super) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("the server cannot be killed")
    }

    /// Starts a new server on the same folder and port.
    pub(super) async fn start_again(&mut self) -> Result<()> {
        *self = Self::start_at(&self.data, self.nsqds.clone(), self.address).await?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    pub(super) async fn stop(&mut self) -> Result<ExitStatus> {
        let Some(pid) = self.child.id() else { bail!("the server has gone by itself") };
        // The standard library sends no signal but SIGKILL; every shell has `kill`.
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().await;
        asked.context("the server cannot be asked to stop")?;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("the server does not stop")?;
        Ok(status?)
    }

    /// The folder whose owner is its operator.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}
