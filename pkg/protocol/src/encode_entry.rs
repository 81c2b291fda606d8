//! The frames that carry entries, written by hand: the hot path of delivery.
//!
//! An entry's parts are text already, so they are appended to the frame as they are. A serializer that writes bytes
//! would have to be checked for UTF-8 again.

use crate::{Entry, Seq, UnixMs};
use std::fmt::Write;
use uuid::Uuid;

/// What the parts of an entry besides its body take at most, in the usual case.
const ENTRY_BYTES: usize = 352;

/// Appends an `entry` frame: written once per entry and shared by all devices.
pub fn push_entry(text: &mut String, entry: &Entry) {
    text.reserve(ENTRY_BYTES + entry.body.as_json().len());
    text.push_str(r#"{"type":"entry","#);
    push_fields(text, entry);
}

/// Appends an `entries` frame.
pub fn push_entries<'a>(text: &mut String, entries: impl Iterator<Item = &'a Entry>) {
    text.push_str(r#"{"type":"entries","entries":["#);
    for (index, entry) in entries.enumerate() {
        text.push_str(if index == 0 { "{" } else { ",{" });
        push_fields(text, entry);
    }
    text.push_str("]}");
}

/// The fields in the order of [`Entry`], and the closing brace.
fn push_fields(text: &mut String, entry: &Entry) {
    // Every field is named, so that a new one cannot be forgotten here.
    let Entry { conversation, seq, id, kind, sender, sender_device, client_msg_id, body, sent_at } = entry;
    text.push_str(r#""conversation":""#);
    push_uuid(text, conversation.as_bytes());
    text.push_str(r#"","seq":"#);
    push_number(text, seq.get());
    text.push_str(r#","id":""#);
    push_uuid(text, id.as_bytes());
    text.push_str(r#"","kind":"#);
    push_string(text, kind.as_str());
    text.push_str(r#","sender":"#);
    push_string(text, sender.as_str());
    if let Some(device) = sender_device {
        text.push_str(r#","sender_device":""#);
        push_uuid(text, device.as_bytes());
        text.push('"');
    }
    if let Some(id) = client_msg_id {
        text.push_str(r#","client_msg_id":"#);
        push_string(text, id.as_str());
    }
    text.push_str(r#","body":"#);
    text.push_str(body.as_json());
    text.push_str(r#","sent_at":"#);
    push_number(text, sent_at.get());
    text.push('}');
}

fn push_uuid(text: &mut String, bytes: &[u8; 16]) {
    text.push_str(Uuid::from_bytes_ref(bytes).hyphenated().encode_lower(&mut Uuid::encode_buffer()));
}

/// The longest number on the wire: 2^53 - 1.
const DIGITS_MAX: usize = 16;
const _: () = assert!(Seq::MAX.get() < 10_u64.pow(DIGITS_MAX as u32) && UnixMs::MAX.get() == Seq::MAX.get());

fn push_number(text: &mut String, number: u64) {
    text.reserve(DIGITS_MAX);
    write!(text, "{number}").expect("a String takes everything");
}

/// A JSON string. Names that need no escaping, which is nearly all, are copied.
fn push_string(text: &mut String, value: &str) {
    if value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(value).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, ClientMsgId, ConversationId, DeviceId, EntryId, Kind, Sender};

    /// The frame as serde's derived code would write it.
    fn derived(entry: &Entry) -> String {
        format!(r#"{{"type":"entry",{}"#, &serde_json::to_string(entry).expect("an entry is JSON")[1..])
    }

    #[test]
    fn written_as_serde_would() {
        let plain = Entry {
            conversation: ConversationId::from_bytes([1; 16]),
            seq: Seq::MAX,
            id: EntryId::from_bytes([0xab; 16]),
            kind: Kind::Message,
            sender: Sender::from_stored("ana"),
            sender_device: None,
            client_msg_id: None,
            body: Body::text("hi"),
            sent_at: UnixMs::ZERO,
        };
        let full = Entry {
            kind: Kind::Other("quo\"te\\ \u{1}\n é 🦀".into()),
            sender: Sender::from_stored("a\"b"),
            sender_device: Some(DeviceId::from_bytes([2; 16])),
            client_msg_id: Some(ClientMsgId::new("\\").expect("a backslash may stand in it")),
            ..plain.clone()
        };
        let mut batch = String::new();
        push_entries(&mut batch, [&plain, &full].into_iter());
        let inner = |entry| derived(entry).replacen(r#""type":"entry","#, "", 1);
        assert_eq!(batch, format!(r#"{{"type":"entries","entries":[{},{}]}}"#, inner(&plain), inner(&full)));
        for entry in [plain, full] {
            let mut text = "before".to_owned();
            push_entry(&mut text, &entry);
            assert_eq!(text, format!("before{}", derived(&entry)));
        }
    }
}
