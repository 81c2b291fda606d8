//! Which versions of the servers will do.

use std::path::Path;
use std::process::{Command, Stdio};

/// The oldest version that will do; newer ones of the same major version do too.
const OLDEST: (u32, u32, u32) = (1, 3, 0);

/// What a program is worth to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// It will do.
    Fit,
    /// It is there, but will not do, for this reason.
    Unfit(String),
    /// There is no such program.
    Missing,
}

/// Asks a program for its version.
pub(crate) fn fitness(program: &Path) -> Fitness {
    if !program.is_file() {
        return Fitness::Missing;
    }
    let shown = program.display();
    match Command::new(program).arg("--version").stdin(Stdio::null()).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            if output.status.success() && parse(&said).is_some_and(fits) {
                return Fitness::Fit;
            }
            let (major, minor, patch) = OLDEST;
            let first_line = said.lines().next().unwrap_or_default();
            Fitness::Unfit(format!(
                "{shown} says {first_line:?}: it has to be v{major}.{minor}.{patch} or a newer {major}.x"
            ))
        }
        Err(error) => Fitness::Unfit(format!("{shown} does not run: {error}")),
    }
}

fn fits(version: (u32, u32, u32)) -> bool {
    version >= OLDEST && version.0 == OLDEST.0
}

/// Reads `nsqd v1.3.0 (built w/go1.19.8)`. What follows the numbers, such as `-alpha`, is an older version.
fn parse(said: &str) -> Option<(u32, u32, u32)> {
    let mut parts = said.split_whitespace().nth(1)?.strip_prefix('v')?.split('.').map(str::parse);
    let mut part = || parts.next()?.ok();
    let version = (part()?, part()?, part()?);
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_versions_will_do() {
        let cases = [
            ("nsqd v1.3.0 (built w/go1.26.8)\n", true),
            ("nsqlookupd v1.3.1 (built w/go1.19)", true),
            ("nsqd v1.10.0 (built w/go1.19)", true),
            ("nsqd v1.2.1 (built w/go1.16.6)", false),
            ("nsqd v1.3.0-alpha (built w/go1.19)", false),
            ("nsqd v2.0.0 (built w/go2.0)", false),
            ("nsqd", false),
            ("", false),
        ];
        for (said, fine) in cases {
            assert_eq!(parse(said).is_some_and(fits), fine, "{said:?}");
        }
    }
}
