//! Finding the servers, or building them once.

use crate::version::{Fitness, fitness};
use crate::{folders, go};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The programs, by the names that they have everywhere.
const PROGRAMS: [&str; 2] = ["nsqd", "nsqlookupd"];

/// Where the servers' programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// The queue server.
    pub nsqd: PathBuf,
    /// The directory of queue servers.
    pub nsqlookupd: PathBuf,
    /// Programs that were passed over, and why: for people.
    pub passed_over: Vec<String>,
}

/// What this process found. Locked while it builds, so that its threads wait for one build.
static FOUND: Mutex<Option<Servers>> = Mutex::new(None);

impl Servers {
    /// The servers on PATH if they are v1.3.0 or a newer 1.x, else those that were built here before.
    ///
    /// # Errors
    ///
    /// If the system does not say where programs may be.
    pub fn find() -> Result<Option<Self>> {
        Self::find_in(&folders::for_built()?, &mut Vec::new())
    }

    /// As [`find`](Self::find), and builds them with the Go toolchain if there are none. Any number of processes may
    /// call it at once: one builds, the others wait for it.
    ///
    /// # Errors
    ///
    /// If they have to be built and that fails. The error says what to install.
    pub fn find_or_build() -> Result<Self> {
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(servers) = &*found {
            return Ok(servers.clone());
        }
        let folders = folders::for_built()?;
        let mut passed_over = Vec::new();
        let servers = match Self::find_in(&folders, &mut passed_over)? {
            Some(servers) => servers,
            None => Self::build(folders.first().context("there is no folder to build into")?, &passed_over)?,
        };
        Ok(found.insert(servers).clone())
    }

    fn find_in(folders: &[PathBuf], passed_over: &mut Vec<String>) -> Result<Option<Self>> {
        let on_path = PROGRAMS.map(folders::on_path);
        let on_path = if let [Some(nsqd), Some(nsqlookupd)] = on_path { Some([nsqd, nsqlookupd]) } else { None };
        let built = folders.iter().map(|folder| PROGRAMS.map(|program| folder.join(program)));
        Ok(on_path.into_iter().chain(built).find_map(|programs| Self::of(programs, passed_over)))
    }

    /// These, if both will do.
    fn of(programs: [PathBuf; 2], passed_over: &mut Vec<String>) -> Option<Self> {
        for program in &programs {
            match fitness(program) {
                Fitness::Fit => {}
                Fitness::Missing => return None,
                Fitness::Unfit(why) => {
                    if !passed_over.contains(&why) {
                        passed_over.push(why);
                    }
                    return None;
                }
            }
        }
        let [nsqd, nsqlookupd] = programs;
        Some(Self { nsqd, nsqlookupd, passed_over: passed_over.clone() })
    }

    /// Builds them into a folder, unless another process has done so by the time the folder's lock is free.
    fn build(folder: &Path, passed_over: &[String]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock =
            File::create(folder.join("lock")).with_context(|| format!("cannot write in {}", folder.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", folder.display()))?;
        let mut passed_over = passed_over.to_vec();
        let built = PROGRAMS.map(|program| folder.join(program));
        if let Some(servers) = Self::of(built.clone(), &mut passed_over) {
            return Ok(servers);
        }
        let Some(go) = go::toolchain() else { bail!(advice(&passed_over)) };
        // On the same file system, so that a program appears there whole or not at all.
        let new =
            tempfile::tempdir_in(folder).with_context(|| format!("cannot make a folder in {}", folder.display()))?;
        go::build(&go, &PROGRAMS, new.path())?;
        for (program, place) in PROGRAMS.iter().zip(&built) {
            let from = new.path().join(program);
            ensure!(fitness(&from) == Fitness::Fit, "{program} was built, but is not what it should be");
            fs::rename(from, place).with_context(|| format!("cannot put {program} in its place"))?;
        }
        Self::of(built, &mut passed_over).context("what was just built is not there")
    }
}

fn advice(passed_over: &[String]) -> String {
    let mut sentences = passed_over.to_vec();
    sentences.push(
        "there is no nsqd and nsqlookupd to use, and no Go toolchain to build them: install NSQ 1.3.0 \
         (https://nsq.io/deployment/installing.html), or Go 1.17 or newer (https://go.dev/dl, Debian: apt-get install \
         golang-go)"
            .to_owned(),
    );
    sentences.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Writes two programs that say this version. Another process does it: a program that is still open for writing in
    /// one that a concurrent test has just started cannot be run.
    fn stand_ins(folder: &Path, version: &str) -> [PathBuf; 2] {
        let script = format!(
            "for p in nsqd nsqlookupd; do printf '#!/bin/sh\\necho \"'$p' {version} (built w/go1.19)\"\\n' >$p; \
             chmod +x $p; done"
        );
        assert!(Command::new("sh").args(["-c", &script]).current_dir(folder).status().unwrap().success());
        PROGRAMS.map(|program| folder.join(program))
    }

    #[test]
    fn both_have_to_be_there_and_new_enough() {
        let folder = tempfile::tempdir().unwrap();
        let mut passed_over = Vec::new();
        let programs = stand_ins(folder.path(), "v1.2.1");
        assert_eq!(Servers::of(programs.clone(), &mut passed_over), None);
        assert!(passed_over[0].contains("nsqd v1.2.1 (built") && passed_over[0].contains("v1.3.0"), "{passed_over:?}");
        stand_ins(folder.path(), "v1.3.0");
        let servers = Servers::of(programs.clone(), &mut passed_over).unwrap();
        assert_eq!((&servers.nsqd, &servers.nsqlookupd), (&programs[0], &programs[1]));
        assert_eq!(servers.passed_over.len(), 1);
        assert!(advice(&passed_over).contains("v1.2.1") && advice(&passed_over).contains("golang-go"));
        fs::remove_file(&programs[1]).unwrap();
        assert_eq!(Servers::of(programs, &mut Vec::new()), None);
    }

    #[test]
    fn what_is_built_already_is_not_built_again() {
        let folder = tempfile::tempdir().unwrap();
        let programs = stand_ins(folder.path(), "v1.3.0");
        let before = fs::metadata(&programs[0]).unwrap().modified().unwrap();
        let servers = Servers::build(folder.path(), &[]).unwrap();
        assert_eq!(servers.nsqd, programs[0]);
        assert_eq!(fs::metadata(&programs[0]).unwrap().modified().unwrap(), before);
    }
}
