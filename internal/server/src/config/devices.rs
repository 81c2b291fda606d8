//! What is set about devices and their end.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY_S: u64 = 24 * 60 * 60;
/// Ten years.
const UNSEEN_DAYS_MAX: u64 = 3_650;
const KEPT_DAYS_MAX: u64 = 365;

/// When devices go by themselves, and how long it is known that they did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevicesConfig {
    /// Sub devices that were not connected for so many days are removed, from 24 hours after the start on; 0: none are.
    pub unseen_days: u64,
    /// How many days the job of a removal is listed after it is done.
    pub teardowns_kept_days: u64,
}

impl Default for DevicesConfig {
    fn default() -> Self {
        Self { unseen_days: 0, teardowns_kept_days: 7 }
    }
}

impl DevicesConfig {
    /// Keys whose values the types leave open, and whether they are right.
    pub(super) fn checks(&self) -> [(&'static str, bool); 2] {
        [
            ("devices.unseen_days", self.unseen_days <= UNSEEN_DAYS_MAX),
            ("devices.teardowns_kept_days", (1..=KEPT_DAYS_MAX).contains(&self.teardowns_kept_days)),
        ]
    }

    /// What each of those keys has to be, as the end of a sentence.
    pub(super) fn requirement(key: &str) -> Option<String> {
        match key {
            "devices.unseen_days" => Some(format!("a whole number from 0 to {UNSEEN_DAYS_MAX}; 0 removes none")),
            "devices.teardowns_kept_days" => Some(format!("a whole number from 1 to {KEPT_DAYS_MAX}")),
            _ => None,
        }
    }

    /// After how long sub devices are removed, if they are.
    pub fn unseen(&self) -> Option<Duration> {
        (self.unseen_days > 0).then(|| Duration::from_secs(self.unseen_days * DAY_S))
    }

    /// How long the job of a removal is listed after it is done.
    pub fn teardowns_kept(&self) -> Duration {
        Duration::from_secs(self.teardowns_kept_days * DAY_S)
    }
}
