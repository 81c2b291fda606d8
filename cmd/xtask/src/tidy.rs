//! `cargo xtask tidy`: the project's own rules, each a function from a [`Repository`] to findings.

mod arrows;
mod licences;
mod links;
mod manifests;
mod repository;
mod sources;
mod spdx;

use anyhow::{Result, bail};
use repository::Repository;
use std::path::Path;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// Whether it fails the check or is only said.
    error: bool,
    /// Where it is: a file, with its line where that helps, or a crate.
    place: String,
    /// What is wrong, and what to do.
    message: String,
}

impl Finding {
    fn error(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: true, place: place.into(), message: message.into() }
    }

    fn warning(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: false, place: place.into(), message: message.into() }
    }
}

/// A rule looks at everything and says what breaks it.
type Rule = fn(&Repository) -> Vec<Finding>;

const RULES: &[(&str, Rule)] = &[
    ("arrows between crates", arrows::check),
    ("no I/O in the cores", arrows::without_io),
    ("workspace lints", manifests::inherits_lints),
    ("crate docs", sources::crate_docs),
    ("file lengths", sources::lengths),
    ("forbidden words", sources::words),
    ("unsafe code", sources::unsafe_code),
    ("links between pages", links::check),
    ("licences", licences::allowed),
    ("banned crates", licences::banned),
];

/// Reads the repository and applies all rules.
pub(crate) fn run(root: &Path) -> Result<()> {
    crate::process::announce("tidy");
    let repository = Repository::read(root)?;
    let mut errors = 0;
    for (name, rule) in RULES {
        for finding in rule(&repository) {
            let weight = if finding.error { "error" } else { "warning" };
            println!("{weight}: {name}: {}: {}", finding.place, finding.message);
            errors += usize::from(finding.error);
        }
    }
    if errors > 0 {
        bail!("tidy found {errors} errors");
    }
    let (files, crates) = (repository.files.len(), repository.crates.len());
    println!("== tidy: ok ({} rules, {crates} crates, {files} files)", RULES.len());
    Ok(())
}
