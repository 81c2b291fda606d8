//! What became of one message for one device, as operators ask it.

use lockstep_protocol::{ConversationId, DeviceId, EntryId, IdError, Kind, Seq, UnixMs, UserId};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Which message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRef {
    /// The entry at this place, written `CONVERSATION:SEQ`.
    Place {
        /// The conversation.
        conversation: ConversationId,
        /// The place.
        seq: Seq,
    },
    /// The entry of this id. It is looked for in the conversations of the device's user, near the time in the id.
    Id(EntryId),
}

/// Why a text names no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message is CONVERSATION:SEQ or the id of an entry, which is a UUID")]
pub struct MessageRefError;

impl FromStr for MessageRef {
    type Err = MessageRefError;

    fn from_str(text: &str) -> Result<Self, MessageRefError> {
        let wrong = |_: IdError| MessageRefError;
        let Some((conversation, seq)) = text.split_once(':') else {
            return Ok(Self::Id(text.parse().map_err(wrong)?));
        };
        let seq = Some(seq).filter(|seq| seq.bytes().all(|byte| byte.is_ascii_digit()));
        let seq = seq.and_then(|seq| seq.parse().ok()).filter(|seq| (1..=Seq::MAX.get()).contains(seq));
        let seq = Seq::new(seq.ok_or(MessageRefError)?);
        Ok(Self::Place { conversation: conversation.parse().map_err(wrong)?, seq })
    }
}

/// What became of one message for one device. Never holds a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The device.
    pub device: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// The message's conversation, if the message was found or named by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// The message's place there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// The entry's id, if the log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EntryId>,
    /// What the entry is, if the log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The answer in one word.
    pub verdict: Verdict,
    /// The answer as a sentence.
    pub sentence: String,
    /// What is known to have happened, in the order of time.
    pub stages: Vec<Stage>,
    /// How far the device has acknowledged the conversation; absent if it never has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Seq>,
    /// How the device's connection stands to the conversation; absent if there is none, or it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<LiveTopic>,
    /// How far back the trace reaches that most stages are from; absent if it is off or has forgotten nothing. What happened before is known by the
    /// log and the cursors alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traced_since: Option<UnixMs>,
}

/// What became of a message for a device, in one word. The words stay what they are; there may be more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The device has acknowledged it.
    Acknowledged,
    /// It was written to the device's present connection, and is not acknowledged yet.
    InFlight,
    /// It is on its way to a live connection.
    Waiting,
    /// The conversation is in log mode: the connection reads up to it.
    Reading,
    /// The conversation is in log mode, and the connection waits for acknowledgements.
    WindowFull,
    /// The connection is being let in: its conversations are not open yet.
    Opening,
    /// The connection is there and did not answer in time: what is written to it is not taken.
    Busy,
    /// The device has no connection.
    Away,
    /// The device has been removed.
    DeviceRemoved,
    /// The user was no member when it was committed.
    NotMember,
    /// The user has hidden this part of the conversation.
    Hidden,
    /// Retention has taken it.
    BelowFloor,
    /// It was recalled before the device had it: what the device gets is the stub.
    Recalled,
    /// The log has no such message.
    NotFound,
}

impl Verdict {
    /// The verdict as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::InFlight => "in_flight",
            Self::Waiting => "waiting",
            Self::Reading => "reading",
            Self::WindowFull => "window_full",
            Self::Opening => "opening",
            Self::Busy => "busy",
            Self::Away => "away",
            Self::DeviceRemoved => "device_removed",
            Self::NotMember => "not_member",
            Self::Hidden => "hidden",
            Self::BelowFloor => "below_floor",
            Self::Recalled => "recalled",
            Self::NotFound => "not_found",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stage {
    /// What.
    pub stage: StageName,
    /// When.
    pub at: UnixMs,
    /// By which connection of the device: its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The first entry that it concerned, where it concerned a stretch of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Seq>,
    /// The last entry that it concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Seq>,
}

/// What may happen to a message on its way to a device, or to the device meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// The server took it, and committed it then: the time that the entry carries.
    Committed,
    /// It was given to the broker.
    Published,
    /// The device connected.
    Connected,
    /// The device's connection ended.
    Disconnected,
    /// The conversation was in log mode: from `from` on it was read from the log.
    Behind,
    /// The conversation had reached the log's head: it was live again.
    Live,
    /// It was given to the device's socket.
    Delivered,
    /// The device acknowledged up to `to`.
    Acknowledged,
    /// It was recalled.
    Recalled,
    /// The device was removed.
    Removed,
}

impl StageName {
    /// The stage as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Published => "published",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Behind => "behind",
            Self::Live => "live",
            Self::Delivered => "delivered",
            Self::Acknowledged => "acknowledged",
            Self::Recalled => "recalled",
            Self::Removed => "removed",
        }
    }
}

/// How a live connection stands to one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LiveTopic {
    /// The connection's generation.
    pub generation: u64,
    /// How its session stands to the conversation.
    #[serde(flatten)]
    pub topic: TopicState,
}

/// How a session stands to one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TopicState {
    /// What it does about it.
    pub mode: TopicMode,
    /// The next entry to deliver; 0 if the session has no row of the conversation.
    pub next: Seq,
    /// Everything up to here is acknowledged, or was not to be delivered on this connection.
    pub acked: Seq,
    /// Deliveries of the conversation without an acknowledgement.
    pub in_flight: u64,
}

/// What a session does about a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TopicMode {
    /// The device's conversations are not open yet.
    Opening,
    /// It does not follow the conversation.
    NotFollowed,
    /// It delivers what the broker brings.
    Live,
    /// In log mode: it reads the log, or waits for its turn to read.
    Reading,
    /// In log mode: it waits until the device has acknowledged enough.
    WindowFull,
    /// The user's stay is over, and it waits for acknowledgements alone.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_texts_name_a_message() {
        let id = "0190c2a0-0000-7000-8000-000000000001";
        let place = |seq| MessageRef::Place { conversation: id.parse().unwrap(), seq: Seq::new(seq) };
        assert_eq!(id.parse(), Ok(MessageRef::Id(id.parse().unwrap())));
        assert_eq!(format!("{id}:7").parse(), Ok(place(7)));
        for wrong in
            ["", "7", ":7", "x:7", &format!("{id}:"), &format!("{id}:0"), &format!("{id}:+7"), &format!("{id}:x")]
        {
            assert_eq!(wrong.parse::<MessageRef>(), Err(MessageRefError), "{wrong}");
        }
        assert_eq!(format!("{id}:9007199254740992").parse::<MessageRef>(), Err(MessageRefError));
    }

    #[test]
    fn words_are_those_of_the_json() {
        let json = |word: &str| format!("{word:?}");
        for verdict in
            [Verdict::InFlight, Verdict::WindowFull, Verdict::DeviceRemoved, Verdict::NotMember, Verdict::BelowFloor]
        {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), json(verdict.as_str()));
        }
        assert_eq!(serde_json::to_string(&StageName::Behind).unwrap(), json(StageName::Behind.as_str()));
    }
}
