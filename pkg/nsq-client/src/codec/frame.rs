//! Frames, taken one by one from the beginning of a slice.

use super::{ErrorCode, Message};

/// A frame's size and type.
const HEADER_BYTES: usize = 8;
/// The largest frame taken unless told otherwise: nsqd's largest message (1 MiB by default) and what stands before it.
pub const FRAME_BYTES_MAX_DEFAULT: usize = 1024 * 1024 + 64;

const TYPE_RESPONSE: i32 = 0;
const TYPE_ERROR: i32 = 1;
const TYPE_MESSAGE: i32 = 2;

/// What a server says, as a view of the bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The answer to a command, or a heartbeat.
    Response(&'a [u8]),
    /// An error.
    Error {
        /// What its first word says.
        code: ErrorCode,
        /// The whole text.
        text: &'a [u8],
    },
    /// A message.
    Message(Message<'a>),
}

impl Frame<'_> {
    /// Writes it as a frame: what a server does, and tests.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let kind = match self {
            Self::Response(data) => {
                out.extend_from_slice(data);
                TYPE_RESPONSE
            }
            Self::Error { text, .. } => {
                out.extend_from_slice(text);
                TYPE_ERROR
            }
            Self::Message(message) => {
                message.encode(out);
                TYPE_MESSAGE
            }
        };
        let size = u32::try_from(out.len() - begin - 4).unwrap_or(u32::MAX);
        out[begin..begin + 4].copy_from_slice(&size.to_be_bytes());
        out[begin + 4..begin + HEADER_BYTES].copy_from_slice(&kind.to_be_bytes());
    }
}

/// What stands at the beginning of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole frame, and how many bytes it took.
    Frame {
        /// The frame.
        frame: Frame<'a>,
        /// Its bytes, with the size field.
        bytes: usize,
    },
    /// The beginning of a frame, or nothing.
    Incomplete {
        /// How many bytes are missing at least. What follows them may show that more are.
        missing: usize,
    },
}

/// Bytes are no frames. There is no way to find the next one: the connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The size says that the frame has no type, or is larger than what is taken. A negative size reads as a huge one.
    #[error("a frame of {size} bytes, where 4 to {max} are taken")]
    Size {
        /// The size field.
        size: u32,
        /// The largest that is taken.
        max: usize,
    },
    /// The type is none of response, error and message.
    #[error("a frame of the unknown type {0}")]
    Type(i32),
    /// A message frame is shorter than what stands before a message's body.
    #[error("a message frame of {size} bytes, which is too short")]
    ShortMessage {
        /// The size field.
        size: u32,
    },
}

/// Takes the frame at the beginning of `bytes`. `frame_bytes_max` bounds the size field (type and data), before
/// anybody makes room for the frame.
pub fn decode(bytes: &[u8], frame_bytes_max: usize) -> Result<Decoded<'_>, DecodeError> {
    let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(Decoded::Incomplete { missing: HEADER_BYTES - bytes.len() });
    };
    let size = u32::from_be_bytes(*size);
    let length = usize::try_from(size).unwrap_or(usize::MAX);
    if length < 4 || length > frame_bytes_max {
        return Err(DecodeError::Size { size, max: frame_bytes_max });
    }
    let Some((kind, _)) = rest.split_first_chunk::<4>() else {
        return Ok(Decoded::Incomplete { missing: length - rest.len() });
    };
    // A wrong type is refused before its data are waited for.
    let kind = i32::from_be_bytes(*kind);
    match kind {
        TYPE_RESPONSE | TYPE_ERROR => {}
        TYPE_MESSAGE if length >= 4 + Message::HEADER_BYTES => {}
        TYPE_MESSAGE => return Err(DecodeError::ShortMessage { size }),
        _ => return Err(DecodeError::Type(kind)),
    }
    let Some(data) = rest.get(4..length) else {
        return Ok(Decoded::Incomplete { missing: length - rest.len() });
    };
    let frame = match kind {
        TYPE_RESPONSE => Frame::Response(data),
        TYPE_ERROR => Frame::Error { code: ErrorCode::of(data), text: data },
        _ => Frame::Message(Message::decode(data).ok_or(DecodeError::ShortMessage { size })?),
    };
    Ok(Decoded::Frame { frame, bytes: 4 + length })
}

#[cfg(test)]
mod tests {
    use super::super::MessageId;
    use super::*;

    fn bytes(size: u32, kind: i32, data: &[u8]) -> Vec<u8> {
        [&size.to_be_bytes()[..], &kind.to_be_bytes()[..], data].concat()
    }

    #[test]
    fn frames_of_the_specification_are_read() {
        let ok = bytes(6, 0, b"OK");
        let decoded = decode(&ok, 100);
        assert_eq!(decoded, Ok(Decoded::Frame { frame: Frame::Response(b"OK"), bytes: 10 }));
        let text = b"E_FIN_FAILED x";
        let error = bytes(18, 1, text);
        let frame = Frame::Error { code: ErrorCode::FinFailed, text };
        assert_eq!(decode(&error, 100), Ok(Decoded::Frame { frame, bytes: 22 }));
        let mut data = vec![0, 0, 0, 0, 0, 0, 1, 2, 0, 3];
        data.extend_from_slice(b"0123456789abcdefbody");
        let message = bytes(34, 2, &data);
        let frame = Frame::Message(Message {
            timestamp_ns: 258,
            attempts: 3,
            id: MessageId(*b"0123456789abcdef"),
            body: b"body",
        });
        assert_eq!(decode(&message, 100), Ok(Decoded::Frame { frame, bytes: 38 }));
    }

    #[test]
    fn hostile_sizes_and_types_are_refused_at_once() {
        let cases = [
            (bytes(101, 0, b""), DecodeError::Size { size: 101, max: 100 }),
            (bytes(u32::MAX, 0, b""), DecodeError::Size { size: u32::MAX, max: 100 }),
            (bytes(3, 0, b""), DecodeError::Size { size: 3, max: 100 }),
            (bytes(0, 0, b""), DecodeError::Size { size: 0, max: 100 }),
            (bytes(50, 3, b""), DecodeError::Type(3)),
            (bytes(50, -1, b""), DecodeError::Type(-1)),
            (bytes(29, 2, b""), DecodeError::ShortMessage { size: 29 }),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode(&bytes, 100), Err(error));
        }
    }

    #[test]
    fn incomplete_frames_say_what_is_missing() {
        let ok = bytes(6, 0, b"OK");
        for (length, missing) in [(0, 8), (3, 5), (4, 6), (8, 2), (9, 1)] {
            assert_eq!(decode(&ok[..length], 100), Ok(Decoded::Incomplete { missing }), "{length}");
        }
    }
}
