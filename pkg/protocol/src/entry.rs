//! One item of a conversation's log.

use crate::{Body, ClientMsgId, ConversationId, DeviceId, EntryId, Seq, ServiceName, UnixMs, UserId};
use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// One item of a conversation's log, as it stands in the log and on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Entry {
    /// The conversation.
    pub conversation: ConversationId,
    /// The place in the conversation's log.
    pub seq: Seq,
    /// The entry's own id.
    pub id: EntryId,
    /// What it is.
    pub kind: Kind,
    /// Who wrote it.
    pub sender: Sender,
    /// The device that sent it, where a device did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_device: Option<DeviceId>,
    /// The sender's own name for it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_msg_id: Option<ClientMsgId>,
    /// The content.
    pub body: Body,
    /// When the server took it.
    pub sent_at: UnixMs,
}

/// What an entry is. Kinds that this version does not know are kept and passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Something that a member or service says.
    Message,
    /// A new body for an earlier message.
    Edit,
    /// The withdrawal of an earlier message.
    Recall,
    /// A reaction to an earlier message.
    Reaction,
    /// A change that the server records.
    System,
    /// A kind of a later version.
    Other(CompactString),
}

impl Kind {
    /// The kind as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Message => "message",
            Self::Edit => "edit",
            Self::Recall => "recall",
            Self::Reaction => "reaction",
            Self::System => "system",
            Self::Other(text) => text,
        }
    }

    /// The kind that a sender names: one that devices and services may send, a message if none is named.
    pub fn from_sender(text: Option<&str>) -> Option<Self> {
        let kind = Self::from_text(text.unwrap_or("message"));
        (!matches!(kind, Self::System | Self::Other(_))).then_some(kind)
    }

    /// The kind that a text names.
    pub fn from_text(text: &str) -> Self {
        match text {
            "message" => Self::Message,
            "edit" => Self::Edit,
            "recall" => Self::Recall,
            "reaction" => Self::Reaction,
            "system" => Self::System,
            other => Self::Other(CompactString::new(other)),
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_text(&CompactString::deserialize(deserializer)?))
    }
}

/// Who wrote an entry: a user's id, or `service:` and the name of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sender(CompactString);

impl Sender {
    /// A user.
    pub fn user(user: &UserId) -> Self {
        Self(CompactString::new(user.as_str()))
    }

    /// A service.
    pub fn service(service: &ServiceName) -> Self {
        Self(CompactString::new(service.as_sender()))
    }

    /// The server itself, which writes the system entries.
    pub fn server() -> Self {
        Self(CompactString::const_new("service:lockstep"))
    }

    /// A sender as it was stored.
    pub fn from_stored(text: &str) -> Self {
        Self(CompactString::new(text))
    }

    /// The sender as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this user is the sender.
    pub fn is_user(&self, user: &UserId) -> bool {
        self.0 == user.as_str()
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
