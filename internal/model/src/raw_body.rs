//! What comes from NSQ as plain bytes, as the body of an entry.
//!
//! A JSON object with a `type` that is a text is a body as it stands. Other UTF-8 becomes a `text` body, all else a `bytes`
//! body in Base64. `docs/nsq.md` says so to those who publish.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockstep_protocol::{Body, BodyError, Code, limits};
use serde::Deserialize;
use std::borrow::Cow;

/// Why raw bytes are no body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RawBodyError {
    /// There are none.
    #[error("the message is empty")]
    Empty,
    /// As a body they are too large, nested too deeply, or of a type without a name.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl RawBodyError {
    /// The code that stands for it.
    pub fn code(&self) -> Code {
        match self {
            Self::Body(BodyError::TooLarge { .. }) => Code::BodyTooLarge,
            Self::Empty | Self::Body(BodyError::TooDeep | BodyError::NoType) => Code::BadBody,
        }
    }
}

/// The body that raw bytes become.
///
/// # Errors
///
/// [`RawBodyError`]: whoever sends the same again is refused again.
pub fn body_of_raw(raw: &[u8]) -> Result<Body, RawBodyError> {
    if raw.is_empty() {
        return Err(RawBodyError::Empty);
    }
    // No body is smaller than the bytes that it is made of.
    within(raw.len())?;
    let body = match std::str::from_utf8(raw) {
        Ok(text) if is_object_with_type(text) => return Ok(Body::parse(text)?),
        Ok(text) => Body::text(text),
        Err(_) => bytes_body(raw)?,
    };
    within(body.as_json().len())?;
    Ok(body)
}

fn within(bytes: usize) -> Result<(), BodyError> {
    if bytes > limits::BODY_BYTES_MAX { Err(BodyError::TooLarge { bytes }) } else { Ok(()) }
}

fn bytes_body(raw: &[u8]) -> Result<Body, BodyError> {
    // Nothing of Base64's alphabet has to be escaped in JSON.
    Body::from_stored(format!(r#"{{"type":"bytes","base64":"{}"}}"#, STANDARD.encode(raw)))
}

fn is_object_with_type(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "type", borrow)]
        _type: Cow<'a, str>,
    }
    // An array would fill the struct's fields by position: only an object may.
    let begins = text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{');
    begins && serde_json::from_str::<Typed<'_>>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_raw_bytes_become() {
        let cases: [(&[u8], &str); 13] = [
            (br#"{"type":"poll","n":1.50}"#, r#"{"type":"poll","n":1.50}"#),
            (b" {\"v\":1, \"type\":\"a\\nb\"}\n", "{\"v\":1, \"type\":\"a\\nb\"}"),
            (b"invoice ready", r#"{"text":"invoice ready","type":"text"}"#),
            ("gr\u{fc}n \u{1f980}".as_bytes(), "{\"text\":\"gr\u{fc}n \u{1f980}\",\"type\":\"text\"}"),
            (b"a\n\"b\"\\\0", r#"{"text":"a\n\"b\"\\\u0000","type":"text"}"#),
            (br#"{"text":"hi"}"#, r#"{"text":"{\"text\":\"hi\"}","type":"text"}"#),
            (br#"{"type":7}"#, r#"{"text":"{\"type\":7}","type":"text"}"#),
            (br#"{"type":"x"}{"type":"x"}"#, r#"{"text":"{\"type\":\"x\"}{\"type\":\"x\"}","type":"text"}"#),
            (br#"["x"]"#, r#"{"text":"[\"x\"]","type":"text"}"#),
            (b"{", r#"{"text":"{","type":"text"}"#),
            (b" ", r#"{"text":" ","type":"text"}"#),
            (b"\xff\x00\x01", r#"{"type":"bytes","base64":"/wAB"}"#),
            (b"\xef\xbb\xbf{\"type\":\"x\"}", "{\"text\":\"\u{feff}{\\\"type\\\":\\\"x\\\"}\",\"type\":\"text\"}"),
        ];
        for (raw, expected) in cases {
            let body = body_of_raw(raw).unwrap_or_else(|error| panic!("{error}: {raw:?}"));
            assert_eq!(body.as_json(), expected);
            assert_eq!(Body::parse(body.as_json()), Ok(body), "it is a body as devices send them");
        }
    }

    #[test]
    fn what_is_refused() {
        let most = limits::BODY_BYTES_MAX;
        let object = |depth: usize| format!("{{\"type\":\"x\",\"v\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let wrapped = r#"{"text":"","type":"text"}"#.len();
        let cases: [(Vec<u8>, Result<(), Code>); 11] = [
            (vec![], Err(Code::BadBody)),
            (vec![b'a'; most - wrapped], Ok(())),
            (vec![b'a'; most - wrapped + 1], Err(Code::BodyTooLarge)),
            (vec![b'"'; most / 2], Err(Code::BodyTooLarge)),
            (vec![0xff; most / 2], Ok(())),
            (vec![0xff; most / 4 * 3], Err(Code::BodyTooLarge)),
            (vec![b' '; most + 1], Err(Code::BodyTooLarge)),
            (object(limits::BODY_DEPTH_MAX - 1).into(), Ok(())),
            (object(limits::BODY_DEPTH_MAX).into(), Err(Code::BadBody)),
            (object(20_000).into(), Err(Code::BadBody)),
            (br#"{"type":""}"#.into(), Err(Code::BadBody)),
        ];
        for (raw, expected) in cases {
            let found = body_of_raw(&raw).map(drop).map_err(|error| error.code());
            assert_eq!(found, expected, "{} bytes: {:?}", raw.len(), &raw[..raw.len().min(20)]);
        }
        // What only looks deep is a text.
        assert!(body_of_raw("[".repeat(20_000).as_bytes()).is_ok());
    }
}
