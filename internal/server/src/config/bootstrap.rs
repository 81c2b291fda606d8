//! How new devices are filled from main ones.

use lockstep_engine::BootstrapConfig as Bounds;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const FILLINGS_MAX: u64 = 100_000;
const STALL_MAX_MS: u64 = 600_000;
const WAIT_MAX_S: u64 = 86_400;

/// How new devices are filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapConfig {
    /// Which sub devices need a main device of their user that is connected.
    pub sub_needs_main: SubNeedsMain,
    /// What gives the entries that no main device has.
    pub fallback: Fallback,
    /// Devices that may be filled at once; one more is refused with `too_many_bootstraps`.
    pub fillings_max: u64,
    /// How long a main device that was asked may be silent before another one is asked.
    pub stall_ms: u64,
    /// How long a filling waits for its device to come back, or for a main device.
    pub wait_s: u64,
}

/// Which sub devices need a main device that is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubNeedsMain {
    /// Those that are still to be filled.
    FirstFill,
    /// All, on every connect.
    Always,
}

/// What gives the entries that no main device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Nothing.
    None,
    /// The server's log.
    Log,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        let bounds = Bounds::default();
        Self {
            sub_needs_main: SubNeedsMain::FirstFill,
            fallback: Fallback::None,
            fillings_max: bounds.fillings_max as u64,
            stall_ms: bounds.stall.as_millis() as u64,
            wait_s: bounds.wait.as_secs(),
        }
    }
}

impl BootstrapConfig {
    /// Keys whose values the types leave open, and whether they are right.
    pub(super) fn checks(&self) -> [(&'static str, bool); 3] {
        [
            ("bootstrap.fillings_max", (1..=FILLINGS_MAX).contains(&self.fillings_max)),
            ("bootstrap.stall_ms", (100..=STALL_MAX_MS).contains(&self.stall_ms)),
            ("bootstrap.wait_s", (1..=WAIT_MAX_S).contains(&self.wait_s)),
        ]
    }

    /// What each of those keys has to be, as the end of a sentence.
    pub(super) fn requirement(key: &str) -> Option<String> {
        match key.strip_prefix("bootstrap.")? {
            "sub_needs_main" => Some("\"first_fill\" or \"always\"".to_owned()),
            "fallback" => Some("\"none\" or \"log\"".to_owned()),
            "fillings_max" => Some(format!("a whole number from 1 to {FILLINGS_MAX}")),
            "stall_ms" => Some(format!("a whole number from 100 to {STALL_MAX_MS}")),
            "wait_s" => Some(format!("a whole number from 1 to {WAIT_MAX_S}")),
            _ => None,
        }
    }

    /// The settings as the engine takes them.
    pub fn bounds(&self, ack_timeout: Duration) -> Bounds {
        Bounds {
            fillings_max: self.fillings_max as usize,
            stall: Duration::from_millis(self.stall_ms),
            ack_timeout,
            wait: Duration::from_secs(self.wait_s),
            log_fallback: self.fallback == Fallback::Log,
            sub_needs_main_always: self.sub_needs_main == SubNeedsMain::Always,
        }
    }
}
