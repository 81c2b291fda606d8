//! What must hold for any bytes that come from a server. Shared by the tests and the fuzz target.

use lockstep_nsq_client::codec::{Decoded, Frame, Identified, decode};

/// Small, so that sizes at the bound are found.
const FRAME_BYTES_MAX: usize = 512;

/// Takes apart any bytes, and holds what comes against the rules of the codec.
pub(crate) fn bytes(input: &[u8]) {
    let mut rest = input;
    loop {
        match decode(rest, FRAME_BYTES_MAX) {
            Ok(Decoded::Frame { frame, bytes }) => {
                assert!(bytes <= rest.len() && bytes <= FRAME_BYTES_MAX + 4);
                same_again(&frame, &rest[..bytes]);
                prefixes_are_incomplete(&rest[..bytes]);
                if let Frame::Response(data) = frame {
                    let _ = Identified::decode(data);
                }
                rest = &rest[bytes..];
            }
            Ok(Decoded::Incomplete { missing }) => {
                assert!(missing > 0 && rest.len() + missing <= FRAME_BYTES_MAX + 4);
                break;
            }
            Err(error) => {
                // More bytes make it no better.
                let longer = [rest, &[0; 16]].concat();
                assert_eq!(decode(&longer, FRAME_BYTES_MAX), Err(error));
                break;
            }
        }
    }
}

/// A frame is written as it was read.
fn same_again(frame: &Frame<'_>, bytes: &[u8]) {
    let mut written = Vec::new();
    frame.encode(&mut written);
    assert_eq!(written, bytes);
}

/// However a frame is cut, its beginning is neither a frame nor an error, and asks for no more than is missing.
fn prefixes_are_incomplete(bytes: &[u8]) {
    for length in 0..bytes.len() {
        match decode(&bytes[..length], FRAME_BYTES_MAX) {
            Ok(Decoded::Incomplete { missing }) => assert!(missing > 0 && length + missing <= bytes.len()),
            other => panic!("{length} bytes of a frame are {other:?}"),
        }
    }
}
