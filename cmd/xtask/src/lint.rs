//! `cargo xtask lint`: everything that can be said about the code without running it.

use crate::process::{cargo, step};
use crate::{breakages, tidy};
use anyhow::Result;
use std::path::Path;

/// Runs the steps, the quickest first.
pub(crate) fn run(root: &Path) -> Result<()> {
    step("format", &mut cargo(root, &["fmt", "--all", "--", "--check"]))?;
    tidy::run(root)?;
    breakages::check(root)?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    step("clippy", &mut cargo(root, &clippy))?;
    let docs = ["doc", "--workspace", "--no-deps", "--locked"];
    step("docs", cargo(root, &docs).env("RUSTDOCFLAGS", "-D warnings"))
}
