//! What the tests need of the machine: checked, and installed where that is possible.

use crate::process::{runs, step};
use anyhow::{Result, bail};
use lockstep_nsq_servers::{Servers, go_toolchain};
use std::process::{Command, Stdio};

/// Checks for the C compiler of SQLite and the cryptography, a shell, strace, and NSQ's servers or Go to build them. The
/// Rust toolchain is here if this runs.
pub(crate) fn check() -> Result<()> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if !runs(&compiler, &["--version"]) {
        bail!("there is no C compiler ({compiler}): install one (Debian: apt-get install gcc libc6-dev), or set CC");
    }
    if !runs("sh", &["-c", "kill -0 $$"]) {
        bail!("there is no POSIX shell: tests stop the servers that they start through `sh`");
    }
    let strace = || runs("strace", &["-V"]);
    provide("strace", strace, &["strace"], "tests see a server's system calls with it, and let some fail")?;
    // A container without the right to trace shows here, rather than in the middle of a test.
    if !runs("strace", &["-o", "/dev/null", "true"]) {
        bail!("strace may not trace here: allow ptrace(2) (docker run --cap-add SYS_PTRACE)");
    }
    if Servers::find()?.is_none() {
        // Go fetches NSQ over TLS, which needs the certificates of a fresh machine.
        let packages = ["golang-go", "ca-certificates"];
        provide("Go toolchain", || go_toolchain().is_some(), &packages, "nsqd and nsqlookupd are built with it")?;
    }
    Ok(())
}

/// Checks for curl, and for Python and Node.js with what installs clients for them.
pub(crate) fn check_clients() -> Result<()> {
    let why = "services of the tests publish and listen with it";
    provide("curl", || runs("curl", &["--version"]), &["curl"], why)?;
    // Both fetch over TLS, which needs the certificates of a fresh machine.
    let python = || runs("python3", &["-c", "import ensurepip, venv"]);
    provide("Python 3 with venv", python, &["python3", "python3-venv", "ca-certificates"], why)?;
    let has_node = || runs("node", &["--version"]);
    let npm: &[&str] = &["npm", "ca-certificates"];
    let node_and_npm: &[&str] = &["nodejs", "npm", "ca-certificates"];
    // A Node.js that is not Debian's stays.
    let packages = if has_node() { npm } else { node_and_npm };
    provide("Node.js with npm", || has_node() && runs("npm", &["--version"]), packages, why)
}

/// Sees to it that a program is there, and installs its Debian packages if it is not.
fn provide(program: &str, is_there: impl Fn() -> bool, packages: &[&str], why: &str) -> Result<()> {
    if is_there() {
        return Ok(());
    }
    let listed = packages.join(" ");
    let advice = format!("there is no {program} ({why}): install it (Debian: apt-get install {listed})");
    if !runs("sh", &["-c", "test $(id -u) = 0"]) || !runs("apt-get", &["--version"]) {
        bail!(advice);
    }
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command
    };
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    let name = format!("install {listed}");
    // The lists of a fresh machine are empty or old.
    if step(&name, &mut apt_get(&install)).is_err() {
        step("update the package lists", &mut apt_get(&["update"]))?;
        step(&name, &mut apt_get(&install))?;
    }
    if is_there() { Ok(()) } else { bail!(advice) }
}
