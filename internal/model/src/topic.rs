//! The NSQ topics of conversations.

use lockstep_protocol::ConversationId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most characters of an NSQ topic's name.
const NAME_CHARS_MAX: usize = 64;
/// Characters of a conversation's id.
const ID_CHARS: usize = 36;

/// What the topics of this system begin with: a conversation's topic is the prefix and the conversation's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPrefix(String);

/// Why a text is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a topic prefix must have 1 to {} of the characters a-z, A-Z, 0-9, ., _ and -", TopicPrefix::CHARS_MAX)]
pub struct TopicPrefixError;

impl TopicPrefix {
    /// The most characters of a prefix: the topic has to be a name that NSQ takes.
    pub const CHARS_MAX: usize = NAME_CHARS_MAX - ID_CHARS;

    /// The topic of a conversation.
    pub fn topic(&self, conversation: ConversationId) -> String {
        format!("{}{conversation}", self.0)
    }

    /// The conversation whose topic this is.
    pub fn conversation(&self, topic: &str) -> Option<ConversationId> {
        let id = topic.strip_prefix(&self.0)?;
        // NSQ tells upper case from lower: one conversation has one topic.
        let spelled = !id.bytes().any(|letter| letter.is_ascii_uppercase());
        id.parse().ok().filter(|_| spelled)
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TopicPrefix {
    fn default() -> Self {
        Self("lockstep.".to_owned())
    }
}

impl FromStr for TopicPrefix {
    type Err = TopicPrefixError;
    fn from_str(text: &str) -> Result<Self, TopicPrefixError> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.len()) && text.bytes().all(is_name_byte);
        if fits { Ok(Self(text.to_owned())) } else { Err(TopicPrefixError) }
    }
}

impl TryFrom<String> for TopicPrefix {
    type Error = TopicPrefixError;
    fn try_from(text: String) -> Result<Self, TopicPrefixError> {
        text.parse()
    }
}

impl From<TopicPrefix> for String {
    fn from(prefix: TopicPrefix) -> Self {
        prefix.0
    }
}

impl fmt::Display for TopicPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether NSQ takes this name for a topic: 1 to 64 of its characters, of which `#ephemeral` may be the last ones
/// (nsqd 1.3.0, `internal/protocol/names.go`).
pub fn is_topic_name(name: &str) -> bool {
    let base = name.strip_suffix("#ephemeral").unwrap_or(name);
    name.len() <= NAME_CHARS_MAX && !base.is_empty() && base.bytes().all(is_name_byte)
}

fn is_name_byte(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || b"._-".contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_has_one_topic() {
        let prefix = TopicPrefix::default();
        let conversation = ConversationId::from_bytes([0xab; 16]);
        let topic = prefix.topic(conversation);
        assert_eq!(topic, "lockstep.abababab-abab-abab-abab-abababababab");
        assert_eq!(prefix.conversation(&topic), Some(conversation));
        let other = "other.abababab-abab-abab-abab-abababababab".to_owned();
        let upper = "lockstep.ABABABAB-ABAB-ABAB-ABAB-ABABABABABAB".to_owned();
        let cases = ["lockstep.", "lockstep.events", "abababab-abab-abab-abab-abababababab", &other, &upper];
        for topic in cases.iter().map(|topic| (*topic).to_owned()).chain([format!("{topic}#ephemeral")]) {
            assert_eq!(prefix.conversation(&topic), None, "{topic}");
        }
    }

    #[test]
    fn which_prefixes_fit() {
        let longest = "p".repeat(TopicPrefix::CHARS_MAX);
        for text in ["lockstep.", "a", "A_b-1.", &longest] {
            let prefix: TopicPrefix = text.parse().unwrap();
            assert!(is_topic_name(&prefix.topic(ConversationId::generate())), "{text}");
        }
        for text in ["", "a b", "ä", "a#", &format!("{longest}p")] {
            assert_eq!(text.parse::<TopicPrefix>(), Err(TopicPrefixError), "{text:?}");
        }
    }

    #[test]
    fn which_names_nsq_takes() {
        let (longest, suffixed) = ("t".repeat(64), format!("{}#ephemeral", "t".repeat(54)));
        for name in ["t", "A.b_c-9", "t#ephemeral", &longest, &suffixed] {
            assert!(is_topic_name(name), "{name}");
        }
        for name in ["", "#ephemeral", "a b", "a#b", "t#ephemeral#ephemeral", "ü", &format!("{longest}t"), "a\n"] {
            assert!(!is_topic_name(name), "{name:?}");
        }
    }
}
