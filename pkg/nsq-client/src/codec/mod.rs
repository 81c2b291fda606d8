//! Protocol V2 without I/O: commands to bytes, bytes to frames.
//!
//! Source of the rules: the specification at <https://nsq.io/clients/tcp_protocol_spec.html> and, where that is silent,
//! the source of nsqd 1.3.0 (`nsqd/protocol_v2.go`).
//!
//! A connection begins with [`MAGIC`]. The client then writes [`command`]s, the server writes frames: a size (u32, big
//! endian), a type (i32: 0 response, 1 error, 2 message) and data. [`decode`] takes one frame from the beginning of a
//! slice of bytes, and says when the slice ends within one.

pub mod command;
mod error;
mod frame;
mod identify;
mod message;

pub use error::{ErrorCode, ServerError};
pub use frame::{DecodeError, Decoded, FRAME_BYTES_MAX_DEFAULT, Frame, decode};
pub use identify::{Identified, Identify};
pub use message::{Message, MessageId};

/// What a client writes first.
pub const MAGIC: &[u8; 4] = b"  V2";
/// The answer to most commands that have one.
pub const OK: &[u8] = b"OK";
/// What the server asks once per heartbeat interval, to be answered with a NOP (or any other command).
pub const HEARTBEAT: &[u8] = b"_heartbeat_";
/// The answer to CLS: no message follows.
pub const CLOSE_WAIT: &[u8] = b"CLOSE_WAIT";
