//! What a message frame carries.

use std::fmt;

/// The name that an nsqd gives to a message. Another nsqd may give the same name to another message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// The id as it stands on the wire: 16 hexadecimal digits, if the server is an nsqd.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// A message, as a view of the bytes that were read: copy what is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// When nsqd took it, in nanoseconds since 1970 by its clock.
    pub timestamp_ns: i64,
    /// How often it has been delivered, this time included. It stops at 65,535 or begins anew, as the server likes.
    pub attempts: u16,
    /// Its name on this nsqd.
    pub id: MessageId,
    /// What was published: at least one byte, if the server is an nsqd.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// What stands before the body.
    pub const HEADER_BYTES: usize = 8 + 2 + 16;

    /// From a message frame's data. `None` if that is too short.
    pub fn decode(data: &'a [u8]) -> Option<Self> {
        let (timestamp_ns, rest) = data.split_first_chunk::<8>()?;
        let (attempts, rest) = rest.split_first_chunk::<2>()?;
        let (id, body) = rest.split_first_chunk::<16>()?;
        let timestamp_ns = i64::from_be_bytes(*timestamp_ns);
        Some(Self { timestamp_ns, attempts: u16::from_be_bytes(*attempts), id: MessageId(*id), body })
    }

    /// Writes it as a message frame's data: what a server does, and tests.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp_ns.to_be_bytes());
        out.extend_from_slice(&self.attempts.to_be_bytes());
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(self.body);
    }
}
