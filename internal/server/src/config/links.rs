//! What is set about linking devices.

use lockstep_engine::LinkBounds;
use lockstep_gateway::{Attempt, LinksConfig as Gateway};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest beginning of a QR code's URL.
const QR_BASE_BYTES_MAX: usize = 512;

/// How devices are linked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinksConfig {
    /// How long a link waits, in seconds.
    pub ttl_s: u64,
    /// What the URL of a QR code begins with: the application's own page or scheme. The link stands in the fragment.
    pub qr_base: String,
    /// Devices that wait to be linked, in all. One more is refused with `rate_limited`.
    pub waiting_max: u64,
    /// Those from one address. One more is refused with `rate_limited`.
    pub address_waiting_max: u64,
    /// How often a user may show a wrong code, at once. Then `rate_limited`.
    pub user_attempts: u64,
    /// How often after that, per minute.
    pub user_attempts_per_minute: u64,
    /// How often one address may show a wrong code or secret, at once. Then `rate_limited`.
    pub address_attempts: u64,
    /// How often after that, per minute.
    pub address_attempts_per_minute: u64,
}

impl Default for LinksConfig {
    fn default() -> Self {
        Self {
            ttl_s: 120,
            qr_base: "lockstep://link".to_owned(),
            waiting_max: 2_000,
            address_waiting_max: 20,
            user_attempts: 10,
            user_attempts_per_minute: 6,
            address_attempts: 60,
            address_attempts_per_minute: 60,
        }
    }
}

impl LinksConfig {
    /// Numbers with their bounds.
    fn numbers(&self) -> [(&'static str, u64, u64, u64); 7] {
        [
            ("links.ttl_s", self.ttl_s, 30, 600),
            ("links.waiting_max", self.waiting_max, 1, 10_000),
            ("links.address_waiting_max", self.address_waiting_max, 1, 10_000),
            ("links.user_attempts", self.user_attempts, 1, 1_000_000),
            ("links.user_attempts_per_minute", self.user_attempts_per_minute, 1, 1_000_000),
            ("links.address_attempts", self.address_attempts, 1, 1_000_000),
            ("links.address_attempts_per_minute", self.address_attempts_per_minute, 1, 1_000_000),
        ]
    }

    /// Keys whose values the types leave open, and whether they are right.
    pub(super) fn checks(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let numbers = self.numbers().map(|(key, value, min, max)| (key, (min..=max).contains(&value)));
        numbers.into_iter().chain([("links.qr_base", is_base(&self.qr_base))])
    }

    /// What a key has to be, as the end of a sentence.
    pub(super) fn requirement(key: &str) -> Option<String> {
        let bounds = Self::default().numbers().into_iter().find(|(name, ..)| *name == key);
        match bounds {
            Some((_, _, min, max)) => Some(format!("a whole number from {min} to {max}")),
            None if key == "links.qr_base" => Some(
                "a URL such as \"https://chat.example/link\", without a fragment and of at most 512 bytes".to_owned(),
            ),
            None => None,
        }
    }

    /// How long a link waits.
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }

    /// How many may wait.
    pub(crate) fn waiting(&self) -> LinkBounds {
        LinkBounds { all: self.waiting_max, per_network: self.address_waiting_max }
    }

    /// What the gateway is told about links.
    pub(crate) fn gateway(&self) -> Gateway {
        let attempt = |burst: u64, per_minute: u64| Attempt { burst: burst as u32, per_minute: per_minute as u32 };
        Gateway {
            qr_base: self.qr_base.clone(),
            sockets_max: self.waiting_max as usize,
            per_user: attempt(self.user_attempts, self.user_attempts_per_minute),
            per_address: attempt(self.address_attempts, self.address_attempts_per_minute),
        }
    }
}

/// Whether a text may stand before a fragment: a scheme (RFC 3986, section 3.1), and printable ASCII without spaces.
fn is_base(text: &str) -> bool {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let has_scheme = text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty());
    has_scheme && text.len() <= QR_BASE_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_qr_code_may_begin_with() {
        for base in ["lockstep://link", "https://chat.example/link?app=1", "a+b-c.d:x"] {
            assert!(is_base(base), "{base}");
        }
        let long = format!("https://{}", "x".repeat(QR_BASE_BYTES_MAX));
        for base in ["", "link", ":x", "1a://x", "https:", "https://x y", "https://x#y", "https://é", &long] {
            assert!(!is_base(base), "{base}");
        }
    }
}
