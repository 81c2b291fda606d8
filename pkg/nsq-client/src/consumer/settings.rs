//! What can be set for consumers.

use crate::settings::check;
use crate::{ConnectSettings, SettingsError};
use std::time::Duration;

/// nsqd's `--max-rdy-count`, unless it is told otherwise.
const RDY_MAX: u32 = 2_500;

/// What can be set for the consumers of one nsqd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// How connections are made and kept.
    pub connect: ConnectSettings,
    /// How many messages may be in flight to one consumer, held ones included: 1 to 2,500. A server that allows less gets
    /// less. It is fixed: when as many are held, nothing more is delivered until one is answered.
    pub rdy: u32,
    /// Whether nsqd gathers messages before it writes.
    pub output_buffer: OutputBuffer,
    /// After how long an unfinished message is delivered again, 1 s to 15 min; `None` for nsqd's own setting (60 s).
    pub msg_timeout: Option<Duration>,
    /// How many consumers may be connecting and subscribing at once; others wait. A server that hangs stops them all for
    /// as long as `connect_timeout`.
    pub connecting_max: usize,
    /// How long the server may take to answer CLS.
    pub close_timeout: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        Self {
            connect: ConnectSettings::default(),
            rdy: 200,
            output_buffer: OutputBuffer::Off,
            msg_timeout: None,
            connecting_max: 64,
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl ConsumerSettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        self.connect.check()?;
        check("rdy", (1..=RDY_MAX).contains(&self.rdy), "from 1 to 2500")?;
        let timeouts = Duration::from_secs(1)..=Duration::from_secs(15 * 60);
        check("msg_timeout", self.msg_timeout.is_none_or(|it| timeouts.contains(&it)), "from 1 s to 15 min")?;
        check("connecting_max", (1..=100_000).contains(&self.connecting_max), "from 1 to 100000")?;
        check("close_timeout", !self.close_timeout.is_zero(), "more than zero")?;
        self.output_buffer.check()
    }
}

/// Whether nsqd gathers messages before it writes them to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputBuffer {
    /// Every message leaves at once. Costs nsqd three writes per message.
    Off,
    /// As many bytes are gathered, for as long. nsqd writes earlier only when as many messages are in flight as RDY
    /// allows; otherwise a message waits for the timeout even if nothing else happens.
    On {
        /// From 64 bytes to nsqd's `--max-output-buffer-size` (64 KiB).
        bytes: u32,
        /// From nsqd's `--min-output-buffer-timeout` (25 ms) to its maximum (30 s).
        timeout: Duration,
    },
}

impl OutputBuffer {
    fn check(self) -> Result<(), SettingsError> {
        let Self::On { bytes, timeout } = self else { return Ok(()) };
        check("output_buffer.bytes", bytes >= 64, "at least 64")?;
        check("output_buffer.timeout", timeout >= Duration::from_millis(1), "at least 1 ms (nsqd: 25 ms)")
    }

    /// `output_buffer_size` and `output_buffer_timeout` of IDENTIFY.
    pub(super) fn on_the_wire(self) -> (i64, i64) {
        match self {
            Self::Off => (-1, -1),
            Self::On { bytes, timeout } => (i64::from(bytes), i64::try_from(millis(timeout)).unwrap_or(i64::MAX)),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reconnect;

    #[test]
    fn what_a_server_would_refuse_is_refused_here() {
        let good = ConsumerSettings::default;
        assert_eq!(good().check(), Ok(()));
        let output = |bytes, timeout_ms| OutputBuffer::On { bytes, timeout: Duration::from_millis(timeout_ms) };
        let connect = |change: fn(&mut ConnectSettings)| {
            let mut settings = good();
            change(&mut settings.connect);
            settings
        };
        let bad = [
            ConsumerSettings { rdy: 0, ..good() },
            ConsumerSettings { rdy: 2_501, ..good() },
            ConsumerSettings { output_buffer: output(63, 25), ..good() },
            ConsumerSettings { output_buffer: output(64, 0), ..good() },
            ConsumerSettings { msg_timeout: Some(Duration::from_millis(999)), ..good() },
            ConsumerSettings { connecting_max: 0, ..good() },
            connect(|connect| connect.heartbeat_interval = Duration::from_millis(999)),
            connect(|connect| connect.heartbeat_interval = Duration::from_secs(61)),
            connect(|connect| connect.frame_bytes_max = 10),
            connect(|connect| connect.connect_timeout = Duration::ZERO),
            connect(|connect| connect.reconnect = Reconnect { cap: Duration::ZERO, ..Reconnect::default() }),
        ];
        for bad in bad {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
