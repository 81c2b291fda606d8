//! A real server in a process of its own.

use crate::Nsqds;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// How long a server may take to start or to stop before a test gives up: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a test wants otherwise than a server has it by itself.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Bounds by the names that they have in the configuration, such as `("heartbeat_ms", 500)`.
    pub limits: Vec<(&'static str, u64)>,
    /// The data folder; absent: one of its own.
    pub data: Option<PathBuf>,
    /// Whether services may publish as to nsqd, on a free port.
    pub nsq_http: bool,
    /// The nsqds that carry live entries: TCP and HTTP address of each. None: the transport is inside the server.
    pub nsqds: Vec<(SocketAddr, SocketAddr)>,
    /// Further settings by their keys, such as `("nsq.channels", "durable")`.
    pub settings: Vec<(&'static str, String)>,
}

impl ServerOptions {
    /// These bounds, and the rest as usual.
    pub fn limits(limits: &[(&'static str, u64)]) -> Self {
        Self { limits: limits.to_vec(), ..Self::default() }
    }

    /// On these nsqds with their nsqlookupd, and the rest as usual.
    pub fn on(nsqds: &Nsqds) -> Self {
        let lookupd = nsqds.lookupd().map(|lookupd| ("nsq.lookupds", format!("[\"{lookupd}\"]")));
        Self { nsqds: nsqds.addresses(), settings: lookupd.into_iter().collect(), ..Self::default() }
    }

    /// All that differs, as environment variables.
    fn environment(&self) -> Vec<(String, String)> {
        let name = |key: &str| format!("LOCKSTEP_{}", key.to_uppercase().replace('.', "__"));
        let mut variables = Vec::new();
        for (key, value) in &self.limits {
            variables.push((name(&format!("limits.{key}")), value.to_string()));
        }
        if self.nsq_http {
            variables.push((name("nsq_http.listen"), "127.0.0.1:0".to_owned()));
        }
        if !self.nsqds.is_empty() {
            let table = |(tcp, http): &(SocketAddr, SocketAddr)| format!("{{tcp=\"{tcp}\",http=\"{http}\"}}");
            let tables: Vec<String> = self.nsqds.iter().map(table).collect();
            variables.push((name("nsq.nsqds"), format!("[{}]", tables.join(","))));
        }
        variables.extend(self.settings.iter().map(|(key, value)| (name(key), value.clone())));
        variables
    }
}

/// A `lockstep serve` on a folder of its own, gone when this value is dropped.
///
/// It keeps its port over [`restart`](Self::restart), so that devices find it again.
#[derive(Debug)]
pub struct ServerProcess {
    binary: PathBuf,
    options: ServerOptions,
    folder: TempDir,
    address: SocketAddr,
    nsq_http: Option<SocketAddr>,
    child: Arc<Mutex<Process>>,
}

/// The process, killed and waited for when it is dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl ServerProcess {
    /// Starts a server on a new folder and a free port, and waits until it listens.
    ///
    /// # Errors
    ///
    /// If it does not start; the error ends with what it wrote to its log.
    pub async fn start(binary: impl AsRef<Path>) -> Result<Self> {
        Self::start_with(binary, ServerOptions::default()).await
    }

    /// As [`start`](Self::start), with other bounds or another data folder.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(binary: impl AsRef<Path>, options: ServerOptions) -> Result<Self> {
        let binary = binary.as_ref().to_path_buf();
        let folder = tempfile::tempdir().context("cannot make a folder for the server")?;
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let Launched { process, address, nsq_http } = launch(&binary, &options, folder.path(), any_port).await?;
        Ok(Self { binary, options, folder, address, nsq_http, child: Arc::new(Mutex::new(process)) })
    }

    /// Starts it again on the same folder and port. A server that still runs is killed first.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<()> {
        self.kill9();
        let launched = launch(&self.binary, &self.options, self.folder.path(), self.address).await?;
        let Launched { process, address, nsq_http } = launched;
        ensure!(address == self.address, "the server listens on {address} instead of {}", self.address);
        self.nsq_http = nsq_http;
        self.child = Arc::new(Mutex::new(process));
        Ok(())
    }

    /// Kills it as a crash would (SIGKILL), and waits until it is gone.
    pub fn kill9(&self) {
        let mut process = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = process.0.kill();
        let _ = process.0.wait();
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    ///
    /// # Errors
    ///
    /// If it cannot be asked, or has not stopped in time.
    pub async fn terminate(&self) -> Result<ExitStatus> {
        let child = self.child.clone();
        let pid = child.lock().unwrap_or_else(PoisonError::into_inner).0.id();
        ensure!(signal("TERM", pid)?, "the server with process id {pid} is not there");
        let mut waiting = tokio::task::spawn_blocking(move || {
            let mut process = child.lock().unwrap_or_else(PoisonError::into_inner);
            process.0.wait()
        });
        if let Ok(status) = tokio::time::timeout(PATIENCE, &mut waiting).await {
            return Ok(status??);
        }
        // Only its death ends the waiting thread, which holds the process.
        signal("KILL", pid)?;
        waiting.await??;
        bail!("the server has not stopped after {} s\n{}", PATIENCE.as_secs(), self.log_tail())
    }

    /// Runs `lockstep token user`: makes the user and the device if need be, and returns an access token for it.
    ///
    /// # Errors
    ///
    /// If the command fails.
    pub async fn token(&self, user: &str, device_name: &str, kind: &str) -> Result<String> {
        self.administer(&["token", "user", user, "--device", device_name, "--kind", kind]).await
    }

    /// Runs a command that administers this server, and returns what it printed.
    ///
    /// # Errors
    ///
    /// If the command fails.
    pub async fn administer(&self, args: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::from(program(&self.binary));
        command.args(args).arg("--data").arg(self.data());
        let output = command.stdin(Stdio::null()).output().await.with_context(|| format!("cannot run {args:?}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{args:?} failed: {errors}");
        Ok(String::from_utf8(output.stdout).context("an answer is text")?.trim().to_owned())
    }

    /// The process id, which a restart changes.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).0.id()
    }

    /// Whether it runs: it has neither stopped nor crashed.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn is_running(&self) -> Result<bool> {
        let mut process = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(process.0.try_wait().context("cannot ask for the server's state")?.is_none())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where services publish as to nsqd.
    ///
    /// # Errors
    ///
    /// If the options do not say that they may.
    pub fn nsq_http(&self) -> Result<SocketAddr> {
        self.nsq_http.context("the server was started without nsq_http")
    }

    /// Its address for HTTP clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its native door, as the SDK wants it.
    pub fn door(&self) -> String {
        crate::door(self.address)
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        data_folder(&self.options, self.folder.path())
    }

    /// All that it wrote to its log, over all restarts.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn log(&self) -> Result<String> {
        let log = fs::read(log_file(self.folder.path())).context("the server's log cannot be read")?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// The end of what it wrote to its log, for messages of failed tests.
    pub fn log_tail(&self) -> String {
        log_tail(self.folder.path())
    }
}

/// Sends a signal to a process that has not been waited for yet. False if it is not there.
///
/// The standard library sends no signal but SIGKILL; every shell has `kill`.
pub(crate) fn signal(name: &str, pid: u32) -> Result<bool> {
    let kill = format!("kill -{name} {pid}");
    let status = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
    Ok(status.with_context(|| format!("cannot run {kill:?}"))?.success())
}

fn data_folder(options: &ServerOptions, folder: &Path) -> PathBuf {
    options.data.clone().unwrap_or_else(|| folder.join("data"))
}

/// The program. A test is the same wherever it runs: no configuration of the place or of the person counts.
fn program(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
        command.env_remove(name);
    }
    command
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

fn log_tail(folder: &Path) -> String {
    let log = fs::read(log_file(folder)).unwrap_or_default();
    String::from_utf8_lossy(&log[log.len().saturating_sub(4_000)..]).into_owned()
}

/// A server that listens.
struct Launched {
    process: Process,
    address: SocketAddr,
    nsq_http: Option<SocketAddr>,
}

/// Starts a server and waits for the lines that say where it listens.
async fn launch(binary: &Path, options: &ServerOptions, folder: &Path, listen: SocketAddr) -> Result<Launched> {
    let log = File::options().create(true).append(true).open(log_file(folder)).context("cannot make the log file")?;
    let mut command = program(binary);
    command.arg("serve").arg("--listen").arg(listen.to_string()).arg("--data").arg(data_folder(options, folder));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).current_dir(folder);
    command.envs(options.environment());
    let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    let mut process = Process(child);
    let stdout = process.0.stdout.take().context("the server's output is not there")?;
    let wanted = if options.nsq_http { LISTENING.len() } else { 1 };
    let lines = match tokio::time::timeout(PATIENCE, first_lines(stdout, wanted)?).await {
        Ok(Ok(lines)) => lines,
        Ok(Err(_)) => bail!("the server stopped before it listened\n{}", log_tail(folder)),
        Err(_) => bail!("the server does not listen after {} s\n{}", PATIENCE.as_secs(), log_tail(folder)),
    };
    let mut addresses = lines.iter().zip(LISTENING).map(|(line, words)| {
        let address = line.strip_prefix(words).and_then(|text| text.trim().parse().ok());
        address.with_context(|| format!("the server said {line:?} instead of {words:?}"))
    });
    let address = addresses.next().context("the server said nothing")??;
    let nsq_http = addresses.next().transpose()?;
    Ok(Launched { process, address, nsq_http })
}

/// What the first lines begin with, before an address.
const LISTENING: [&str; 2] = ["lockstep: listening on http://", "lockstep: taking NSQ publishes on http://"];

/// The first lines of a program's output. The rest is read too, so that the program can go on writing.
fn first_lines(stdout: ChildStdout, count: usize) -> Result<oneshot::Receiver<Vec<String>>> {
    let (sender, receiver) = oneshot::channel();
    let read = move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let first: Vec<String> = lines.by_ref().take(count).collect();
        if first.len() == count {
            // Nobody waits for them any more once the patience is over.
            let _ = sender.send(first);
        }
        lines.for_each(drop);
    };
    std::thread::Builder::new().name("server-stdout".into()).spawn(read).context("cannot start a thread")?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    /// A program that stands in for the server.
    fn stand_in(folder: &Path, name: &str, script: &str) -> PathBuf {
        let path = folder.join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Says that it listens where it was told to.
    const LISTENS: &str =
        "case $3 in *:0) a=127.0.0.1:4711;; *) a=$3;; esac\necho \"lockstep: listening on http://$a\"";

    /// One test, because a program file that another thread's new process still holds open cannot be run.
    #[tokio::test]
    async fn a_server_starts_stops_and_starts_again_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let fails = stand_in(folder.path(), "fails", "echo 'the port is taken' >&2; exit 1");
        let error = ServerProcess::start(&fails).await.unwrap_err().to_string();
        assert!(error.contains("stopped before it listened") && error.contains("the port is taken"), "{error}");

        // It waits for a line that never comes: a signal interrupts that, and no child process is left behind.
        let script = format!("trap 'exit 7' TERM\n{LISTENS}\nread -r line <> \"$0.fifo\"");
        let binary = stand_in(folder.path(), "waits", &script);
        assert!(Command::new("mkfifo").arg(folder.path().join("waits.fifo")).status().unwrap().success());
        let mut server = ServerProcess::start(&binary).await.unwrap();
        assert_eq!(server.url(), "http://127.0.0.1:4711");
        assert_eq!(server.terminate().await.unwrap().code(), Some(7));
        server.restart().await.unwrap();
        assert_eq!(server.url(), "http://127.0.0.1:4711");
        server.kill9();
        assert!(server.terminate().await.is_err(), "it is gone");
    }
}
