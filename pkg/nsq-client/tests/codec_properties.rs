//! Frames survive any way of being cut into pieces, and commands any names and numbers.

mod check;

use lockstep_nsq_client::codec::{Decoded, Frame, decode};
use lockstep_nsq_client::{ErrorCode, Message, MessageId};
use proptest::prelude::*;

/// A frame that owns its bytes.
#[derive(Debug, Clone)]
enum Owned {
    Response(Vec<u8>),
    Error(Vec<u8>),
    Message { timestamp_ns: i64, attempts: u16, id: [u8; 16], body: Vec<u8> },
}

impl Owned {
    fn frame(&self) -> Frame<'_> {
        match self {
            Self::Response(data) => Frame::Response(data),
            Self::Error(text) => Frame::Error { code: ErrorCode::of(text), text },
            Self::Message { timestamp_ns, attempts, id, body } => {
                Frame::Message(Message { timestamp_ns: *timestamp_ns, attempts: *attempts, id: MessageId(*id), body })
            }
        }
    }
}

fn any_frame() -> impl Strategy<Value = Owned> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        bytes().prop_map(Owned::Response),
        bytes().prop_map(Owned::Error),
        (any::<i64>(), any::<u16>(), any::<[u8; 16]>(), bytes())
            .prop_map(|(timestamp_ns, attempts, id, body)| Owned::Message { timestamp_ns, attempts, id, body }),
    ]
}

proptest! {
    #[test]
    fn frames_survive_any_splits(
        frames in prop::collection::vec(any_frame(), 1..20),
        pieces in prop::collection::vec(1usize..60, 1..200),
    ) {
        let mut wire = Vec::new();
        frames.iter().for_each(|frame| frame.frame().encode(&mut wire));
        let mut expected = frames.iter();
        let (mut arrived, mut kept) = (&wire[..], Vec::new());
        for piece in pieces.into_iter().chain(std::iter::repeat(64)) {
            let (now, later) = arrived.split_at(piece.min(arrived.len()));
            kept.extend_from_slice(now);
            arrived = later;
            let mut taken = 0;
            while let Ok(Decoded::Frame { frame, bytes }) = decode(&kept[taken..], 1_000) {
                prop_assert_eq!(Some(frame), expected.next().map(Owned::frame));
                taken += bytes;
            }
            kept.drain(..taken);
            if arrived.is_empty() {
                break;
            }
        }
        prop_assert!(kept.is_empty() && expected.next().is_none());
    }

    #[test]
    fn any_bytes_hold(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check::bytes(&bytes);
    }

    #[test]
    fn damaged_frames_hold(frame in any_frame(), index in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut wire = Vec::new();
        frame.frame().encode(&mut wire);
        let index = index.index(wire.len());
        wire[index] = byte;
        check::bytes(&wire);
    }
}
