//! The project's own chores: one command locally and in CI.
//!
//! `cargo xtask lint` checks how the code reads, `cargo xtask test` checks what it does, `cargo xtask ci` is both.
//! This crate is compiled before anything else: it knows no other crate of the workspace but the one that runs NSQ's
//! servers, and has few dependencies.

mod breakages;
mod clients;
mod lint;
mod machine;
mod process;
mod servers;
mod test;
mod tidy;
mod torture;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  ci     lint, then test: what every change has to pass
  lint   format, clippy, docs and tidy
  tidy   the project's own rules: arrows between crates, crate docs, file lengths, words, links,
         licences, bans and more
  test   checks the machine, finds or builds the servers, installs the clients, builds the workspace and
         runs all its tests
  servers
         finds nsqd and nsqlookupd on PATH, or builds them into the target folder, and says where
         they are
  clients
         installs pynsq, nsqjs, schemathesis, PyJWT and jose, which tests use, into the target folder
  torture [--nsq] [--kills N] [--seed S]
         the history test with more SIGKILLs than `test` has time for (100), or the plan of an
         earlier run again; with --nsq on two nsqds, which are killed in turn with the server
  breakages [name ...]
         breaks each invariant on purpose, in a copy of the tree, and expects its tests to notice:
         all breakages, or those whose names begin so
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = repository_root();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ci"] => {
            lint::run(&root)?;
            test::run(&root)
        }
        ["lint"] => lint::run(&root),
        ["tidy"] => tidy::run(&root),
        ["servers"] => servers::run(),
        ["clients"] => clients::run(&root),
        ["test"] => test::run(&root),
        ["torture", ref options @ ..] => torture::run(&root, options),
        ["breakages", ref names @ ..] => breakages::run(&root, names),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("there is no command {:?}\n\n{USAGE}", arguments.join(" ")),
    }
}

fn repository_root() -> PathBuf {
    // cmd/xtask lies two levels below the root.
    let mut root = Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf();
    root.pop();
    root.pop();
    root
}
