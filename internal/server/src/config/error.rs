//! Why a configuration is refused: each error names the key, the value, where it came from, and the fix.

use figment::error::Kind;
use figment::{Figment, Source};
use std::path::PathBuf;

/// Why a configuration is refused. Nothing has been opened or bound.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The named file is not there.
    #[error("the configuration file {} cannot be read: name another one with --config, or leave it out", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{origin} is not TOML: {reason}")]
    Syntax {
        /// Which file.
        origin: String,
        /// What the parser says.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{origin} sets {key}, which is no setting: {fix}")]
    UnknownKey {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// What there is instead.
        fix: String,
    },
    /// A value that is not allowed.
    #[error("{origin} sets {key} to {value}: {fix}")]
    Value {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is allowed.
        fix: String,
    },
}

impl ConfigError {
    /// A value that was read but is not allowed.
    pub(super) fn value(figment: &Figment, key: &str, value: impl ToString, fix: impl Into<String>) -> Self {
        let origin = figment.find_metadata(key).map_or_else(|| "a default".to_owned(), origin);
        Self::Value { origin, key: key.to_owned(), value: value.to_string(), fix: fix.into() }
    }

    /// What figment found first.
    pub(super) fn of(figment: &Figment, error: &figment::Error) -> Self {
        let origin = error.metadata.as_ref().map_or_else(|| "the configuration".to_owned(), origin);
        let key = error.path.join(".");
        match &error.kind {
            Kind::UnknownField(name, known) => {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                // Some versions of serde's error already have the field as the path's end.
                let key = key.strip_suffix(&format!(".{name}.{name}")).map_or(key.clone(), |at| format!("{at}.{name}"));
                Self::UnknownKey { origin, key, fix: unknown_key_fix(name, known) }
            }
            _ if key.is_empty() => Self::Syntax { origin, reason: error.kind.to_string() },
            Kind::UnknownVariant(value, allowed) => {
                Self::Value { origin, key, value: format!("{value:?}"), fix: format!("it must be {}", listed(allowed)) }
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                Self::Value { origin, key, value: found.to_string(), fix: format!("it must be {expected}") }
            }
            kind => {
                let value = figment.find_value(&key).map_or_else(|_| "that".to_owned(), |value| format!("{value:?}"));
                Self::Value { origin, key, value, fix: kind.to_string() }
            }
        }
    }
}

/// Where a value came from, as a person would say it.
fn origin(metadata: &figment::Metadata) -> String {
    match &metadata.source {
        Some(Source::File(path)) => path.display().to_string(),
        _ => metadata.name.to_string(),
    }
}

fn unknown_key_fix(name: &str, known: &[&str]) -> String {
    match known.iter().find(|other| alike(name, other)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("known here are {}", known.join(", ")),
    }
}

/// Whether one was probably meant by the other: all but few letters of one stand in the other, in order.
fn alike(one: &str, other: &str) -> bool {
    let mut rest = other.chars();
    let common = one.chars().filter(|letter| rest.clone().any(|l| l == *letter) && rest.any(|l| l == *letter)).count();
    common + 2 >= one.chars().count().max(other.chars().count())
}

fn listed(allowed: &[&str]) -> String {
    allowed.join(" or ")
}
