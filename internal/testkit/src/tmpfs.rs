//! A small file system in memory, to be filled.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A small file system in memory, unmounted when it is dropped.
#[derive(Debug)]
pub struct Tmpfs(TempDir);

impl Tmpfs {
    /// One of so many MiB. None if mounting is not allowed here, as it is not without privileges.
    ///
    /// # Errors
    ///
    /// If there is no folder to mount it on.
    pub fn mount(mebibytes: u32) -> Result<Option<Self>> {
        let folder = tempfile::tempdir().context("cannot make a folder to mount on")?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(folder.path());
        let mounted = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        Ok(mounted.then(|| Self(folder)))
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room: a file of ours takes all of it.
    ///
    /// # Errors
    ///
    /// If that fails in another way.
    pub fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.ballast())?;
        let filled = io::copy(&mut io::repeat(0), &mut ballast);
        ensure!(filled.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull), "{filled:?}");
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    ///
    /// If it was not filled.
    pub fn make_room(&self) -> Result<()> {
        // Emptied first: a process that another test is just starting may still hold the file open.
        File::create(self.ballast())?;
        fs::remove_file(self.ballast()).context("nothing was in the way")
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
