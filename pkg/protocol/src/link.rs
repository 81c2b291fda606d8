//! The frames between the server and a device that waits to be linked (`/v1/links/{id}/wait`).

use crate::codec::{fail, fields, head};
use crate::{Code, DecodeError, DeviceId, ErrorFrame, UnixMs, UserId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// A frame of the device that waits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LinkClientFrame {
    /// The first one: it is the device that asked.
    Wait {
        /// What only that device was told.
        secret: String,
    },
    /// The answer to a heartbeat.
    Heartbeat,
}

impl fmt::Debug for LinkClientFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wait { .. } => "Wait(..)",
            Self::Heartbeat => "Heartbeat",
        })
    }
}

/// A frame of the server. One of `Approved`, `Refused` and `Expired` is the last before it closes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LinkServerFrame {
    /// The device is one of the user's.
    Approved(Box<Linked>),
    /// It will not be.
    Refused {
        /// The name of the code that says why.
        code: Cow<'static, str>,
        /// The same as a sentence.
        message: Cow<'static, str>,
    },
    /// Nobody has said anything in time, or there is no such link.
    Expired,
    /// A sign of life, to be answered.
    Heartbeat,
    /// Something was wrong.
    Error(ErrorFrame),
}

impl LinkServerFrame {
    /// A refusal as the table of codes has it.
    pub fn refused(code: Code) -> Self {
        let spec = code.spec();
        Self::Refused { code: Cow::Borrowed(spec.name), message: Cow::Borrowed(spec.sentence) }
    }
}

/// What a device has once it is linked: the same as after a sign-in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// Whose it is.
    pub user: UserId,
    /// Its id.
    pub device: DeviceId,
    /// What it is to its user: `sub`.
    pub kind: Cow<'static, str>,
    /// For connections and requests: a secret.
    pub access_token: String,
    /// How long that is good, in milliseconds from now on.
    pub expires_in_ms: u64,
    /// For the next tokens: a secret, to be kept before it is used.
    pub refresh_token: String,
    /// Until when that is good.
    pub refresh_expires_at: UnixMs,
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked").field("user", &self.user).field("device", &self.device).finish_non_exhaustive()
    }
}

/// Reads a frame of a device that waits. Unknown fields are ignored.
///
/// # Errors
///
/// `bad_json`, `unknown_type` or `bad_frame`.
pub fn decode_link_client(text: &str) -> Result<LinkClientFrame, DecodeError> {
    match &*head(text)?.kind {
        "wait" | "heartbeat" => fields(text, None),
        _ => Err(fail(Code::UnknownType, None, Code::UnknownType.spec().sentence)),
    }
}

/// Reads a frame of the server; `None` for a type of a later version.
///
/// # Errors
///
/// `bad_json` or `bad_frame`.
pub fn decode_link_server(text: &str) -> Result<Option<LinkServerFrame>, DecodeError> {
    match &*head(text)?.kind {
        "approved" | "refused" | "expired" | "heartbeat" | "error" => fields(text, None).map(Some),
        _ => Ok(None),
    }
}

/// Writes a frame of a device that waits.
pub fn encode_link_client(frame: &LinkClientFrame) -> String {
    serde_json::to_string(frame).expect("a frame has text keys only")
}

/// Writes a frame of the server.
pub fn encode_link_server(frame: &LinkServerFrame) -> String {
    serde_json::to_string(frame).expect("a frame has text keys only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_that_waits_may_say() {
        let wait = |secret: &str| Ok(LinkClientFrame::Wait { secret: secret.to_owned() });
        let cases = [
            (r#"{"type":"wait","secret":"s","more":1}"#, wait("s")),
            (r#"{"type":"heartbeat"}"#, Ok(LinkClientFrame::Heartbeat)),
            (r#"{"type":"wait"}"#, Err(Code::BadFrame)),
            (r#"{"type":"wait","secret":5}"#, Err(Code::BadFrame)),
            (r#"["wait",{"secret":"s"}]"#, Err(Code::BadFrame)),
            (r#"{"type":"hello","token":"x"}"#, Err(Code::UnknownType)),
            (r#"{"secret":"s"}"#, Err(Code::BadFrame)),
            ("{", Err(Code::BadJson)),
            ("", Err(Code::BadJson)),
        ];
        for (text, expected) in cases {
            assert_eq!(decode_link_client(text).map_err(|error| error.code), expected, "{text}");
        }
        let secret = decode_link_client(r#"{"type":"wait","secret":5}"#).unwrap_err().message;
        assert!(!secret.contains('5'), "{secret}");
    }

    #[test]
    fn frames_of_later_versions_are_passed_over() {
        assert_eq!(decode_link_server(r#"{"type":"scanned","by":"ana"}"#), Ok(None));
        let refused = LinkServerFrame::refused(Code::LinkRefused);
        assert_eq!(decode_link_server(&encode_link_server(&refused)), Ok(Some(refused)));
    }
}
