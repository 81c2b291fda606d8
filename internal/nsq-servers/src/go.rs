//! Building the servers with the Go toolchain, from a small module that pins them.
//!
//! NSQ's own module replaces one of its dependencies, which `go install` of a foreign module refuses to follow. A module
//! of ours says the same, and its go.sum pins every byte that goes in.

use crate::folders;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MODULE: &[(&str, &str)] = &[
    ("go.mod", include_str!("../module/go.mod")),
    ("go.sum", include_str!("../module/go.sum")),
    ("tools.go", include_str!("../module/tools.go")),
];

/// The folder of NSQ's module that has the programs.
const APPS: &str = "github.com/nsqio/nsq/apps";

/// Where Go lies when it is installed, but not on the PATH of a non-interactive shell.
const USUAL_PLACES: &[&str] = &["/usr/local/go/bin/go", "/usr/lib/go/bin/go", "/opt/homebrew/bin/go"];

/// The program `go`, on PATH or where it usually is.
pub fn toolchain() -> Option<PathBuf> {
    let usual = || USUAL_PLACES.iter().map(PathBuf::from).find(|program| program.is_file());
    folders::on_path("go").or_else(usual)
}

/// Builds programs of NSQ into a folder.
pub(crate) fn build(go: &Path, programs: &[&str], into: &Path) -> Result<()> {
    let module = tempfile::tempdir().context("cannot make a folder for the Go module")?;
    for (name, text) in MODULE {
        fs::write(module.path().join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    let mut command = Command::new(go);
    command.args(["build", "-mod=readonly", "-trimpath", "-o"]).arg(into);
    command.args(programs.iter().map(|program| format!("{APPS}/{program}")));
    // Neither a workspace of the person nor a C compiler has a say in it.
    command.env("GOWORK", "off").env("CGO_ENABLED", "0").current_dir(module.path()).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start {}", go.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "building NSQ's servers with {} failed:\n{}", go.display(), errors.trim_end());
    Ok(())
}
