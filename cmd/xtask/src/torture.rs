//! `cargo xtask torture`: the history test with as many SIGKILLs as one has time for.

use crate::process::{cargo, step};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// How often the server is killed if nobody says otherwise.
const KILLS: u64 = 100;
/// The test with everything inside the server.
const EMBEDDED: &str = "every_device_gets_every_message_once_and_in_order";
/// The test on two nsqds.
const ON_NSQ: &str = "on_nsq_every_device_gets_every_message_once_and_in_order";

/// Runs it. The verdict and the number of acknowledged sends stand in what it prints.
pub(crate) fn run(root: &Path, options: &[&str]) -> Result<()> {
    let Options { kills, seed, nsq } = Options::parse(options)?;
    let test = if nsq { ON_NSQ } else { EMBEDDED };
    let arguments =
        ["test", "--locked", "--package", "lockstep", "--test", "history", "--", "--nocapture", "--exact", test];
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
    /// On two nsqds, which are killed in turn with the server.
    nsq: bool,
}

impl Options {
    fn parse(options: &[&str]) -> Result<Self> {
        let mut parsed = Self { kills: KILLS, seed: None, nsq: options.contains(&"--nsq") };
        let numbers: Vec<&str> = options.iter().copied().filter(|option| *option != "--nsq").collect();
        for pair in numbers.chunks(2) {
            let [name, value] = pair else { bail!("{} needs a number", pair[0]) };
            let number = value.parse().ok().filter(|number| *number > 0);
            let number = number.with_context(|| format!("{name} is {value:?}: it must be a whole number above 0"))?;
            match *name {
                "--kills" => parsed.kills = number,
                "--seed" => parsed.seed = Some(number),
                _ => bail!("there is no option {name}: torture knows --nsq, --kills and --seed"),
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
        assert_eq!(parsed(&[]), Some(Options { kills: 100, seed: None, nsq: false }));
        let of_three = Options { kills: 3, seed: Some(7), nsq: true };
        for options in [["--seed", "7", "--nsq", "--kills", "3"], ["--nsq", "--kills", "3", "--seed", "7"]] {
            assert_eq!(parsed(&options).as_ref(), Some(&of_three));
        }
        for wrong in [&["--nsq", "5"][..], &["--kills"], &["--kills", "0"], &["--kills", "x"], &["--cuts", "1"]] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }
}
