//! `cargo xtask breakages`: breaks each invariant on purpose, and expects the tests to notice.
//!
//! Each file of `cmd/xtask/breakages` is one breakage: which invariant, how, which tests have to notice, and a patch.
//! They are applied one after the other to a copy of the tree in `target/breakages`, which has a target folder of its own.
//! A patch that no longer applies, one that does not compile and one that nobody notices are errors. This takes many
//! minutes and is no part of `ci`.

mod breakage;
mod tree;

use crate::process::announce;
use anyhow::{Context, Result, bail, ensure};
use breakage::Breakage;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tree::{Outcome, Tree};

/// Tests that take longer hang, which is a way to notice.
const TEST_TIMEOUT: Duration = Duration::from_secs(300);

/// What became of a breakage.
struct Verdict {
    breakage: Breakage,
    /// Who noticed; why it is an error otherwise.
    caught_by: Result<String>,
    took: Duration,
}

/// Runs all breakages, or those whose names begin so.
pub(crate) fn run(root: &Path, names: &[&str]) -> Result<()> {
    let began = Instant::now();
    let mut breakages = Breakage::read_all(&root.join("cmd/xtask/breakages"))?;
    breakages.retain(|one| names.is_empty() || names.iter().any(|name| one.name.starts_with(name)));
    ensure!(!breakages.is_empty(), "there is no breakage {}", names.join(", "));
    let tree = Tree::copy(root, &root.join("target/breakages"))?;
    check_sound(&tree, &breakages)?;
    let verdicts: Vec<Verdict> = breakages.into_iter().map(|breakage| judge(&tree, breakage)).collect();
    report(&verdicts, began.elapsed())
}

/// Whether all patches still apply, so that who changes what one breaks mends it too.
pub(crate) fn check(root: &Path) -> Result<()> {
    let breakages = Breakage::read_all(&root.join("cmd/xtask/breakages"))?;
    for Breakage { name, patch, .. } in &breakages {
        let mut git = Command::new("git");
        let output = git.current_dir(root).args(["apply", "--check"]).arg(patch).output();
        let output = output.context("cannot start git")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the breakage {name} no longer applies: {}", complaint.trim());
    }
    println!("== breakages: {} patches apply", breakages.len());
    Ok(())
}

/// Tests that fail anyway would notice everything.
fn check_sound(tree: &Tree, breakages: &[Breakage]) -> Result<()> {
    let selections: BTreeSet<&str> = breakages.iter().flat_map(|one| one.tests.iter().map(String::as_str)).collect();
    for selection in selections {
        announce(&format!("nothing broken: cargo test {selection}"));
        let outcome = tree.test(selection, TEST_TIMEOUT)?;
        if let Outcome::Red(failed) = outcome {
            bail!("nothing is broken, but these fail: {}", failed.join(", "));
        }
    }
    Ok(())
}

fn judge(tree: &Tree, breakage: Breakage) -> Verdict {
    announce(&format!("{}: {}", breakage.name, breakage.how));
    let began = Instant::now();
    let caught_by = catch(tree, &breakage);
    match &caught_by {
        Ok(who) => println!("   caught by {who}"),
        Err(error) => println!("   error: {error:#}"),
    }
    Verdict { breakage, caught_by, took: began.elapsed() }
}

/// Breaks the tree, asks the tests, and mends it again.
fn catch(tree: &Tree, breakage: &Breakage) -> Result<String> {
    let broken = tree.apply(&breakage.patch).context("the patch no longer applies")?;
    let mut outcome = Ok(Outcome::Green);
    for selection in &breakage.tests {
        outcome = tree.test(selection, TEST_TIMEOUT);
        if !matches!(outcome, Ok(Outcome::Green)) {
            break;
        }
    }
    broken.mend()?;
    match outcome? {
        Outcome::Green => bail!("nobody notices"),
        Outcome::Red(failed) => {
            let first = failed.first().map_or("?", String::as_str);
            let others = failed.len().saturating_sub(1);
            Ok(if others == 0 { first.to_owned() } else { format!("{first} and {others} more") })
        }
    }
}

fn report(verdicts: &[Verdict], took: Duration) -> Result<()> {
    let width = verdicts.iter().map(|verdict| verdict.breakage.name.len()).max().unwrap_or(0);
    println!("\n{:width$} | invariant | caught by", "breakage");
    let mut errors = 0;
    for Verdict { breakage, caught_by, took } in verdicts {
        let who = match caught_by {
            Ok(who) => format!("{who} ({} s)", took.as_secs()),
            Err(error) => {
                errors += 1;
                format!("ERROR: {error:#}")
            }
        };
        println!("{:width$} | {:9} | {who}", breakage.name, breakage.invariant);
    }
    println!("== breakages: {} in {} s, {errors} errors", verdicts.len(), took.as_secs());
    ensure!(errors == 0, "{errors} breakages are not caught");
    Ok(())
}
