//! The body of an entry: a JSON object that names its `type`, kept as the text it came in.

use crate::Seq;
use crate::limits::{BODY_BYTES_MAX, BODY_DEPTH_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A checked body: a JSON object with a `type` of 1 to 64 characters, at most [`BODY_BYTES_MAX`] bytes and at most
/// [`BODY_DEPTH_MAX`] levels deep. The text is stored and passed on as the sender wrote it.
#[derive(Debug, Clone)]
pub struct Body(Box<RawValue>);

/// Why a JSON text is no body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Too many bytes.
    #[error("the body has {bytes} bytes; at most {BODY_BYTES_MAX} are allowed")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// Nested too deeply.
    #[error("the body is nested more than {BODY_DEPTH_MAX} levels deep")]
    TooDeep,
    /// Not an object with a type.
    #[error("the body must be a JSON object with a \"type\" of 1 to 64 characters")]
    NoType,
}

impl Body {
    /// Checks a JSON text. The bytes are kept as they are.
    pub fn parse(json: &str) -> Result<Self, BodyError> {
        check_size(json)?;
        let raw = serde_json::from_str(json).map_err(|_| BodyError::NoType)?;
        Self::from_borrowed(raw)
    }

    /// Checks a value that is known to be JSON.
    pub fn from_raw(raw: Box<RawValue>) -> Result<Self, BodyError> {
        check(&raw)?;
        Ok(Self(raw))
    }

    /// Checks a value that is known to be JSON and copies it only if it is a body.
    pub fn from_borrowed(raw: &RawValue) -> Result<Self, BodyError> {
        check(raw)?;
        Ok(Self(raw.to_owned()))
    }

    /// Takes a text that was checked before it was stored.
    pub fn from_stored(json: String) -> Result<Self, BodyError> {
        RawValue::from_string(json).map(Self).map_err(|_| BodyError::NoType)
    }

    /// A `text` body, the commonest of all.
    pub fn text(text: &str) -> Self {
        let json = serde_json::json!({"type": "text", "text": text}).to_string();
        Self::written(json)
    }

    /// The body of an edit: another body for the message that stands at `target`.
    pub fn edit(target: Seq, body: &Self) -> Self {
        Self::written(format!(r#"{{"type":"edit","target":{target},"body":{}}}"#, body.as_json()))
    }

    /// The body of a recall of the message that stands at `target`.
    pub fn recall(target: Seq) -> Self {
        Self::written(format!(r#"{{"type":"recall","target":{target}}}"#))
    }

    /// The body of a reaction to the message that stands at `target`: made, or taken back.
    pub fn reaction(target: Seq, key: &str, on: bool) -> Self {
        let key = serde_json::Value::from(key);
        Self::written(format!(r#"{{"type":"reaction","target":{target},"key":{key},"on":{on}}}"#))
    }

    fn written(json: String) -> Self {
        Self::from_stored(json).expect("it was written as JSON")
    }

    /// What stands in place of a recalled message's body.
    pub fn recalled() -> Self {
        Self::written(r#"{"type":"recalled"}"#.to_owned())
    }

    /// Whether this is what stands in place of a recalled message's body.
    pub fn is_recalled(&self) -> bool {
        self.type_name() == "recalled"
    }

    /// The body as JSON text.
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The body's `type`.
    pub fn type_name(&self) -> Cow<'_, str> {
        type_of(self.as_json()).unwrap_or_default()
    }

    /// A field of the body that is a text.
    pub fn text_field(&self, name: &str) -> Option<String> {
        let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(self.as_json()).ok()?;
        match fields.remove(name)? {
            serde_json::Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}
impl Eq for Body {}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Body {
    /// Takes any JSON value: a device keeps bodies of types and shapes that it does not know. Servers check with
    /// [`Body::from_raw`] what devices send.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

fn check_size(json: &str) -> Result<(), BodyError> {
    if json.len() > BODY_BYTES_MAX {
        return Err(BodyError::TooLarge { bytes: json.len() });
    }
    if deeper_than(json, BODY_DEPTH_MAX) {
        return Err(BodyError::TooDeep);
    }
    Ok(())
}

fn check(raw: &RawValue) -> Result<(), BodyError> {
    let json = raw.get();
    check_size(json)?;
    // An array would fill a struct's fields by position: only an object may.
    let typed = json.starts_with('{') && type_of(json).is_some_and(|t| (1..=64).contains(&t.chars().count()));
    if typed { Ok(()) } else { Err(BodyError::NoType) }
}

fn type_of(json: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "type", borrow)]
        name: Cow<'a, str>,
    }
    serde_json::from_str::<Typed<'_>>(json).ok().map(|typed| typed.name)
}

/// Whether a JSON text opens more than `max` objects and arrays inside one another. Reads each byte once.
fn deeper_than(json: &str, max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_body() {
        let deep = |n: usize| format!("{{\"type\":\"x\",\"v\":{}{}}}", "[".repeat(n), "]".repeat(n));
        let fill = |n: usize| format!("{{\"type\":\"x\",\"v\":\"{}\"}}", "a".repeat(n));
        let cases: Vec<(String, Result<&str, BodyError>)> = vec![
            (r#"{"type":"text","text":"hi"}"#.into(), Ok("text")),
            (r#"{"v":1,"type":"poll"}"#.into(), Ok("poll")),
            (r#"{"type":"quo\"te"}"#.into(), Ok("quo\"te")),
            (deep(BODY_DEPTH_MAX - 1), Ok("x")),
            (deep(BODY_DEPTH_MAX), Err(BodyError::TooDeep)),
            (format!(r#"{{"type":"x","v":"{}"}}"#, "[".repeat(500)), Ok("x")),
            (fill(BODY_BYTES_MAX), Err(BodyError::TooLarge { bytes: BODY_BYTES_MAX + 19 })),
            (r#"{"text":"hi"}"#.into(), Err(BodyError::NoType)),
            (r#"{"type":""}"#.into(), Err(BodyError::NoType)),
            (r#"{"type":7}"#.into(), Err(BodyError::NoType)),
            (r#"["text"]"#.into(), Err(BodyError::NoType)),
            ("\"text\"".into(), Err(BodyError::NoType)),
            ("{".into(), Err(BodyError::NoType)),
        ];
        for (json, expected) in cases {
            let found = Body::parse(&json);
            let found = found.as_ref().map(|body| body.type_name()).map_err(Clone::clone);
            assert_eq!(found, expected.map(Cow::Borrowed), "{}", &json[..json.len().min(80)]);
        }
    }
}
