//! What groups and rooms have besides their log: roles, what newcomers see, and what people call them.

use lockstep_protocol::{Body, Seq, limits};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a member may do. Each role may do all that a lower one may; a conversation with members has one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads and writes, and leaves.
    Member,
    /// Also invites, removes members, and changes title, avatar and the like.
    Admin,
    /// Also removes admins, gives roles, and hands the conversation over.
    Owner,
}

impl Role {
    /// The role as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role that a text names.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner].into_iter().find(|role| role.as_str() == text)
    }

    /// Whether it may invite, and change what people call the conversation.
    pub fn manages(self) -> bool {
        self >= Self::Admin
    }

    /// Whether it may remove a member of another role.
    pub fn may_remove(self, other: Self) -> bool {
        self.manages() && self > other
    }
}

/// What new members see of what was written before they joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Nothing.
    None,
    /// The last so many entries, from 1 to [`History::LAST_MAX`].
    Last(u32),
    /// Everything that retention has left.
    All,
}

impl History {
    /// The most entries that [`History::Last`] names.
    pub const LAST_MAX: u32 = 10_000;

    /// The first entry that a member sees who joins after this head.
    pub fn first_visible(self, head: Seq) -> Seq {
        match self {
            Self::None => head.next(),
            Self::Last(count) => Seq::new(head.next().get().saturating_sub(u64::from(count)).max(1)),
            Self::All => Seq::new(1),
        }
    }

    /// As stores keep it: `none`, `all`, or a number.
    pub fn to_text(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Last(count) => count.to_string(),
            Self::All => "all".to_owned(),
        }
    }

    /// What [`History::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "all" => Some(Self::All),
            number => number.parse().ok().and_then(Self::last),
        }
    }

    fn last(count: u64) -> Option<Self> {
        let count = u32::try_from(count).ok()?;
        (1..=Self::LAST_MAX).contains(&count).then_some(Self::Last(count))
    }
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Last(count) => serializer.serialize_u32(*count),
            Self::None => serializer.serialize_str("none"),
            Self::All => serializer.serialize_str("all"),
        }
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Number(u64),
            Text(String),
            Other(serde::de::IgnoredAny),
        }
        let history = match Wire::deserialize(deserializer)? {
            Wire::Number(count) => Self::last(count),
            Wire::Text(text) if text == "none" || text == "all" => Self::from_text(&text),
            Wire::Text(_) | Wire::Other(_) => None,
        };
        history.ok_or_else(|| {
            D::Error::custom(format_args!("history must be \"none\", \"all\" or a number from 1 to {}", Self::LAST_MAX))
        })
    }
}

/// A JSON object of the application's own, bounded as [`limits::CUSTOM_BYTES_MAX`] and [`limits::BODY_DEPTH_MAX`] say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomObject(serde_json::Map<String, serde_json::Value>);

impl CustomObject {
    /// Checks the bounds. `None` if they are not kept.
    pub fn new(object: serde_json::Map<String, serde_json::Value>) -> Option<Self> {
        let custom = Self(object);
        let json = custom.to_json();
        // It has to fit into the system entry that tells of it, whose depth is bounded too.
        let entry = Body::parse(&format!(r#"{{"type":"changed","custom":{json}}}"#));
        (json.len() <= limits::CUSTOM_BYTES_MAX && entry.is_ok()).then_some(custom)
    }

    /// As stores keep it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("a map of JSON values is JSON")
    }

    /// What [`CustomObject::to_json`] wrote.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self)
    }
}

/// What people call a conversation, and what newcomers see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Its title.
    pub title: Option<String>,
    /// Where its picture is.
    pub avatar: Option<String>,
    /// What the application keeps with it.
    pub custom: Option<CustomObject>,
    /// What newcomers see of what was before them.
    pub history: History,
}

/// A change of [`Details`]: what is absent stays; an inner `None` takes away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DetailsChange {
    /// The title.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub title: Option<Option<String>>,
    /// The avatar.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub avatar: Option<Option<String>>,
    /// What newcomers see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// The application's own.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub custom: Option<Option<CustomObject>>,
}

impl DetailsChange {
    /// What is different from these details.
    pub fn beyond(self, details: &Details) -> Self {
        Self {
            title: self.title.filter(|title| *title != details.title),
            avatar: self.avatar.filter(|avatar| *avatar != details.avatar),
            history: self.history.filter(|history| *history != details.history),
            custom: self.custom.filter(|custom| *custom != details.custom),
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Makes the change.
    pub fn apply(self, details: &mut Details) {
        if let Some(title) = self.title {
            details.title = title;
        }
        if let Some(avatar) = self.avatar {
            details.avatar = avatar;
        }
        if let Some(history) = self.history {
            details.history = history;
        }
        if let Some(custom) = self.custom {
            details.custom = custom;
        }
    }
}

/// A field that is there, even as null.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_remove_whom() {
        use Role::{Admin, Member, Owner};
        let cases = [
            (Owner, Admin, true),
            (Owner, Member, true),
            (Admin, Owner, false),
            (Admin, Admin, false),
            (Admin, Member, true),
            (Member, Member, false),
            (Member, Owner, false),
        ];
        for (who, whom, expected) in cases {
            assert_eq!(who.may_remove(whom), expected, "{who:?} removes {whom:?}");
        }
    }

    #[test]
    fn where_newcomers_begin() {
        let cases = [
            (History::None, 7, 8),
            (History::All, 7, 1),
            (History::Last(3), 7, 5),
            (History::Last(7), 7, 1),
            (History::Last(8), 7, 1),
            (History::Last(1), 0, 1),
        ];
        for (history, head, first) in cases {
            assert_eq!(history.first_visible(Seq::new(head)), Seq::new(first), "{history:?} after {head}");
        }
    }

    #[test]
    fn which_histories_are_read() {
        let cases = [
            (r#""none""#, Some(History::None)),
            (r#""all""#, Some(History::All)),
            ("1", Some(History::Last(1))),
            ("10000", Some(History::Last(10_000))),
            ("0", None),
            ("10001", None),
            ("-1", None),
            (r#""50""#, None),
            ("true", None),
        ];
        for (json, expected) in cases {
            let read = serde_json::from_str::<History>(json);
            assert_eq!(read.as_ref().ok(), expected.as_ref(), "{json}");
            if let Some(history) = expected {
                assert_eq!(serde_json::to_string(&history).expect("JSON"), json);
                assert_eq!(History::from_text(&history.to_text()), Some(history));
            }
        }
    }

    #[test]
    fn which_custom_objects_fit() {
        let object = |json: &str| CustomObject::new(serde_json::from_str(json).expect("an object"));
        let of_bytes = |bytes: usize| format!(r#"{{"k":"{}"}}"#, "x".repeat(bytes - 8));
        let of_depth = |depth: usize| format!(r#"{{"k":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert_eq!(object("{}").map(|it| it.to_json()), Some("{}".to_owned()));
        assert!(object(&of_bytes(limits::CUSTOM_BYTES_MAX)).is_some());
        assert!(object(&of_bytes(limits::CUSTOM_BYTES_MAX + 1)).is_none());
        assert!(object(&of_depth(limits::BODY_DEPTH_MAX - 1)).is_some());
        assert!(object(&of_depth(limits::BODY_DEPTH_MAX)).is_none());
    }
}
