//! Text to frame and frame to text.

use crate::bootstrap::{BootstrapFrame, Chunk, Coverage, Start};
use crate::limits::{
    BOOTSTRAP_ENTRIES_MAX, CHUNK_BYTES_MAX, CURSORS_PER_FRAME_MAX, SIGNAL_BYTES_MAX, UNREAD_CONVERSATIONS_MAX,
    WATCHED_USERS_MAX,
};
use crate::{
    Ack, Body, BodyError, ClientFrame, ClientMsgId, Code, Content, ConversationId, Entry, Kind, Offset, Ref, Resume,
    Send, Seq, ServerFrame, StateChange, Target, UserId, push_entries, push_entry,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Why a text is no frame. The sentence is fit for an error answer; it never repeats what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// What to answer.
    pub code: Code,
    /// The request's `ref`, if it could be read.
    pub reference: Option<Ref>,
    /// What is wrong.
    pub message: String,
}

/// What every frame of a device begins with, read before the rest.
#[derive(Deserialize)]
pub(crate) struct Head<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(rename = "ref", default, borrow)]
    reference: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SendWire<'a> {
    #[serde(default)]
    conversation: Option<ConversationId>,
    #[serde(default)]
    user: Option<UserId>,
    client_msg_id: ClientMsgId,
    #[serde(default, borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct SignalWire<'a> {
    conversation: ConversationId,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
struct WatchWire<'a> {
    users: Cow<'a, [UserId]>,
}

#[derive(Serialize, Deserialize)]
struct ReadWire {
    conversation: ConversationId,
    seq: Seq,
}

#[derive(Serialize, Deserialize)]
struct StateWire {
    conversation: ConversationId,
    #[serde(flatten)]
    change: StateChange,
}

#[derive(Serialize, Deserialize)]
struct UnreadWire {
    conversations: Vec<ConversationId>,
}

/// Reads a frame of a device. Unknown fields are ignored.
///
/// # Errors
///
/// `bad_json`, `unknown_type`, `bad_frame`, `bad_body` or `body_too_large`: none of them closes the connection.
pub fn decode_client(text: &str) -> Result<ClientFrame, DecodeError> {
    let head = head(text)?;
    let reference = match head.reference {
        None => None,
        Some(raw) => Some(
            serde_json::from_str::<Ref>(raw.get())
                .map_err(|_| fail(Code::BadFrame, None, "\"ref\" must be a whole number from 0 to 2^53 - 1."))?,
        ),
    };
    match &*head.kind {
        "ack" => {
            let ack: Ack = fields(text, reference)?;
            at_most(ack.cursors.len(), CURSORS_PER_FRAME_MAX, "cursors", reference)?;
            Ok(ClientFrame::Ack(ack))
        }
        "bootstrap" | "chunk" | "chunk_ack" | "coverage" | "fill_refuse" => {
            decode_bootstrap(&head.kind, text, reference).map(ClientFrame::Bootstrap)
        }
        "heartbeat" => Ok(ClientFrame::Heartbeat),
        "hello" => fields(text, reference).map(ClientFrame::Hello),
        "read" => {
            let ReadWire { conversation, seq } = fields(text, reference)?;
            Ok(ClientFrame::Read { reference, conversation, seq })
        }
        "renew" => fields(text, reference).map(ClientFrame::Renew),
        "resume" => {
            let resume: Resume = fields(text, reference)?;
            at_most(resume.conversations.len(), CURSORS_PER_FRAME_MAX, "conversations", reference)?;
            Ok(ClientFrame::Resume(resume))
        }
        "send" => decode_send(fields(text, reference)?, reference).map(ClientFrame::Send),
        "signal" => decode_signal(fields(text, reference)?, reference),
        "watch" => {
            let users = fields::<WatchWire<'_>>(text, reference)?.users.into_owned();
            at_most(users.len(), WATCHED_USERS_MAX, "users", reference)?;
            Ok(ClientFrame::Watch { reference, users })
        }
        "state" => {
            let StateWire { conversation, change } = fields(text, reference)?;
            Ok(ClientFrame::State { reference, conversation, change })
        }
        "unread" => {
            let UnreadWire { conversations } = fields(text, reference)?;
            at_most(conversations.len(), UNREAD_CONVERSATIONS_MAX, "conversations", reference)?;
            Ok(ClientFrame::Unread { reference, conversations })
        }
        _ => Err(fail(Code::UnknownType, reference, Code::UnknownType.spec().sentence)),
    }
}

pub(crate) fn head(text: &str) -> Result<Head<'_>, DecodeError> {
    // An array would fill a struct's fields by position: only an object may.
    if !text.trim_start().starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => fail(Code::BadFrame, None, "A frame is a JSON object."),
            Err(error) => fail(Code::BadJson, None, &sentence(&error)),
        });
    }
    serde_json::from_str(text).map_err(|error| {
        let code = if error.is_syntax() || error.is_eof() { Code::BadJson } else { Code::BadFrame };
        fail(code, None, &sentence(&error))
    })
}

fn decode_send(wire: SendWire<'_>, reference: Option<Ref>) -> Result<Send, DecodeError> {
    let target = match (wire.conversation, wire.user) {
        (Some(conversation), None) => Target::Conversation(conversation),
        (None, Some(user)) => Target::User(user),
        _ => return Err(fail(Code::BadFrame, reference, "A send names either \"conversation\" or \"user\".")),
    };
    let body = body(wire.body, reference)?;
    let kind = Kind::from_sender(wire.kind.as_deref()).ok_or_else(|| {
        fail(Code::BadFrame, reference, "\"kind\" must be \"message\", \"edit\", \"recall\" or \"reaction\".")
    })?;
    Content::of(&kind, &body).map_err(|error| fail(Code::BadBody, reference, &error.to_string()))?;
    Ok(Send { reference, target, client_msg_id: wire.client_msg_id, kind, body })
}

fn decode_signal(wire: SignalWire<'_>, reference: Option<Ref>) -> Result<ClientFrame, DecodeError> {
    let bytes = wire.body.get().len();
    if bytes > SIGNAL_BYTES_MAX {
        let message = format!("the signal's body has {bytes} bytes; at most {SIGNAL_BYTES_MAX} are allowed");
        return Err(fail(Code::BodyTooLarge, reference, &message));
    }
    Ok(ClientFrame::Signal { reference, conversation: wire.conversation, body: body(wire.body, reference)? })
}

fn decode_bootstrap(kind: &str, text: &str, reference: Option<Ref>) -> Result<BootstrapFrame, DecodeError> {
    Ok(match kind {
        "bootstrap" => {
            let start: Start = fields(text, reference)?;
            at_most(start.at.len(), CURSORS_PER_FRAME_MAX, "at", reference)?;
            if !(1..=BOOTSTRAP_ENTRIES_MAX).contains(&start.entries) {
                let message = format!("\"entries\" must be from 1 to {BOOTSTRAP_ENTRIES_MAX}.");
                return Err(fail(Code::BadFrame, reference, &message));
            }
            BootstrapFrame::Start(start)
        }
        "coverage" => {
            let coverage: Coverage = fields(text, reference)?;
            at_most(coverage.conversations.len(), CURSORS_PER_FRAME_MAX, "conversations", reference)?;
            BootstrapFrame::Coverage(coverage)
        }
        "chunk" => {
            let chunk: Chunk = fields(text, reference)?;
            if chunk.body.len() > CHUNK_BYTES_MAX {
                let message = format!("the body has {} bytes; at most {CHUNK_BYTES_MAX} are allowed", chunk.body.len());
                return Err(fail(Code::ChunkTooLarge, reference, &message));
            }
            if chunk.from_seq > chunk.to_seq || chunk.number == 0 {
                let message = "A chunk's \"number\" begins with 1, and \"from_seq\" is at most \"to_seq\".";
                return Err(fail(Code::BadFrame, reference, message));
            }
            BootstrapFrame::Chunk { reference, chunk: Box::new(chunk) }
        }
        "chunk_ack" => BootstrapFrame::Ack(fields(text, reference)?),
        _ => BootstrapFrame::Refuse(fields(text, reference)?),
    })
}

fn body(raw: &RawValue, reference: Option<Ref>) -> Result<Body, DecodeError> {
    Body::from_borrowed(raw).map_err(|error| {
        let code = match error {
            BodyError::TooLarge { .. } => Code::BodyTooLarge,
            BodyError::TooDeep | BodyError::NoType => Code::BadBody,
        };
        fail(code, reference, &error.to_string())
    })
}

pub(crate) fn fields<'a, T: Deserialize<'a>>(text: &'a str, reference: Option<Ref>) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| fail(Code::BadFrame, reference, &sentence(&error)))
}

fn at_most(count: usize, most: usize, field: &str, reference: Option<Ref>) -> Result<(), DecodeError> {
    if count <= most {
        return Ok(());
    }
    Err(fail(Code::BadFrame, reference, &format!("\"{field}\" has {count} items; at most {most} are allowed.")))
}

pub(crate) fn fail(code: Code, reference: Option<Ref>, message: &str) -> DecodeError {
    DecodeError { code, reference, message: message.to_owned() }
}

/// serde_json's sentence, without what the device sent: a token could stand in it.
///
/// Its data errors read `invalid type: string "...", expected a seq at line 1 column 9`: what stands between the first
/// colon and the last `expected` is the device's.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let Some((what, rest)) = text.split_once(": ").filter(|(what, _)| what.starts_with("invalid ")) else {
        return text;
    };
    match rest.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{what}, expected {expected}"),
        None => format!("{what} at line {} column {}", error.line(), error.column()),
    }
}

/// Writes a frame of a device.
pub fn encode_client(frame: &ClientFrame) -> String {
    #[derive(Serialize)]
    struct Tagged<T> {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<Ref>,
        #[serde(flatten)]
        fields: T,
    }
    fn text<T: Serialize>(kind: &'static str, reference: Option<Ref>, fields: T) -> String {
        json(&Tagged { kind, reference, fields })
    }
    match frame {
        // `Hello` has its own `ref`.
        ClientFrame::Hello(hello) => text("hello", None, hello),
        ClientFrame::Renew(renew) => text("renew", None, renew),
        ClientFrame::Resume(resume) => text("resume", None, resume),
        ClientFrame::Send(send) => encode_send(send),
        ClientFrame::Ack(ack) => encode_ack(&ack.cursors),
        ClientFrame::Read { reference, conversation, seq } => {
            text("read", *reference, ReadWire { conversation: *conversation, seq: *seq })
        }
        ClientFrame::Signal { reference, conversation, body } => encode_signal(*reference, *conversation, body),
        ClientFrame::Watch { reference, users } => text("watch", *reference, WatchWire { users: Cow::Borrowed(users) }),
        ClientFrame::State { reference, conversation, change } => {
            text("state", *reference, StateWire { conversation: *conversation, change: *change })
        }
        ClientFrame::Unread { reference, conversations } => {
            text("unread", *reference, UnreadWire { conversations: conversations.clone() })
        }
        ClientFrame::Bootstrap(frame) => match frame {
            // These have their own `ref`.
            BootstrapFrame::Start(start) => text("bootstrap", None, start),
            BootstrapFrame::Refuse(refuse) => text("fill_refuse", None, refuse),
            BootstrapFrame::Coverage(coverage) => text("coverage", None, coverage),
            BootstrapFrame::Ack(ack) => text("chunk_ack", None, ack),
            BootstrapFrame::Chunk { reference, chunk } => text("chunk", *reference, chunk),
        },
        ClientFrame::Heartbeat => r#"{"type":"heartbeat"}"#.to_owned(),
    }
}

/// Raw JSON does not pass through serde's `flatten`, so a send is written as one struct.
fn encode_send(send: &Send) -> String {
    #[derive(Serialize)]
    struct Wire<'a> {
        #[serde(rename = "type")]
        frame: &'static str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<Ref>,
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation: Option<ConversationId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a UserId>,
        client_msg_id: &'a ClientMsgId,
        #[serde(skip_serializing_if = "Option::is_none")]
        kind: Option<&'a str>,
        body: &'a Body,
    }
    let (conversation, user) = match &send.target {
        Target::Conversation(conversation) => (Some(*conversation), None),
        Target::User(user) => (None, Some(user)),
    };
    json(&Wire {
        frame: "send",
        reference: send.reference,
        conversation,
        user,
        client_msg_id: &send.client_msg_id,
        kind: (send.kind != Kind::Message).then(|| send.kind.as_str()),
        body: &send.body,
    })
}

fn encode_signal(reference: Option<Ref>, conversation: ConversationId, body: &Body) -> String {
    #[derive(Serialize)]
    struct Wire<'a> {
        #[serde(rename = "type")]
        frame: &'static str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<Ref>,
        conversation: ConversationId,
        body: &'a Body,
    }
    json(&Wire { frame: "signal", reference, conversation, body })
}

fn encode_ack(cursors: &[Offset]) -> String {
    #[derive(Serialize)]
    struct Wire<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        cursors: &'a [Offset],
    }
    json(&Wire { kind: "ack", cursors })
}

/// Writes a frame of the server.
pub fn encode_server(frame: &ServerFrame) -> String {
    let mut text = String::new();
    match frame {
        ServerFrame::Entry(entry) => push_entry(&mut text, entry),
        ServerFrame::Entries { entries } => push_entries(&mut text, entries.iter()),
        ServerFrame::Bootstrap(news) => text = json(news),
        other => text = json(other),
    }
    text
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("frames have text keys and no failing values")
}

/// Reads a frame of the server, as a device does. `None` is a frame of a type that this version does not know, to be
/// ignored.
///
/// # Errors
///
/// `bad_json` or `bad_frame`: the other side is no Lockstep server.
pub fn decode_server(text: &str) -> Result<Option<ServerFrame>, DecodeError> {
    #[derive(Deserialize)]
    struct Entries {
        entries: Vec<Entry>,
    }
    let frame = match &*head(text)?.kind {
        // Raw bodies do not pass through serde's tagged enums: these are read by hand.
        "entry" => ServerFrame::Entry(fields(text, None)?),
        "signal" => ServerFrame::Signal(fields(text, None)?),
        "entries" => ServerFrame::Entries { entries: fields::<Entries>(text, None)?.entries },
        "bootstrap_started" | "bootstrap_conversation" | "chunk" | "fill" | "chunk_acked" | "bootstrap_progress" => {
            ServerFrame::Bootstrap(fields(text, None)?)
        }
        "welcome" | "offsets" | "caught_up" | "skip" | "reset" | "sent" | "done" | "presence" | "devices"
        | "unread" | "receipts" | "heartbeat" | "error" => fields(text, None)?,
        _ => return Ok(None),
    };
    Ok(Some(frame))
}
