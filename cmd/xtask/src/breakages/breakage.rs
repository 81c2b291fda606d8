//! A breakage as it stands in its file.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// One way to break an invariant.
///
/// ```text
/// Breaks: I2
/// How: A resend is stored once more.
/// Test: -p lockstep-store-sql --test conformance
///
/// --- a/internal/...
/// ```
///
/// There may be several lines of tests, which are asked in their order until one notices.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Breakage {
    /// The file's name.
    pub(super) name: String,
    /// The file.
    pub(super) patch: PathBuf,
    pub(super) invariant: String,
    /// A sentence.
    pub(super) how: String,
    /// The tests that have to notice, as arguments of `cargo test`: as few as possible.
    pub(super) tests: Vec<String>,
}

impl Breakage {
    /// Reads all files of a folder, in the order of their names.
    pub(super) fn read_all(folder: &Path) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for file in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = file?.path();
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            all.push(Self::parse(path, &text)?);
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    fn parse(patch: PathBuf, text: &str) -> Result<Self> {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let head: Vec<(&str, &str)> = text
            .lines()
            .take_while(|line| !line.starts_with("--- "))
            .filter_map(|line| line.split_once(": "))
            .collect();
        let all = |key: &str| -> Vec<String> {
            head.iter().filter(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()).collect()
        };
        let one = |key: &str| all(key).pop().with_context(|| format!("{name} has no line \"{key}: ...\""));
        let (invariant, how, tests) = (one("Breaks")?, one("How")?, all("Test"));
        ensure!(!tests.is_empty(), "{name} has no line \"Test: ...\"");
        Ok(Self { name, patch, invariant, how, tests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_breaks() {
        let text = "Breaks: I2\nHow: A: b.\nTest: -p x --lib\nTest: -p y\n\n--- a/x.rs\n+++ b/x.rs\n+How: no\n";
        let found = Breakage::parse("some/i2-x.patch".into(), text).unwrap();
        let expected = Breakage {
            name: "i2-x".into(),
            patch: "some/i2-x.patch".into(),
            invariant: "I2".into(),
            how: "A: b.".into(),
            tests: vec!["-p x --lib".into(), "-p y".into()],
        };
        assert_eq!(found, expected);
        for missing in ["How: b\nTest: c\n", "Breaks: a\nTest: c\n", "Breaks: a\nHow: b\n"] {
            assert!(Breakage::parse("x.patch".into(), missing).is_err(), "{missing}");
        }
    }

    #[test]
    fn all_breakages_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("breakages");
        let all = Breakage::read_all(&folder).unwrap();
        for invariant in ["I1", "I2", "I3", "I4", "I7", "I10", "I12"] {
            let count = all.iter().filter(|one| one.invariant == invariant).count();
            assert!(count >= 2, "{count} breakages of {invariant}");
        }
    }
}
