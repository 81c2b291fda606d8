//! The processes that are measured: this same program, as a server or as the reference beside it.

use super::machine::Observed;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a process may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);
/// When a run fails: how long to wait for the end of a process that may be the cause.
const LAST_BREATH: Duration = Duration::from_millis(200);

/// The settings that differ from the server's defaults, and what for.
pub(super) const RAISED: &[(&str, &str)] = &[
    ("limits.sends_per_second", "1000000"),
    ("limits.sends_burst", "1000000"),
    ("limits.frames_per_second", "10000000"),
    ("limits.frames_burst", "10000000"),
];

/// A running child process, killed when it is dropped.
pub(super) struct Process {
    child: Child,
    what: &'static str,
    address: SocketAddr,
    observed: Observed,
    /// Held open: the process can go on writing, and knows from the end of its input that the bench is gone.
    _pipes: (Option<ChildStdin>, Lines<BufReader<ChildStdout>>),
}

impl Process {
    /// Starts a server on a data folder and a free port.
    pub(super) async fn server(data: &Path) -> Result<Self> {
        Self::server_with(data, None).await
    }

    /// The same, with a configuration file.
    pub(super) async fn server_with(data: &Path, file: Option<&Path>) -> Result<Self> {
        let mut command = program()?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        // No configuration of the place or of the person counts.
        command.current_dir(data.parent().context("the data folder stands in another")?);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
            command.env_remove(name);
        }
        command.env("LOCKSTEP_LOG__LEVEL", "error");
        for (key, value) in RAISED {
            command.env(format!("LOCKSTEP_{}", key.to_uppercase().replace('.', "__")), value);
        }
        Self::start("the server", command, "lockstep: listening on http://").await
    }

    /// Starts a reference of this kind on a free port.
    pub(super) async fn reference(kind: &str) -> Result<Self> {
        let mut command = program()?;
        command.args(["bench", "reference", kind]);
        Self::start("the reference", command, super::reference::LISTENING).await
    }

    async fn start(what: &'static str, mut command: Command, prefix: &str) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{what} cannot be started"))?;
        let mut output = BufReader::new(child.stdout.take().context("a child's output is not there")?).lines();
        let line = tokio::time::timeout(PATIENCE, output.next_line()).await;
        let line = line.with_context(|| format!("{what} does not listen"))??;
        let line = line.with_context(|| format!("{what} stopped before it listened"))?;
        let address = line.strip_prefix(prefix).and_then(|text| text.trim().parse().ok());
        let address = address.with_context(|| format!("the first line of {what} was {line:?}"))?;
        let observed = Observed::new(child.id().with_context(|| format!("{what} has stopped"))?);
        let pipes = (child.stdin.take(), output);
        Ok(Self { child, what, address, observed, _pipes: pipes })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn observed(&self) -> Observed {
        self.observed
    }

    /// Does something with the process while it lives, then ends it. Fails if it dies by itself before.
    pub(super) async fn during<T>(mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = tokio::select! {
            outcome = work => outcome,
            _ = self.child.wait() => bail!("{}", self.end().await),
        };
        if let Err(error) = &outcome
            && tokio::time::timeout(LAST_BREATH, self.child.wait()).await.is_ok()
        {
            bail!("{} ({error:#})", self.end().await);
        }
        // A folder that is thrown away needs no ordered stop.
        self.child.kill().await.with_context(|| format!("{} cannot be killed", self.what))?;
        outcome
    }

    /// Says how a process ended that did so by itself.
    async fn end(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("{} ended midway: {status}", self.what),
            Err(error) => format!("{} is lost: {error}", self.what),
        }
    }
}

fn program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("this program's own path is not known")?))
}

/// Sends a request to a server, and returns the whole answer.
async fn ask(address: SocketAddr, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.context("the server's answer cannot be read")?;
    Ok(answer)
}

/// Posts JSON to a server as a device, and returns the whole answer.
pub(super) async fn post(address: SocketAddr, path: &str, token: &str, json: &str) -> Result<String> {
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
    let length = json.len();
    ask(address, &format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}")).await
}

/// A counter of a server, as its metrics show it; 0 if it is not there yet.
pub(super) async fn counter(address: SocketAddr, name: &str) -> Result<f64> {
    let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
    let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(Ok(0.0), |value| value.trim().parse().context("the server's metrics are not as expected"))
}
