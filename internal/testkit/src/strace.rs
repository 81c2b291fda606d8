//! A tracer on a running process (strace(1)): what it asks of its system, and failures of that system on command.

use crate::server_process::signal;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the tracer may take to attach to all threads.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tracer that is attached. When it is dropped the process goes on untraced.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    folder: TempDir,
}

impl Strace {
    /// Attaches to all threads of a process, with further arguments. From its return on every call is seen.
    ///
    /// # Errors
    ///
    /// If strace is not there or may not attach.
    pub async fn attach(pid: u32, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for the trace")?;
        let mut command = Command::new("strace");
        command.arg("-f").arg("-o").arg(trace_file(folder.path())).args(arguments).arg("-p").arg(pid.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start strace: `cargo xtask test` installs it or says how")?;
        let mut said = BufReader::new(child.stderr.take().context("strace's errors are not there")?).lines();
        let attached = async {
            let mut all = String::new();
            while let Some(line) = said.next_line().await? {
                // "strace: Process 17 attached with 9 threads"
                if line.contains(" attached") {
                    return Ok(());
                }
                all.push_str(&line);
            }
            bail!("strace does not attach (it may as root, or where kernel.yama.ptrace_scope is 0): {all}")
        };
        match tokio::time::timeout(PATIENCE, attached).await {
            Ok(attached) => attached?,
            Err(_) => bail!("strace has not attached after {} s", PATIENCE.as_secs()),
        }
        // Threads that begin later are told of too; somebody has to read it.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Ok(Self { child, folder })
    }

    /// Lets every call of these names that touches the file fail with this error, such as `ENOSPC`.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    pub async fn failing(pid: u32, file: &Path, calls: &str, error: &str) -> Result<Self> {
        let file = file.to_str().context("the path is not UTF-8")?;
        let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error={error}"));
        Self::attach(pid, &["-P", file, "-e", &trace, "-e", &inject]).await
    }

    /// Lets the process go, and returns what was written down: one line per call, or two where another thread came
    /// between (`<unfinished ...>`, `resumed>`).
    ///
    /// # Errors
    ///
    /// If the tracer has ended by itself.
    pub async fn detach(mut self) -> Result<String> {
        let pid = self.child.id().context("strace has ended by itself")?;
        signal("TERM", pid)?;
        self.child.wait().await.context("cannot wait for strace")?;
        let trace = std::fs::read(trace_file(self.folder.path())).context("cannot read the trace")?;
        Ok(String::from_utf8_lossy(&trace).into_owned())
    }
}

fn trace_file(folder: &Path) -> std::path::PathBuf {
    folder.join("trace")
}
