//! What can be set for a producer.

use crate::settings::check;
use crate::{ConnectSettings, SettingsError};
use std::time::Duration;

/// What can be set for a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSettings {
    /// How the connection is made and kept.
    pub connect: ConnectSettings,
    /// How many publishes may wait for their answer; one more is refused.
    pub in_flight_max: usize,
    /// How many bytes of commands may wait for their answer; what would exceed them is refused.
    pub in_flight_bytes_max: usize,
    /// How long an answer may take. After that it is unknown what became of the message.
    pub timeout: Duration,
    /// The largest body: nsqd's `--max-msg-size`.
    pub body_bytes_max: usize,
    /// The largest body of a request of many messages: nsqd's `--max-body-size`.
    pub request_bytes_max: usize,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            connect: ConnectSettings::default(),
            in_flight_max: 10_000,
            in_flight_bytes_max: 16 * 1024 * 1024,
            timeout: Duration::from_secs(5),
            body_bytes_max: 1024 * 1024,
            request_bytes_max: 5 * 1024 * 1024,
        }
    }
}

impl ProducerSettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        self.connect.check()?;
        check("in_flight_max", self.in_flight_max > 0, "at least 1")?;
        check("timeout", !self.timeout.is_zero(), "more than zero")?;
        check("body_bytes_max", (1..=1 << 30).contains(&self.body_bytes_max), "from 1 byte to 1 GiB")?;
        check("request_bytes_max", (9..=1 << 30).contains(&self.request_bytes_max), "from 9 bytes to 1 GiB")?;
        // Else the largest request could never be sent.
        let bytes = self.body_bytes_max.max(self.request_bytes_max) + 128;
        check("in_flight_bytes_max", self.in_flight_bytes_max >= bytes, "more than the largest request and 128 bytes")
    }
}
