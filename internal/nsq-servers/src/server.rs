//! What nsqd and nsqlookupd have in common: a process with a TCP and an HTTP door.

use crate::http;
use crate::process::Process;
use anyhow::{Result, bail, ensure};
use rustix::process::Signal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long a server may take to start: far longer than it ever should.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running nsqd or nsqlookupd on this machine's loopback address, killed when it is dropped, and by the system when
/// this process is.
///
/// It keeps its ports over [`restart`](Self::restart), so that clients find it again.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    tcp: SocketAddr,
    http: SocketAddr,
    process: Process,
}

impl Server {
    /// Starts a program on these ports and waits until it listens. Port 0 is any free one.
    pub(crate) fn start(program: &Path, arguments: Vec<String>, tcp_port: u16, http_port: u16) -> Result<Self> {
        let [tcp, http] = [tcp_port, http_port].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (process, tcp, http) = launch(program, &arguments, tcp, http)?;
        Ok(Self { program: program.to_path_buf(), arguments, tcp, http, process })
    }

    /// Where it speaks NSQ's TCP protocol.
    pub fn tcp_address(&self) -> SocketAddr {
        self.tcp
    }

    /// Where it speaks HTTP.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// The process id, which a restart changes.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it runs: it has neither stopped nor crashed. One that is paused runs.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// The last lines of its log since it was started last, for messages of failed tests.
    pub fn log_tail(&self) -> String {
        self.process.log().tail()
    }

    /// Waits until a line of its log has this text, or returns at once if one of the kept lines has it. What happens in
    /// a server by itself, such as a registration, can be waited for so.
    ///
    /// # Errors
    ///
    /// If the server ends first, or 30 s are over.
    pub fn wait_for_log(&self, text: &str) -> Result<()> {
        let found = self.process.log().wait_for_text(text, PATIENCE);
        if found { Ok(()) } else { bail!("its log does not say {text:?}\n{}", self.log_tail()) }
    }

    /// Kills it as a crash would (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop (SIGTERM), and waits until it has. One that is paused goes on for that.
    ///
    /// # Errors
    ///
    /// If it is gone already, or has not stopped in time; then it is killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.stop()
    }

    /// Starts it again on the same ports and data. A server that still runs is killed first.
    ///
    /// # Errors
    ///
    /// If it does not start (another program may have taken a port meanwhile); the error ends with what it wrote to its
    /// log.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        let (process, tcp, http) = launch(&self.program, &self.arguments, self.tcp, self.http)?;
        ensure!((tcp, http) == (self.tcp, self.http), "it listens on {tcp} and {http} after the restart");
        self.process = process;
        Ok(())
    }

    /// Halts it (SIGSTOP), and waits until it has halted: its connections stay open, and nothing answers.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Asks it something over HTTP, such as `("POST", "/pub?topic=t", b"hello")`, and returns the answer's body.
    ///
    /// # Errors
    ///
    /// If it does not answer, or with anything but a success.
    pub fn http(&self, method: &str, target: &str, body: &[u8]) -> Result<Vec<u8>> {
        http::request(self.http, method, target, body)
    }
}

fn launch(
    program: &Path,
    arguments: &[String],
    tcp: SocketAddr,
    http: SocketAddr,
) -> Result<(Process, SocketAddr, SocketAddr)> {
    let mut all = vec![format!("--tcp-address={tcp}"), format!("--http-address={http}")];
    all.extend_from_slice(arguments);
    let process = Process::start(program, &all)?;
    let Some((tcp, http)) = process.log().wait_for_addresses(PATIENCE) else {
        let what = if process.is_running() { "does not listen in time" } else { "stopped before it listened" };
        bail!("{} {what}\n{}", program.display(), process.log().tail());
    };
    wait_for_obedience(http)?;
    Ok((process, tcp, http))
}

/// Waits until a server that listens obeys SIGTERM too. It begins to a moment later, and a SIGTERM before that kills it
/// with all that is in its memory.
///
/// The only thing that tells is the stack of its first goroutine, which waits for signals with `select` from then on.
/// A server whose HTTP door refuses us (with `--tls-required`) cannot be asked, and is believed.
fn wait_for_obedience(http: SocketAddr) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let Ok(stacks) = http::request(http, "GET", "/debug/pprof/goroutine?debug=2", b"") else { return Ok(()) };
        if String::from_utf8_lossy(&stacks).contains("goroutine 1 [select") {
            return Ok(());
        }
    }
    bail!("the server at {http} listens, but does not wait for signals")
}
