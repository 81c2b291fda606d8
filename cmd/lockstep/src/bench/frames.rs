//! Frames as the light devices read and write them: little is looked at, but what arrives is really parsed.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Write;

/// Any frame of the server. What a kind of frame does not have is absent; all text is borrowed from the frame.
#[derive(Debug, Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: &'a str,
    #[serde(rename = "ref")]
    pub(super) reference: Option<u64>,
    pub(super) conversation: Option<&'a str>,
    pub(super) seq: Option<u64>,
    pub(super) id: Option<&'a str>,
    #[serde(borrow)]
    pub(super) body: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) entries: Option<Vec<BatchedEntry<'a>>>,
    #[serde(default)]
    pub(super) duplicate: bool,
    #[serde(borrow)]
    pub(super) code: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) message: Option<Cow<'a, str>>,
}

/// An entry of a batch frame.
#[derive(Debug, Deserialize)]
pub(super) struct BatchedEntry<'a> {
    pub(super) conversation: &'a str,
    pub(super) seq: u64,
    pub(super) id: &'a str,
    #[serde(borrow)]
    pub(super) body: &'a RawValue,
}

/// Least bytes of a body: its braces, names and at least one character of text.
pub(super) const BODY_BYTES_MIN: usize = 26;

/// A body of exactly so many bytes of JSON.
pub(super) fn body(bytes: usize) -> String {
    let text = "x".repeat(bytes.saturating_sub(BODY_BYTES_MIN - 1));
    format!(r#"{{"type":"text","text":"{text}"}}"#)
}

/// A `send` frame.
pub(super) fn send(reference: u64, conversation: &str, client_msg_id: &str, body: &str) -> String {
    let mut frame = String::with_capacity(160 + body.len());
    write!(
        frame,
        r#"{{"type":"send","ref":{reference},"conversation":"{conversation}","client_msg_id":"{client_msg_id}","body":{body}}}"#
    )
    .expect("a String takes everything");
    frame
}

/// An `ack` frame.
pub(super) fn ack<'a>(cursors: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut frame = String::from(r#"{"type":"ack","cursors":["#);
    for (index, (conversation, seq)) in cursors.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(frame, r#"{comma}{{"conversation":"{conversation}","seq":{seq}}}"#).expect("a String takes everything");
    }
    frame.push_str("]}");
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_size() {
        for bytes in [BODY_BYTES_MIN, 64, 1_000] {
            let body = body(bytes);
            assert_eq!(body.len(), bytes);
            assert!(lockstep_protocol::Body::parse(&body).is_ok());
        }
    }

    #[test]
    fn the_server_understands_what_is_written() {
        let conversation = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
        for frame in [send(7, conversation, "a", &body(64)), ack([(conversation, 3), (conversation, 4)].into_iter())] {
            assert!(lockstep_protocol::decode_client(&frame).is_ok(), "{frame}");
        }
    }
}
