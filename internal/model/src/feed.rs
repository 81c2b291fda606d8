//! What the server writes into a user's feed.

use lockstep_protocol::{Body, ConversationId, DeviceId, Entry, Kind};

use crate::ConversationKind;

/// A change that a feed's system entry tells of. Bodies that this version does not know are passed on unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedChange {
    /// The user is a member of one more conversation.
    ConversationAdded {
        /// Which.
        conversation: ConversationId,
        /// Of which kind.
        kind: ConversationKind,
    },
    /// The user is no member of a conversation any more: left, or removed.
    ConversationRemoved {
        /// Which.
        conversation: ConversationId,
    },
    /// The user has one more device.
    DeviceLinked {
        /// Which.
        device: DeviceId,
    },
    /// A device of the user is called otherwise.
    DeviceRenamed {
        /// Which.
        device: DeviceId,
    },
    /// A device of the user is gone.
    DeviceRemoved {
        /// Which.
        device: DeviceId,
    },
}

impl FeedChange {
    /// The body of the system entry.
    pub fn to_body(self) -> Body {
        let json = match self {
            Self::ConversationAdded { conversation, kind } => {
                format!(r#"{{"type":"conversation_added","conversation":"{conversation}","kind":"{}"}}"#, kind.as_str())
            }
            Self::ConversationRemoved { conversation } => {
                format!(r#"{{"type":"conversation_removed","conversation":"{conversation}"}}"#)
            }
            Self::DeviceLinked { device } => format!(r#"{{"type":"device_linked","device":"{device}"}}"#),
            Self::DeviceRenamed { device } => format!(r#"{{"type":"device_renamed","device":"{device}"}}"#),
            Self::DeviceRemoved { device } => format!(r#"{{"type":"device_removed","device":"{device}"}}"#),
        };
        Body::parse(&json).expect("ids and kinds need no escaping")
    }

    /// The change that an entry of a feed tells of.
    pub fn of(entry: &Entry) -> Option<Self> {
        if entry.kind != Kind::System {
            return None;
        }
        let field = |name| entry.body.text_field(name);
        match &*entry.body.type_name() {
            "conversation_added" => Some(Self::ConversationAdded {
                conversation: field("conversation")?.parse().ok()?,
                kind: ConversationKind::from_text(&field("kind")?)?,
            }),
            "conversation_removed" => {
                Some(Self::ConversationRemoved { conversation: field("conversation")?.parse().ok()? })
            }
            "device_linked" => Some(Self::DeviceLinked { device: field("device")?.parse().ok()? }),
            "device_renamed" => Some(Self::DeviceRenamed { device: field("device")?.parse().ok()? }),
            "device_removed" => Some(Self::DeviceRemoved { device: field("device")?.parse().ok()? }),
            _ => None,
        }
    }
}
