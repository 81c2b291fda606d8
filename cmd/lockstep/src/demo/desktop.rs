//! A main device that can be killed as a crash would: this same program's `chat`, in a process of its own.

use super::device::PATIENCE;
use super::server::Server;
use anyhow::{Context, Result};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A chat, killed when it is dropped.
pub(super) struct Desktop {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Desktop {
    /// Starts it as a main device of this user, and waits until it has everything.
    pub(super) async fn start(server: &Server, user: &str, device_name: &str) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own path is not known")?;
        let mut command = Command::new(program);
        command.args(["chat", "--as", user, "--device-name", device_name, "--for-seconds", "600"]);
        command.arg("--server").arg(format!("ws://{}/v1/ws", server.address())).arg("--data").arg(server.data());
        command.env_remove("LOCKSTEP_TOKEN");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("the chat cannot be started")?;
        let lines = BufReader::new(child.stdout.take().context("the chat's output is not there")?).lines();
        let mut desktop = Self { child, lines };
        desktop.wait_for("caught up").await?;
        Ok(desktop)
    }

    /// Waits until it has said this.
    pub(super) async fn wait_for(&mut self, words: &str) -> Result<()> {
        let reading = async {
            while let Some(line) = self.lines.next_line().await? {
                if line.contains(words) {
                    return Ok(());
                }
            }
            anyhow::bail!("the chat has ended")
        };
        tokio::time::timeout(PATIENCE, reading).await.with_context(|| format!("the chat does not say {words:?}"))?
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("the chat cannot be killed")
    }
}
