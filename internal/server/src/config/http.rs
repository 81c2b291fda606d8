//! What is set about the door for devices and services.

use lockstep_gateway::{Origins, TrustedProxies};
use serde::{Deserialize, Serialize};

/// Most origins, and most networks of proxies.
const ITEMS_MAX: usize = 256;

/// Who may use the door, and whose word counts there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Origins such as `https://app.example` whose web pages may use this server, or `*` alone for all. The WebSocket also
    /// takes pages of its own host. Programs that are no browsers are not concerned.
    pub origins: Vec<String>,
    /// Addresses and networks of proxies, such as `10.0.0.0/8`, whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Vec<String>,
}

impl HttpConfig {
    /// Keys whose values the types leave open, and whether they are right.
    pub(super) fn checks(&self) -> [(&'static str, bool); 2] {
        let fits = |items: &[String]| items.len() <= ITEMS_MAX;
        [
            ("http.origins", fits(&self.origins) && Origins::parse(&self.origins).is_some()),
            (
                "http.trusted_proxies",
                fits(&self.trusted_proxies) && TrustedProxies::parse(&self.trusted_proxies).is_some(),
            ),
        ]
    }

    /// What each of those keys has to be, as the end of a sentence.
    pub(super) fn requirement(key: &str) -> Option<&'static str> {
        Some(match key {
            "http.origins" => {
                "a list of at most 256 origins such as \"https://app.example\", in small letters and without a path, or [\"*\"]"
            }
            "http.trusted_proxies" => "a list of at most 256 addresses and networks such as \"10.0.0.0/8\"",
            _ => return None,
        })
    }
}
