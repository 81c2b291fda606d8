//! Why a configuration is refused: each error names the key, the value, where it came from, and the fix.

use super::{
    AccountsConfig, BootstrapConfig, DevicesConfig, HttpConfig, Limits, LinksConfig, NsqConfig, RetentionConfig,
    TOKEN_TTL_S_MAX, TraceConfig,
};
use figment::error::Kind;
use figment::value::Value;
use figment::{Figment, Source};
use lockstep_model::TopicPrefix;
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
    /// What stands at a key is not what it has to be.
    pub(super) fn value(figment: &Figment, key: &str) -> Self {
        // figment does not look into lists.
        let item = key.rsplit_once('.').and_then(|(list, index)| Some((list, index.parse::<usize>().ok()?)));
        let named = item.map_or(key, |(list, _)| list);
        let origin = figment.find_metadata(named).map_or_else(|| "the configuration".to_owned(), origin);
        let value = figment.find_value(named).ok();
        let value = match (value, item) {
            (Some(Value::Array(_, items)), Some((_, index))) => items.get(index).map(written),
            (value, _) => value.as_ref().map(written),
        };
        let value = value.unwrap_or_else(|| "nothing".to_owned());
        Self::Value { origin, key: key.to_owned(), value, fix: format!("it must be {}", requirement(key)) }
    }

    /// What figment found first.
    pub(super) fn of(figment: &Figment, error: &figment::Error) -> Self {
        let origin = error.metadata.as_ref().map_or_else(|| "the configuration".to_owned(), origin);
        let mut path = error.path.clone();
        match &error.kind {
            Kind::UnknownField(name, known) => {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
                Self::UnknownKey { origin, key: path.join("."), fix: unknown_key_fix(name, known) }
            }
            kind if path.is_empty() => Self::Syntax { origin, reason: kind.to_string().trim_end().to_owned() },
            _ => Self::value(figment, &path.join(".")),
        }
    }
}

/// What a key's value has to be, as the end of a sentence.
fn requirement(key: &str) -> String {
    let whole_number = |min, max| format!("a whole number from {min} to {max}");
    match key {
        "listen" => "an address and a port, such as 127.0.0.1:8080".to_owned(),
        "nsq_http.listen" => "an address and a port, such as 127.0.0.1:4151".to_owned(),
        "nsq_http.names" => "a list of at most 64 host names or addresses without ports".to_owned(),
        "nsq.topic_prefix" => {
            format!("1 to {} of the characters a-z, A-Z, 0-9, ., _ and -", TopicPrefix::CHARS_MAX)
        }
        "data" => "a folder".to_owned(),
        "token_ttl_s" => whole_number(1, TOKEN_TTL_S_MAX),
        "log.format" => "\"text\" or \"json\"".to_owned(),
        "log.level" => "a level such as \"info\", or directives such as \"info,lockstep_engine=debug\"".to_owned(),
        key if let Some(requirement) = HttpConfig::requirement(key) => requirement.to_owned(),
        key if let Some(requirement) = NsqConfig::requirement(key) => requirement.to_owned(),
        key if let Some(requirement) = DevicesConfig::requirement(key) => requirement,
        key if let Some(requirement) = RetentionConfig::requirement(key) => requirement,
        key if let Some(requirement) = BootstrapConfig::requirement(key) => requirement,
        key if let Some(requirement) = AccountsConfig::requirement(key) => requirement,
        key if let Some(requirement) = LinksConfig::requirement(key) => requirement,
        key if let Some(requirement) = TraceConfig::requirement(key) => requirement,
        _ => match Limits::default().table().find(|(name, ..)| key.strip_prefix("limits.") == Some(name)) {
            Some((_, _, min, max)) => whole_number(min, max),
            None => "a table".to_owned(),
        },
    }
}

/// A value as it would stand in the file.
fn written(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, letter) => format!("{:?}", letter.to_string()),
        Value::Bool(_, truth) => truth.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (_, Some(whole), _) => whole.to_string(),
            (.., Some(fraction)) => fraction.to_string(),
            _ => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
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
    match known.iter().min_by_key(|other| edits(name, other)).filter(|meant| edits(name, meant) <= 3) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("known here are {}", known.join(", ")),
    }
}

/// How many letters have to be put in, taken out or changed to make one of the other (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (at, other_letter) in other.chars().enumerate() {
            let changed = diagonal + usize::from(letter != other_letter);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
