//! IDENTIFY: what a client says of itself, and what the server answers.

use serde::{Deserialize, Serialize};

/// The body of IDENTIFY. Only what this client can do stands here; fields that are absent keep the server's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identify {
    /// Names this process in the server's statistics.
    pub client_id: String,
    /// The host, in the server's statistics.
    pub hostname: String,
    /// Program and version.
    pub user_agent: String,
    /// Asks for an answer in JSON.
    pub feature_negotiation: bool,
    /// How often the server sends a heartbeat: 1,000 to 60,000 by default.
    pub heartbeat_interval: u64,
    /// How many bytes the server gathers before it writes: -1 for none, 0 for its default, or from 64.
    pub output_buffer_size: i64,
    /// How long it gathers, in milliseconds: -1 for ever, 0 for its default, or from 25.
    pub output_buffer_timeout: i64,
    /// After how many milliseconds an unfinished message is delivered again: 0 for the server's default, or from 1,000.
    pub msg_timeout: u64,
}

/// The server's answer to IDENTIFY with feature negotiation. What a server leaves out reads as zero or false.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Identified {
    /// The largest RDY it takes.
    pub max_rdy_count: i64,
    /// Its version.
    pub version: String,
    /// The longest that touching keeps a message in flight, in milliseconds.
    pub max_msg_timeout: i64,
    /// After how many milliseconds an unfinished message is delivered again.
    pub msg_timeout: i64,
    /// TLS follows.
    pub tls_v1: bool,
    /// Compression with deflate follows.
    pub deflate: bool,
    /// Compression with snappy follows.
    pub snappy: bool,
    /// It wants AUTH before anything else.
    pub auth_required: bool,
}

impl Identified {
    /// From the answer's data. A server that does not negotiate answers OK, which says nothing.
    pub fn decode(data: &[u8]) -> Option<Self> {
        if data == super::OK { Some(Self::default()) } else { serde_json::from_slice(data).ok() }
    }
}
