//! What the tests need of the machine: checked, and installed where that is possible.

use crate::process::{runs, step};
use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// Checks for the C compiler of SQLite and the cryptography, a shell, and strace. The Rust toolchain is here if this
/// runs.
pub(crate) fn check() -> Result<()> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if !runs(&compiler, &["--version"]) {
        bail!("there is no C compiler ({compiler}): install one (Debian: apt-get install gcc libc6-dev), or set CC");
    }
    if !runs("sh", &["-c", "kill -0 $$"]) {
        bail!("there is no POSIX shell: tests stop the servers that they start through `sh`");
    }
    provide("strace", &["-V"], "tests see a server's system calls with it, and let some fail")?;
    // A container without the right to trace shows here, rather than in the middle of a test.
    if !runs("strace", &["-o", "/dev/null", "true"]) {
        bail!("strace may not trace here: allow ptrace(2) (docker run --cap-add SYS_PTRACE)");
    }
    Ok(())
}

/// Sees to it that a program is there, which is also the name of its Debian package.
fn provide(program: &str, probe: &[&str], why: &str) -> Result<()> {
    if runs(program, probe) {
        return Ok(());
    }
    let advice = format!("there is no {program} ({why}): install it (Debian: apt-get install {program})");
    if !runs("sh", &["-c", "test $(id -u) = 0"]) || !runs("apt-get", &["--version"]) {
        bail!(advice);
    }
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command
    };
    let install = ["install", "--yes", "--no-install-recommends", program];
    let name = format!("install {program}");
    // The lists of a fresh machine are empty or old.
    if step(&name, &mut apt_get(&install)).is_err() {
        step("update the package lists", &mut apt_get(&["update"]))?;
        step(&name, &mut apt_get(&install))?;
    }
    if runs(program, probe) { Ok(()) } else { bail!(advice) }
}
