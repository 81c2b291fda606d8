//! The names of topics and channels, checked once, so that no command line on the wire can be broken by one.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The most characters of a name, with its suffix.
pub const NAME_CHARS_MAX: usize = 64;
/// What the name of a topic or channel ends in that lives only as long as somebody uses it.
pub const EPHEMERAL_SUFFIX: &str = "#ephemeral";

/// A text is no name of a topic or channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {what} has 1 to 64 of the characters . a-z A-Z 0-9 _ - and may end in #ephemeral")]
pub struct NameError {
    what: &'static str,
}

/// nsqd's rule: `^[.a-zA-Z0-9_-]+(#ephemeral)?$`, 1 to 64 characters.
fn is_valid(text: &str) -> bool {
    let stem = text.strip_suffix(EPHEMERAL_SUFFIX).unwrap_or(text);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= NAME_CHARS_MAX && !stem.is_empty() && stem.bytes().all(is_allowed)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and characters.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if is_valid(text) { Ok(Self(text.into())) } else { Err(NameError { what: $what }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether it goes with its last user.
            pub fn is_ephemeral(&self) -> bool {
                self.0.ends_with(EPHEMERAL_SUFFIX)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a topic. Clones share their text.
    TopicName,
    "topic's name"
);
name!(
    /// The name of a channel. Clones share their text.
    ChannelName,
    "channel's name"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_nsqd() {
        let long = "x".repeat(64);
        let long_ephemeral = format!("{}#ephemeral", "x".repeat(54));
        for good in ["a", ".", "a.B-c_9", "a#ephemeral", &long, &long_ephemeral] {
            assert_eq!(TopicName::new(good).map(|name| name.to_string()).as_deref(), Ok(good));
            assert!(ChannelName::new(good).is_ok(), "{good}");
        }
        let too_long = "x".repeat(65);
        let too_long_ephemeral = format!("{}#ephemeral", "x".repeat(55));
        let bad = ["", "#ephemeral", "a b", "a\n", "a#", "a#ephemeral#ephemeral", "ä", &too_long, &too_long_ephemeral];
        for bad in bad {
            assert!(TopicName::new(bad).is_err() && ChannelName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ephemeral_is_the_suffix() {
        assert!(ChannelName::new("a#ephemeral").is_ok_and(|name| name.is_ephemeral()));
        assert!(ChannelName::new("ephemeral").is_ok_and(|name| !name.is_ephemeral()));
    }
}
