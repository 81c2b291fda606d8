//! Settings that consumers and producers share.

use crate::codec::FRAME_BYTES_MAX_DEFAULT;
use std::net::IpAddr;
use std::time::Duration;

/// A setting is out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {rule}")]
pub struct SettingsError {
    name: &'static str,
    rule: &'static str,
}

pub(crate) fn check(name: &'static str, fine: bool, rule: &'static str) -> Result<(), SettingsError> {
    if fine { Ok(()) } else { Err(SettingsError { name, rule }) }
}

/// How connections are made and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectSettings {
    /// Names this process in nsqd's statistics.
    pub client_id: String,
    /// The host, in nsqd's statistics.
    pub hostname: String,
    /// Program and version, in nsqd's statistics.
    pub user_agent: String,
    /// The local address to connect from. One address has about 28,000 ports towards one nsqd.
    pub source: Option<IpAddr>,
    /// How long connecting may take, and then again the handshake.
    pub connect_timeout: Duration,
    /// How often nsqd asks whether the client is alive: 1 s to 60 s. Two missed, and either side closes.
    pub heartbeat_interval: Duration,
    /// The largest frame that is taken; a larger one ends the connection. At least nsqd's `--max-msg-size` and 64 bytes.
    pub frame_bytes_max: usize,
    /// What happens after a connection ended or did not come about.
    pub reconnect: Reconnect,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self {
            client_id: "lockstep-nsq-client".into(),
            hostname: String::new(),
            user_agent: concat!("lockstep-nsq-client/", env!("CARGO_PKG_VERSION")).into(),
            source: None,
            connect_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(30),
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            reconnect: Reconnect::default(),
        }
    }
}

impl ConnectSettings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let heartbeat = Duration::from_secs(1)..=Duration::from_secs(60);
        check("heartbeat_interval", heartbeat.contains(&self.heartbeat_interval), "from 1 s to 60 s")?;
        check("connect_timeout", !self.connect_timeout.is_zero(), "more than zero")?;
        check("frame_bytes_max", (64..=1 << 30).contains(&self.frame_bytes_max), "from 64 bytes to 1 GiB")?;
        check("reconnect.cap", self.reconnect.base <= self.reconnect.cap, "at least reconnect.base")
    }

    /// How long a server may be silent: it missed two heartbeats, and half of one for the way.
    pub(crate) fn silence_max(&self) -> Duration {
        self.heartbeat_interval.mul_f64(2.5)
    }
}

/// When to try again: after a random wait up to a bound that doubles with each failure, so that many connections that
/// were lost together come back apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// The bound of the first wait.
    pub base: Duration,
    /// No wait is longer. A connection that was open for longer than this counts as a success, which sets the bound back.
    pub cap: Duration,
    /// How many tries may follow a success, or the beginning; `None` for as many as it takes. `Some(0)` never reconnects.
    pub tries_max: Option<u32>,
}

impl Reconnect {
    /// Never.
    pub const NEVER: Self = Self { base: Duration::ZERO, cap: Duration::ZERO, tries_max: Some(0) };
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { base: Duration::from_millis(250), cap: Duration::from_secs(15), tries_max: None }
    }
}
