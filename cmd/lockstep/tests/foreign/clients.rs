//! The clients: where they are installed, and how programs that use them are run.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// Far longer than a program takes for a line.
const PATIENCE: Duration = Duration::from_secs(60);
/// Far longer than it takes for a thousand requests.
const SCHEMATHESIS_PATIENCE: Duration = Duration::from_secs(400);

/// What has to be installed.
const MANIFESTS: &str = concat!(
    include_str!("clients/build.txt"),
    include_str!("clients/requirements.txt"),
    include_str!("clients/schemathesis.txt"),
    include_str!("clients/tokens.txt"),
    include_str!("clients/package.json"),
    include_str!("clients/package-lock.json"),
);

/// A client in a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Pynsq,
    Nsqjs,
    Pyjwt,
    Jose,
}

impl Client {
    /// Starts a program in the client's language.
    pub(crate) fn start(self, text: &str, environment: &[(&str, &str)]) -> Result<Program> {
        let installed = installed()?;
        let mut command = match self {
            Self::Pynsq | Self::Pyjwt => {
                let mut command = Command::new(installed.join("venv/bin/python"));
                // Unbuffered: what it prints is waited for.
                command.args(["-u", "-c", text]);
                command
            }
            Self::Nsqjs | Self::Jose => {
                let mut command = Command::new("node");
                command.args(["-e", text]).env("NODE_PATH", installed.join("node_modules"));
                command
            }
        };
        command.envs(environment.iter().copied());
        Program::start(format!("{self:?}"), command)
    }
}

/// Runs schemathesis to its end and returns what it printed.
pub(crate) async fn schemathesis(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(installed()?.join("venv/bin/python"));
    // It keeps what it found in the working folder; there is nothing to keep.
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    command.args(["-m", "schemathesis.cli"]).args(arguments).current_dir(folder.path()).env("NO_PROXY", "*");
    Program::start("schemathesis".to_owned(), command)?.end_within(SCHEMATHESIS_PATIENCE).await
}

/// Where `cargo xtask clients` has installed them: in a target folder around this test's.
fn installed() -> Result<PathBuf> {
    let mut folders = Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors().map(|folder| folder.join("foreign"));
    let found = folders.find(|folder| fs::read_to_string(folder.join("installed")).is_ok_and(|text| text == MANIFESTS));
    found.context("pynsq, nsqjs, schemathesis, PyJWT and jose are not installed as this test wants them: `cargo xtask test` does that, or `cargo xtask clients` alone")
}

/// Runs a command as a shell does, and returns what it printed.
pub(crate) async fn shell(command: &str, environment: &[(&str, &str)]) -> Result<String> {
    let mut shell = Command::new("sh");
    // The person's own settings for curl do not count.
    shell.args(["-c", command]).env("CURL_HOME", "/dev/null").env("NO_PROXY", "*");
    shell.envs(environment.iter().copied());
    let printed = Program::start(command.to_owned(), shell)?.end().await;
    printed.context("curl is needed, which `cargo xtask clients` installs where it may")
}

/// A program that runs; killed when it is dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    output: BufReader<ChildStdout>,
    errors: NamedTempFile,
}

impl Program {
    fn start(name: String, mut command: Command) -> Result<Self> {
        let errors = NamedTempFile::new().context("cannot make a file for a program's errors")?;
        let file: File = errors.reopen().context("cannot open a program's errors")?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{name}: cannot start {command:?}"))?;
        let output = BufReader::new(child.stdout.take().context("a program's output is not there")?);
        Ok(Self { name, child, output, errors })
    }

    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.output.read_line(&mut line)).await;
        let length = read.with_context(|| self.said("printed nothing in time"))??;
        ensure!(length > 0, self.said("has ended"));
        Ok(line.trim_end().to_owned())
    }

    /// Waits for its end, which has to be a success, and returns what it printed.
    pub(crate) async fn end(self) -> Result<String> {
        self.end_within(PATIENCE).await
    }

    async fn end_within(mut self, patience: Duration) -> Result<String> {
        let mut printed = String::new();
        let ending = async {
            self.output.read_to_string(&mut printed).await?;
            self.child.wait().await
        };
        let ended = tokio::time::timeout(patience, ending).await;
        let status = ended.with_context(|| self.said("does not end"))??;
        ensure!(status.success(), self.said(&format!("failed ({status})\n{printed}")));
        Ok(printed)
    }

    fn said(&self, what: &str) -> String {
        let errors = fs::read(self.errors.path()).unwrap_or_default();
        format!("{} {what}\n{}", self.name, String::from_utf8_lossy(&errors))
    }
}
