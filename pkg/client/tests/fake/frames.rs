//! Frames of a server, with as little in them as will do.

use lockstep_client::protocol::{
    Body, ClientLimits, ConversationId, DeviceId, Entry, EntryId, Epoch, Kind, Sender, Seq, ServerFrame, UnixMs,
    UserId, Welcome,
};

pub(crate) fn conversation(n: u8) -> ConversationId {
    ConversationId::from_bytes([n; 16])
}

pub(crate) fn welcome(heartbeat_ms: u64) -> ServerFrame {
    ServerFrame::Welcome(Box::new(welcome_of(heartbeat_ms, false)))
}

/// To a device that is to be filled, or not.
pub(crate) fn welcome_of(heartbeat_ms: u64, unfilled: bool) -> Welcome {
    Welcome {
        reference: None,
        epoch: Epoch::from_bytes([1; 16]),
        user: UserId::new("ana").expect("a user"),
        device: DeviceId::from_bytes([2; 16]),
        feed: conversation(0),
        unfilled,
        server_time: UnixMs::ZERO,
        limits: ClientLimits {
            heartbeat_ms,
            ack_timeout_ms: 45_000,
            frame_bytes_max: 262_144,
            body_bytes_max: 65_536,
            window_entries: 256,
        },
    }
}

pub(crate) fn entry(n: u8, seq: u64) -> Entry {
    Entry {
        conversation: conversation(n),
        seq: Seq::new(seq),
        id: EntryId::from_bytes([seq as u8; 16]),
        kind: Kind::Message,
        sender: Sender::from_stored("ben"),
        sender_device: None,
        client_msg_id: None,
        body: Body::text("hi"),
        sent_at: UnixMs::ZERO,
    }
}
