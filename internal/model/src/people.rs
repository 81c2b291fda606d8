//! What users show of themselves, and what they keep for all their own devices.

use lockstep_protocol::{Body, BodyError, ConversationId, Receipt, Seq, StateChange, UnixMs, Unread, UserId, limits};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// What a user shows of himself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whose it is.
    pub id: UserId,
    /// The name to show.
    pub name: Option<String>,
    /// The URL of a picture.
    pub avatar: Option<String>,
    /// What the application keeps.
    pub custom: Custom,
}

/// What is to change of a profile. What is absent stays; an inner absence removes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileChange {
    /// The name.
    pub name: Option<Option<String>>,
    /// The picture.
    pub avatar: Option<Option<String>>,
    /// What the application keeps.
    pub custom: Option<Custom>,
}

/// The application's part of a profile: the text of a JSON object, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom(String);

/// Why a text is no custom part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a JSON object of at most {} bytes, nested at most {} levels deep", limits::PROFILE_CUSTOM_BYTES_MAX, limits::BODY_DEPTH_MAX - 1)]
pub struct CustomError;

impl Custom {
    /// Checks that it is an object, and not too large or deep.
    pub fn parse(json: &str) -> Result<Self, CustomError> {
        let json = json.trim();
        let is_object = json.starts_with('{') && serde_json::from_str::<IgnoredAny>(json).is_ok();
        let fits = json.len() <= limits::PROFILE_CUSTOM_BYTES_MAX && is_object;
        // As the feed's entry carries it, one level deeper.
        let carried: Result<Body, BodyError> = Body::parse(&format!(r#"{{"type":"custom","custom":{json}}}"#));
        if fits && carried.is_ok() { Ok(Self(json.to_owned())) } else { Err(CustomError) }
    }

    /// As a store kept it.
    pub fn from_stored(json: String) -> Self {
        Self(json)
    }

    /// The object's text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl Default for Custom {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

/// A user that another one has noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub user: UserId,
    /// What the owner calls the user.
    pub name: Option<String>,
    /// Since when.
    pub created_at: UnixMs,
}

/// A user that another one wants to hear nothing from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Who.
    pub user: UserId,
    /// Since when.
    pub created_at: UnixMs,
}

/// What a user keeps about a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

impl MemberState {
    /// The state after a change. `hidden_max` is the furthest that entries may be hidden.
    pub fn changed(self, change: StateChange, hidden_max: Seq) -> Self {
        let hidden = change.delete_before.unwrap_or_default().min(hidden_max);
        Self {
            pinned: change.pinned.unwrap_or(self.pinned),
            archived: change.archived.unwrap_or(self.archived),
            muted_until: change.muted_until.unwrap_or(self.muted_until),
            marked_unread: change.marked_unread.unwrap_or(self.marked_unread),
            delete_before: self.delete_before.max(hidden),
        }
    }
}

/// What others hear of a user's devices. Who does not tell something does not hear it of others either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptSettings {
    /// How far they have got.
    pub delivered: bool,
    /// How far the user has read.
    pub read: bool,
}

/// What is to change of them. What is absent stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiptSettingsChange {
    /// How far the devices have got.
    pub delivered: Option<bool>,
    /// How far the user has read.
    pub read: Option<bool>,
}

impl Default for ReceiptSettings {
    fn default() -> Self {
        Self { delivered: true, read: true }
    }
}

impl ReceiptSettings {
    /// The settings after a change.
    pub fn changed(self, change: ReceiptSettingsChange) -> Self {
        let ReceiptSettingsChange { delivered, read } = change;
        Self { delivered: delivered.unwrap_or(self.delivered), read: read.unwrap_or(self.read) }
    }

    /// What is left of a receipt for somebody with these settings; nothing if all is hidden.
    pub fn admit(self, receipt: Receipt) -> Option<Receipt> {
        let Receipt { user, delivered, read } = receipt;
        let (delivered, read) = (delivered.filter(|_| self.delivered), read.filter(|_| self.read));
        (delivered.is_some() || read.is_some()).then_some(Receipt { user, delivered, read })
    }
}

/// What a user has not read in all conversations that are neither archived nor muted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnreadTotal {
    /// Messages, as [`Unread`] counts them: exact up to the same bound.
    pub unread: u64,
    /// Whether there are more.
    pub more: bool,
    /// How many of them mention the user.
    pub mentions: u64,
    /// Conversations that the user wants to look unread.
    pub marked: u64,
}

/// A change that concerns one user alone, told to the own devices by the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonalChange<'a> {
    /// The profile, as it is now.
    Profile(&'a Profile),
    /// A contact, as it is now; absent if it is none any more.
    Contact(&'a UserId, Option<&'a Contact>),
    /// Whether a user is blocked.
    Block(&'a UserId, bool),
    /// The whole state of a conversation.
    State(ConversationId, MemberState),
    /// The settings.
    Settings(ReceiptSettings),
}

impl PersonalChange<'_> {
    /// The body of the system entry.
    pub fn to_body(&self) -> Body {
        let value = match self {
            Self::Profile(profile) => {
                let custom: Value = serde_json::from_str(profile.custom.as_json()).unwrap_or_else(|_| json!({}));
                json!({"type": "profile_changed", "name": profile.name, "avatar": profile.avatar, "custom": custom})
            }
            Self::Contact(user, contact) => {
                let name = contact.and_then(|contact| contact.name.as_ref());
                json!({"type": "contact_changed", "user": user, "contact": contact.is_some(), "name": name})
            }
            Self::Block(user, blocked) => json!({"type": "block_changed", "user": user, "blocked": blocked}),
            Self::State(conversation, state) => json!({
                "type": "member_state", "conversation": conversation, "pinned": state.pinned,
                "archived": state.archived, "muted_until": state.muted_until, "marked_unread": state.marked_unread,
                "delete_before": state.delete_before,
            }),
            Self::Settings(settings) => json!({
                "type": "settings_changed", "receipts": {"delivered": settings.delivered, "read": settings.read},
            }),
        };
        Body::from_stored(value.to_string()).expect("serde_json wrote valid JSON")
    }
}

/// Reads the settings that an entry of a feed tells of, if it does.
pub fn settings_told(body: &Body) -> Option<ReceiptSettings> {
    if body.type_name() != "settings_changed" {
        return None;
    }
    let value: Value = serde_json::from_str(body.as_json()).ok()?;
    let flag = |name: &str| value["receipts"][name].as_bool();
    Some(ReceiptSettings { delivered: flag("delivered")?, read: flag("read")? })
}

/// What a user or a conversation is called elsewhere, such as in another protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The id elsewhere.
    pub name: AliasName,
    /// What it stands for.
    pub target: AliasTarget,
}

/// An id in a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AliasName {
    namespace: String,
    external: String,
}

/// Why two texts are no alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a namespace must have 1 to {} of the characters a-z, 0-9, ., _ and -, and an external id 1 to {} bytes without \
     control characters",
    AliasName::NAMESPACE_CHARS_MAX,
    AliasName::EXTERNAL_BYTES_MAX
)]
pub struct AliasError;

impl AliasName {
    /// The most characters of a namespace.
    pub const NAMESPACE_CHARS_MAX: usize = 32;
    /// The most bytes of an external id.
    pub const EXTERNAL_BYTES_MAX: usize = 256;

    /// Checks both parts.
    pub fn new(namespace: &str, external: &str) -> Result<Self, AliasError> {
        let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let named = (1..=Self::NAMESPACE_CHARS_MAX).contains(&namespace.len()) && namespace.bytes().all(of_name);
        let fits = (1..=Self::EXTERNAL_BYTES_MAX).contains(&external.len()) && !external.chars().any(char::is_control);
        if !named || !fits {
            return Err(AliasError);
        }
        Ok(Self { namespace: namespace.to_owned(), external: external.to_owned() })
    }

    /// Whose ids they are.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The id there.
    pub fn external(&self) -> &str {
        &self.external
    }
}

/// What an alias stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasTarget {
    /// A user.
    User(UserId),
    /// A conversation.
    Conversation(ConversationId),
}

/// What is unread where `found` messages, of which `mentions` name the user, were found by counting one beyond the bound.
pub fn unread(conversation: ConversationId, read: Seq, head: Seq, found: u64, mentions: u64, marked: bool) -> Unread {
    let (unread, mentions) = (found.min(limits::UNREAD_MAX), mentions.min(limits::UNREAD_MAX));
    Unread { conversation, read, head, unread, more: found > limits::UNREAD_MAX, mentions, marked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_custom_part() {
        let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let long = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        let cases = [
            ("{}".to_owned(), true),
            (r#" {"a":1.50} "#.to_owned(), true),
            (deep(limits::BODY_DEPTH_MAX - 1), true),
            (deep(limits::BODY_DEPTH_MAX), false),
            (long(limits::PROFILE_CUSTOM_BYTES_MAX), true),
            (long(limits::PROFILE_CUSTOM_BYTES_MAX + 1), false),
            ("[]".to_owned(), false),
            ("1".to_owned(), false),
            ("{".to_owned(), false),
            (r#"{},"x":1"#.to_owned(), false),
            ("{}} {{}".to_owned(), false),
            (String::new(), false),
        ];
        for (json, expected) in cases {
            assert_eq!(Custom::parse(&json).is_ok(), expected, "{} bytes: {:.60}", json.len(), json);
        }
        assert_eq!(
            Custom::parse(r#" {"a":1.50} "#).map(|custom| custom.as_json().to_owned()),
            Ok(r#"{"a":1.50}"#.into())
        );
    }

    #[test]
    fn a_state_changes_in_parts_and_hides_ever_more() {
        let state = MemberState { pinned: true, delete_before: Seq::new(5), ..MemberState::default() };
        let hide = |seq| StateChange { delete_before: Some(Seq::new(seq)), ..StateChange::default() };
        for (seq, expected) in [(3, 5), (7, 7), (99, 10)] {
            let expected = MemberState { delete_before: Seq::new(expected), ..state };
            assert_eq!(state.changed(hide(seq), Seq::new(10)), expected, "{seq}");
        }
        let change = StateChange { pinned: Some(false), archived: Some(true), ..StateChange::default() };
        let expected = MemberState { pinned: false, archived: true, ..state };
        assert_eq!(state.changed(change, Seq::new(10)), expected);
    }

    #[test]
    fn settings_are_read_from_the_feed() {
        for (delivered, read) in [(true, false), (false, true)] {
            let settings = ReceiptSettings { delivered, read };
            assert_eq!(settings_told(&PersonalChange::Settings(settings).to_body()), Some(settings));
        }
        assert_eq!(settings_told(&Body::text("x")), None);
    }

    #[test]
    fn which_alias_names_fit() {
        let (long, external) = ("n".repeat(33), "e".repeat(257));
        for (namespace, external) in
            [("matrix", "!room:example.org"), ("a.b_c-9", "ü 🦀"), (&long[..32], &external[..256])]
        {
            assert!(AliasName::new(namespace, external).is_ok(), "{namespace} {external}");
        }
        for (namespace, external) in
            [("", "x"), ("x", ""), ("X", "x"), ("a b", "x"), ("a", "x\ny"), (&long, "x"), ("x", &external)]
        {
            assert_eq!(AliasName::new(namespace, external), Err(AliasError), "{namespace} {external}");
        }
    }
}
