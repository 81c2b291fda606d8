//! Running other programs, and saying which step failed and how long each took.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A cargo command at the root of the repository, with nothing to read from.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    // Cargo tells the programs that it runs which cargo it is: the one that the toolchain file names.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments).stdin(Stdio::null());
    command
}

/// Runs one step with its output shown, and fails with the step's name.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    announce(name);
    let began = Instant::now();
    let status = command.status().with_context(|| format!("{name}: cannot start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    println!("== {name}: ok ({} s)", began.elapsed().as_secs());
    Ok(())
}

/// Says that a step begins.
pub(crate) fn announce(name: &str) {
    println!("== {name}");
}

/// What a program prints, if it can be started and succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {program:?}"))?;
    if !output.status.success() {
        bail!("{program:?} failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program:?} did not print text"))
}

/// Whether a program can be started with these arguments and succeeds.
pub(crate) fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
