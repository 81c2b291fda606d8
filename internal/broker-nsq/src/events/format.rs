//! An event as the body of a message: one JSON object (RFC 8259). `docs/nsq.md` describes it as stable.

use lockstep_model::{ConversationId, Seq, UnixMs};
use lockstep_model::{DeviceChange, DeviceId, EntryId, Event, Kind, Sender, UserId};
use serde::Serialize;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Wire<'a> {
    Connect {
        user: &'a UserId,
        device: DeviceId,
        kind: &'static str,
        generation: u64,
        at: UnixMs,
    },
    Disconnect {
        user: &'a UserId,
        device: DeviceId,
        generation: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        at: UnixMs,
    },
    Message {
        conversation: ConversationId,
        seq: Seq,
        id: EntryId,
        kind: &'a Kind,
        sender: &'a Sender,
        sent_at: UnixMs,
    },
    Read {
        user: &'a UserId,
        conversation: ConversationId,
        seq: Seq,
        at: UnixMs,
    },
    Device {
        user: &'a UserId,
        device: DeviceId,
        kind: &'static str,
        change: DeviceChange,
        at: UnixMs,
    },
    PushWanted {
        user: &'a UserId,
        device: DeviceId,
        at: UnixMs,
    },
}

/// The body that tells of an event.
pub(super) fn body(event: &Event) -> Vec<u8> {
    let wire = match event {
        Event::Connect { user, device, kind, generation, at } => {
            Wire::Connect { user, device: *device, kind: kind.as_str(), generation: generation.0, at: *at }
        }
        Event::Disconnect { user, device, generation, reason, at } => Wire::Disconnect {
            user,
            device: *device,
            generation: generation.0,
            reason: reason.map(|code| code.name()),
            at: *at,
        },
        Event::Message { conversation, seq, id, kind, sender, sent_at } => {
            Wire::Message { conversation: *conversation, seq: *seq, id: *id, kind, sender, sent_at: *sent_at }
        }
        Event::Read { user, conversation, seq, at } => {
            Wire::Read { user, conversation: *conversation, seq: *seq, at: *at }
        }
        Event::Device { user, device, kind, change, at } => {
            Wire::Device { user, device: *device, kind: kind.as_str(), change: *change, at: *at }
        }
        Event::PushWanted { user, device, at } => Wire::PushWanted { user, device: *device, at: *at },
    };
    serde_json::to_vec(&wire).expect("an event is written to memory")
}
