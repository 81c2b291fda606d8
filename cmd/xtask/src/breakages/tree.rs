//! The copy of the tree that is broken and tested.

use crate::process::cargo;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A copy of the tree with a target folder of its own.
pub(super) struct Tree {
    folder: PathBuf,
    target: PathBuf,
}

/// What tests said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All is well.
    Green,
    /// These failed.
    Red(Vec<String>),
}

/// What a patch has changed, to be put back.
pub(super) struct Broken(Vec<(PathBuf, Vec<u8>)>);

impl Tree {
    /// Brings the copy in `into` up to date. Files that are the same stay untouched, so that they are not compiled anew.
    pub(super) fn copy(root: &Path, into: &Path) -> Result<Self> {
        let tree = Self { folder: into.join("tree"), target: into.join("target") };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        list(root, Path::new(""), &mut ours)?;
        fs::create_dir_all(&tree.folder).with_context(|| format!("cannot make {}", tree.folder.display()))?;
        list(&tree.folder, Path::new(""), &mut theirs)?;
        for path in theirs.iter().filter(|path| !ours.contains(path)) {
            fs::remove_file(tree.folder.join(path)).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        for path in &ours {
            let text = fs::read(root.join(path)).with_context(|| format!("cannot read {}", path.display()))?;
            let copy = tree.folder.join(path);
            if fs::read(&copy).is_ok_and(|copied| copied == text) {
                continue;
            }
            let folder = copy.parent().context("a file is in a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            fs::write(&copy, text).with_context(|| format!("cannot write {}", copy.display()))?;
        }
        Ok(tree)
    }

    /// Applies a patch, all of it or nothing.
    pub(super) fn apply(&self, patch: &Path) -> Result<Broken> {
        let text = fs::read_to_string(patch).with_context(|| format!("cannot read {}", patch.display()))?;
        let mut before = Vec::new();
        for path in text.lines().filter_map(|line| line.strip_prefix("--- a/")) {
            let path = self.folder.join(path);
            before.push((path.clone(), fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?));
        }
        ensure!(!before.is_empty(), "it changes nothing");
        let mut git = Command::new("git");
        // The copy lies in the repository's own folder and is no part of it.
        git.env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(&self.folder));
        let output = git.current_dir(&self.folder).arg("apply").arg(patch).output().context("cannot start git")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let changed = before.iter().any(|(path, text)| fs::read(path).is_ok_and(|now| now != *text));
        ensure!(changed, "it changes nothing");
        Ok(Broken(before))
    }

    /// Compiles and runs tests. That they do not compile is an error.
    pub(super) fn test(&self, selection: &str, timeout: Duration) -> Result<Outcome> {
        let mut build = self.cargo_test(selection);
        let output = build.arg("--no-run").output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo test {selection} does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let mut command = self.cargo_test(selection);
        // A group of its own, so that whatever it has started can be ended with it.
        command.arg("--no-fail-fast").stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().context("cannot start cargo")?;
        let stdout = child.stdout.take().context("the output of cargo is not there")?;
        let (over, is_over) = mpsc::channel::<()>();
        let group = child.id();
        let watch = std::thread::spawn(move || {
            let late = is_over.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                let _gone = Command::new("sh").args(["-c", &format!("kill -9 -- -{group}")]).status();
            }
            late
        });
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let mut failed: Vec<String> = lines.filter_map(|line| failure(&line).map(str::to_owned)).collect();
        let status = child.wait().context("cannot wait for cargo")?;
        drop(over);
        let late = watch.join().unwrap_or(false);
        if failed.is_empty() && !status.success() {
            let how =
                if late { format!("no end within {} s", timeout.as_secs()) } else { format!("the end: {status}") };
            failed.push(how);
        }
        Ok(if failed.is_empty() { Outcome::Green } else { Outcome::Red(failed) })
    }

    fn cargo_test(&self, selection: &str) -> Command {
        let mut command = cargo(&self.folder, &["test", "--locked"]);
        command.args(selection.split_whitespace()).env("CARGO_TARGET_DIR", &self.target).env("RUST_BACKTRACE", "0");
        command
    }
}

impl Broken {
    /// Puts everything back.
    pub(super) fn mend(self) -> Result<()> {
        for (path, text) in self.0 {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// The test that a line of a test program says has failed.
fn failure(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// Lists the files below a folder, but not what tools fill.
fn list(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let full = root.join(folder);
    // Cargo marks its target folders with this file, whatever their name.
    if full.join("CACHEDIR.TAG").exists() {
        return Ok(());
    }
    for item in fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))? {
        let item = item.with_context(|| format!("cannot list {}", full.display()))?;
        let (path, kind) = (folder.join(item.file_name()), item.file_type()?);
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir() && !matches!(item.file_name().to_str(), Some(".git" | "node_modules" | "lockstep-data"))
        {
            list(root, &path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_found() {
        assert_eq!(failure("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failure("test a::b ... ok"), None);
        assert_eq!(failure("test result: FAILED. 1 passed"), None);
    }
}
