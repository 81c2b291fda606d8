//! The bounds that can be set, each with the range that it may be set to.

use serde::{Deserialize, Serialize};

/// Declares [`Limits`] together with the range of each, so that none lacks one.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident = $default:literal, $min:literal..=$max:literal;)*) => {
        /// The bounds of the server. What happens when one is reached stands beside it.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Limits {
            /// Name, value, least and largest of each.
            pub(super) fn table(&self) -> impl Iterator<Item = (&'static str, u64, u64, u64)> {
                [$((stringify!($name), self.$name, $min, $max),)*].into_iter()
            }
        }
    };
}

limits! {
    /// How often a heartbeat goes to a device. Two without any answer close with `heartbeat_timeout`.
    heartbeat_ms = 25_000, 100..=600_000;
    /// How long the hello may take, and then the last resume. Then the connection closes with `hello_timeout`.
    hello_timeout_ms = 5_000, 100..=60_000;
    /// How long the oldest delivery may stay unacknowledged. Then the connection closes with `ack_timeout`.
    ack_timeout_ms = 45_000, 100..=600_000;
    /// How long a device may take nothing of what is written to it. Then the connection closes with `slow_reader`.
    write_timeout_ms = 30_000, 100..=600_000;
    /// How long a connection may stay open. Then it closes with `session_age`.
    session_age_s = 86_400, 1..=2_592_000;
    /// Deliveries of one conversation ahead of the acknowledgement. Then the conversation waits.
    window_entries = 256, 1..=10_000;
    /// Bytes ahead of the acknowledgement, over all conversations of a connection. Then all wait.
    window_bytes = 1_048_576, 131_072..=67_108_864;
    /// Sends per second of a device. Beyond it they are refused with `rate_limited`.
    sends_per_second = 50, 1..=1_000_000;
    /// Sends of a device at once before the rate counts.
    sends_burst = 200, 1..=1_000_000;
    /// Sends per second of a service. Beyond it they are refused with `rate_limited`.
    service_sends_per_second = 1_000, 1..=1_000_000;
    /// Sends of a service at once before the rate counts.
    service_sends_burst = 2_000, 1..=1_000_000;
    /// REST requests per second of a device. Beyond it they are refused with `rate_limited`.
    device_requests_per_second = 100, 1..=1_000_000;
    /// REST requests of a device at once before the rate counts.
    device_requests_burst = 400, 1..=1_000_000;
    /// REST requests per second of all devices of a user together.
    user_requests_per_second = 200, 1..=1_000_000;
    /// REST requests of a user at once before the rate counts.
    user_requests_burst = 800, 1..=1_000_000;
    /// REST requests per second from one address, or one network of IPv6 with 64 bits, whoever makes them.
    address_requests_per_second = 2_000, 1..=1_000_000;
    /// REST requests from one address at once before the rate counts.
    address_requests_burst = 8_000, 1..=1_000_000;
    /// Signals per second of a device in one conversation. Beyond it they are dropped.
    signals_per_second = 1, 1..=1_000;
    /// Signals of a device at once in one conversation before the rate counts.
    signals_burst = 3, 1..=1_000;
    /// Frames per second of a device. Beyond it the connection closes with `flood`.
    frames_per_second = 500, 1..=10_000_000;
    /// Frames of a device at once before the rate counts.
    frames_burst = 2_000, 16..=10_000_000;
    /// Largest frame from a device. A larger one closes the connection with `frame_too_large`.
    frame_bytes_max = 262_144, 73_728..=16_777_216;
    /// Largest body of a REST request. A larger one is refused with `body_too_large`.
    request_bytes_max = 262_144, 73_728..=16_777_216;
    /// How long the body of a REST request may take. Then it is refused with `request_timeout`.
    request_timeout_ms = 10_000, 100..=120_000;
    /// How long a request's header may take, counted from the end of the answer before it. Then the connection closes.
    header_timeout_ms = 10_000, 100..=120_000;
    /// How long an HTTP connection is used. Then it closes after the answer under way. WebSockets are not meant.
    http_connection_age_s = 300, 1..=86_400;
    /// HTTP connections at once, those that become WebSockets until then. More wait in the system's queue.
    http_connections_max = 4_096, 1..=1_000_000;
    /// Devices connected at once. One more is refused with `overloaded`.
    connections_max = 100_000, 1..=1_000_000;
    /// Conversations of one user. One more is refused with `too_many_conversations`.
    conversations_per_user_max = 10_000, 1..=1_000_000;
    /// Members of one group. One more is refused with `too_many_members`.
    group_members_max = 1_000, 1..=100_000;
    /// Members of one room. One more is refused with `too_many_members`.
    room_members_max = 100_000, 1..=1_000_000;
    /// How long receipts gather: at most one frame tells a conversation's in this time.
    receipts_gather_ms = 200, 10..=60_000;
    /// Most members of a conversation in which receipts are told to live devices. In larger ones they are asked for.
    receipts_members_max = 32, 0..=256;
    /// Live entries and signals that wait for one connection. More make it read the log.
    mailbox_max = 1_024, 16..=1_048_576;
    /// Sends that wait for the store. More are answered with `try_again`.
    appends_waiting_max = 16_384, 16..=1_048_576;
    /// Bytes of recent entries that are kept in memory. Older ones are read from the store.
    ring_bytes_max = 67_108_864, 1_048_576..=68_719_476_736;
    /// How long a stop may take. Then the process ends at once, with exit code 1.
    stop_timeout_ms = 10_000, 100..=300_000;
}
