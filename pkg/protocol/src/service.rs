//! The names of services, which write entries without being a user's device.

use crate::IdError;
use compact_str::{CompactString, format_compact};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What a service's sender begins with; no user id does.
pub(crate) const PREFIX: &str = "service:";
/// Names that the server itself writes under: its system entries, and what came as a raw NSQ body.
const OWN: [&str; 2] = ["lockstep", "nsq"];

/// The name of a service: 1 to 48 characters of `a-z`, `0-9`, `-`, `_` and `.`, beginning with a letter or a digit.
///
/// Kept as the sender that its entries have: `service:` and the name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(CompactString);

impl ServiceName {
    /// The most characters of a service's name.
    pub const CHARS_MAX: usize = 48;

    /// Checks length and characters, and that the name is not one of the server's own.
    pub fn new(name: &str) -> Result<Self, IdError> {
        let usual = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let right = name.bytes().all(|letter| usual(letter) || b"-_.".contains(&letter));
        let begins = name.bytes().next().is_some_and(usual);
        if !right || !begins || name.len() > Self::CHARS_MAX {
            return Err(IdError::Service);
        }
        if OWN.contains(&name) {
            return Err(IdError::OwnService);
        }
        Ok(Self(format_compact!("{PREFIX}{name}")))
    }

    /// The sender of what came as a raw NSQ body: whoever may publish on that network.
    pub const fn nsq() -> Self {
        Self(CompactString::const_new("service:nsq"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }

    /// The sender as text: `service:` and the name.
    pub fn as_sender(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ServiceName {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl Serialize for ServiceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&CompactString::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_names_services_may_have() {
        let longest = "b".repeat(ServiceName::CHARS_MAX);
        for name in ["billing", "b", "2fa", "a.b-c_d", &longest] {
            let service = ServiceName::new(name).expect(name);
            assert_eq!((service.as_str(), service.as_sender()), (name, &*format!("service:{name}")));
        }
        let too_long = "b".repeat(ServiceName::CHARS_MAX + 1);
        for name in ["", "Billing", "-b", ".b", "bill ing", "büro", "a/b", "service:b", "b\n", &too_long] {
            assert_eq!(ServiceName::new(name), Err(IdError::Service), "{name:?}");
        }
        for name in ["lockstep", "nsq"] {
            assert_eq!(ServiceName::new(name), Err(IdError::OwnService), "{name}");
        }
        assert_eq!(ServiceName::nsq().as_str(), "nsq");
    }
}
