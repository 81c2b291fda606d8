//! `cargo xtask torture`: the history test with as many SIGKILLs as one has time for.

use crate::process::{cargo, step};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// How often the server is killed if nobody says otherwise.
const KILLS: u64 = 100;

/// Runs it. The verdict and the number of acknowledged sends stand in what it prints.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<()> {
    let Options { kills, seed } = Options::parse(options)?;
    let arguments = ["test", "--locked", "--package", "lockstep", "--test", "history", "--", "--nocapture"];
    let mut command = cargo(root, &arguments);
    command.env("TORTURE_KILLS", kills.to_string());
    if let Some(seed) = seed {
        command.env("TORTURE_SEED", seed.to_string());
    }
    step("torture", &mut command)
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    kills: u64,
    seed: Option<u64>,
}

impl Options {
    fn parse(options: &[&str]) -> Result<Self> {
        let mut parsed = Self { kills: KILLS, seed: None };
        for pair in options.chunks(2) {
            let [name, value] = pair else { bail!("{} needs a number", pair[0]) };
            let number = value.parse().ok().filter(|number| *number > 0);
            let number = number.with_context(|| format!("{name} is {value:?}: it must be a whole number above 0"))?;
            match *name {
                "--kills" => parsed.kills = number,
                "--seed" => parsed.seed = Some(number),
                _ => bail!("there is no option {name}: torture knows --kills and --seed"),
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_options_are_taken() {
        let parsed = |options: &[&str]| Options::parse(options).ok();
        assert_eq!(parsed(&[]), Some(Options { kills: 100, seed: None }));
        assert_eq!(parsed(&["--seed", "7", "--kills", "3"]), Some(Options { kills: 3, seed: Some(7) }));
        for wrong in [&["--kills"][..], &["--kills", "0"], &["--kills", "x"], &["--cuts", "1"]] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }
}
