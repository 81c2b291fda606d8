//! `cargo xtask test`: everything that is needed to run the tests on a fresh machine, and all of them, once.

use crate::process::{announce, cargo};
use crate::{clients, machine, servers};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

/// Checks the machine, sees to the servers and the clients, runs the tests of the workspace with their doc tests, and sums them up.
pub(crate) fn run(root: &Path) -> Result<()> {
    announce("machine");
    machine::check()?;
    servers::run()?;
    clients::run(root)?;
    announce("test");
    let began = Instant::now();
    // Without `--no-fail-fast` the first crate that fails would hide the others.
    let mut command = cargo(root, &["test", "--workspace", "--locked", "--no-fail-fast"]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo test")?;
    let mut summary = Summary::default();
    let stdout = child.stdout.take().context("the output of cargo test is not there")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read what cargo test prints")?;
        println!("{line}");
        summary.read(&line);
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    println!("== test: {summary}, {} s", began.elapsed().as_secs());
    if !summary.failures.is_empty() {
        println!("   failed: {}", summary.failures.join(", "));
    }
    ensure!(status.success(), "test failed ({status})");
    ensure!(summary.ignored == 0, "{} tests are ignored: a test runs, or it goes", summary.ignored);
    ensure!(summary.passed > 0, "no test ran");
    Ok(())
}

/// What the test programs said of themselves.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    programs: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
    failures: Vec<String>,
}

impl Summary {
    /// Takes one line of a test program's output.
    fn read(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(test.to_owned());
        }
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        self.programs += 1;
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(count)), Some(what)) = (words.next().map(str::parse::<u32>), words.next()) else { continue };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { programs, passed, failed, ignored, .. } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored in {programs} test programs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_test_programs() {
        let output = "\
running 2 tests
test engine::tests::append ... ok
test engine::tests::resume ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.10s
test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        let mut summary = Summary::default();
        output.lines().for_each(|line| summary.read(line));
        let failures = vec!["engine::tests::resume".to_owned()];
        assert_eq!(summary, Summary { programs: 2, passed: 6, failed: 1, ignored: 2, failures });
    }
}
