//! What the server says of conversations, and what it is asked to make of them.

use lockstep_protocol::{ConversationId, Entry, Seq, UnixMs, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A JSON object of the application's own, which the server keeps and does not look at.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// A conversation as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// What it is.
    pub kind: ConversationKind,
    /// What it is called.
    #[serde(default)]
    pub title: Option<String>,
    /// Where its picture is.
    #[serde(default)]
    pub avatar: Option<String>,
    /// What the application keeps with it.
    #[serde(default)]
    pub custom: Option<JsonObject>,
    /// What newcomers see of what was before them.
    #[serde(default)]
    pub history: History,
    /// The other user of a direct conversation.
    #[serde(default)]
    pub peer: Option<UserId>,
    /// The last entry.
    pub head: Seq,
    /// The first entry that the log still holds.
    #[serde(default)]
    pub floor: Seq,
    /// When something was last written into it.
    #[serde(default)]
    pub active_at: UnixMs,
    /// Whether the user is in it now.
    pub member: bool,
    /// What the user may do in it.
    #[serde(default)]
    pub role: Option<Role>,
    /// How many members it has.
    #[serde(default)]
    pub members: u64,
    /// What the user keeps about it.
    #[serde(default)]
    pub state: MemberState,
}

/// What a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationKind {
    /// Of two users.
    Direct,
    /// Of those who were invited.
    Group,
    /// Open to join.
    Room,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// A member of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// What the member may do.
    pub role: Role,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Owner,
    /// Invite and remove members, change the title.
    Admin,
    /// Read, write and leave.
    Member,
    /// Something that this version does not know. The server refuses it as `bad_request`.
    #[serde(other)]
    Other,
}

/// What newcomers see of what was written before they joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum History {
    /// Nothing.
    #[default]
    None,
    /// The last so many entries, from 1 to 10,000.
    Last(u32),
    /// Everything that is there.
    All,
    /// Something that this version does not know. The server refuses it as `bad_request`.
    Other,
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Last(count) => serializer.serialize_u32(*count),
            Self::None => serializer.serialize_str("none"),
            Self::All => serializer.serialize_str("all"),
            Self::Other => serializer.serialize_str("other"),
        }
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = serde_json::Value::deserialize(deserializer)?;
        let last = wire.as_u64().and_then(|count| u32::try_from(count).ok()).map(Self::Last);
        Ok(match wire.as_str() {
            Some("none") => Self::None,
            Some("all") => Self::All,
            _ => last.unwrap_or(Self::Other),
        })
    }
}

/// What a user keeps about a conversation, for all own devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct MemberState {
    /// Whether it stands above the others.
    pub pinned: bool,
    /// Whether it is put away.
    pub archived: bool,
    /// Until when its messages make no noise; 0 for not at all.
    pub muted_until: UnixMs,
    /// Whether the user wants it to look unread.
    pub marked_unread: bool,
    /// What lies below is hidden from the user.
    pub delete_before: Seq,
}

/// A group or room to make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Draft {
    /// What it is called, in 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where its picture is: an http or https URL of at most 2,048 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// What the application keeps with it, in at most 8,192 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<JsonObject>,
    /// What newcomers see of what was before them; without a word nothing in a group and all in a room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Who is in it from the start beside the user: at most 1,000.
    pub members: Vec<UserId>,
}

impl Draft {
    /// With this title and these members.
    pub fn titled(title: impl Into<String>, members: impl Into<Vec<UserId>>) -> Self {
        Self { title: Some(title.into()), members: members.into(), ..Self::default() }
    }
}

/// What is to be changed of a group or room: what is absent stays, an inner `None` takes away. Bounds are those of [`Draft`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DetailsChange {
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Option<String>>,
    /// Where its picture is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Option<String>>,
    /// What the application keeps with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Option<JsonObject>>,
    /// What those see of what was before them who join from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

/// Which part of a log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// The newest entries.
    Latest,
    /// The newest entries below this place.
    Before(Seq),
    /// The oldest entries above this place.
    After(Seq),
}

/// Entries as they stand in the log: edits, recalls and reactions too, which [`crate::Thread`] folds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HistoryPage {
    /// In the order of the log. None at all means that the user may see nothing more that way.
    pub entries: Vec<Entry>,
    /// The first entry that the log still holds.
    pub floor: Seq,
    /// The last entry.
    pub head: Seq,
}

/// How much is unread in all conversations together: what a badge shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct UnreadTotal {
    /// Messages of others.
    pub unread: u64,
    /// Whether there are more than that.
    pub more: bool,
    /// How many of them mention the user.
    pub mentions: u64,
    /// Conversations that the user wants to look unread.
    pub marked: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_later_server_says_is_not_in_the_way() {
        let member: Member = serde_json::from_str(r#"{"user":"ana","role":"guest","since":1}"#).expect("a member");
        assert_eq!(member.role, Role::Other);
        for (wire, history) in [
            (json!("none"), History::None),
            (json!("all"), History::All),
            (json!(50), History::Last(50)),
            (json!("a week"), History::Other),
            (json!({"days": 7}), History::Other),
        ] {
            assert_eq!(serde_json::from_value::<History>(wire).expect("any will do"), history);
        }
    }

    #[test]
    fn what_is_absent_stays_and_null_takes_away() {
        let change = DetailsChange { avatar: Some(None), history: Some(History::Last(5)), ..DetailsChange::default() };
        assert_eq!(json!(change), json!({"avatar": null, "history": 5}));
    }
}
