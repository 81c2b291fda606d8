//! What the server reads in a body that is sent: the form of each kind, and the reserved fields of messages.

use crate::limits::{MENTIONS_MAX, REACTION_KEY_CHARS_MAX};
use crate::{Body, Kind, Seq, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a body says that the server, or a device that shows the conversation, acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing but itself: a message without reserved fields, or a kind that only passes through.
    Plain,
    /// A message with reserved fields.
    Message {
        /// The entry that it answers.
        reply_to: Option<Seq>,
        /// The users that it names, without repetition.
        mentions: Vec<UserId>,
    },
    /// Another body for an earlier message.
    Edit {
        /// The message.
        target: Seq,
        /// Its body from now on.
        body: Body,
        /// The entry that the new body answers.
        reply_to: Option<Seq>,
    },
    /// The withdrawal of an earlier message.
    Recall {
        /// The message.
        target: Seq,
    },
    /// A reaction to an earlier message, made or taken back.
    Reaction {
        /// The message.
        target: Seq,
        /// Which reaction: an emoji, or a word of the application's.
        key: String,
        /// Whether it is made; else it is taken back.
        on: bool,
    },
}

/// Why a body is none of its kind. The sentences are fit for an error answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Not the form of an edit.
    #[error(r#"The body of an edit is {{"type":"edit","target":SEQ,"body":{{...}}}}, with a message's body inside."#)]
    Edit,
    /// Not the form of a recall.
    #[error(r#"The body of a recall is {{"type":"recall","target":SEQ}}."#)]
    Recall,
    /// Not the form of a reaction.
    #[error(
        r#"The body of a reaction is {{"type":"reaction","target":SEQ,"key":"...","on":true|false}}, with a key of 1 to {REACTION_KEY_CHARS_MAX} characters without control characters."#
    )]
    Reaction,
    /// Not a place in a log.
    #[error("\"reply_to\" must be the seq of an entry.")]
    ReplyTo,
    /// Not a list of users.
    #[error("\"mentions\" must be a list of at most {MENTIONS_MAX} user ids.")]
    Mentions,
    /// The stub of a recalled message was sent.
    #[error("The type \"recalled\" is what the server puts in place of a recalled message.")]
    Recalled,
}

/// The fields that a message's body may not use for anything else.
#[derive(Deserialize)]
struct Reserved<'a> {
    #[serde(default, borrow)]
    reply_to: Option<&'a RawValue>,
    #[serde(default, borrow)]
    mentions: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Edit<'a> {
    target: Seq,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct Recall {
    target: Seq,
}

#[derive(Deserialize)]
struct Reaction<'a> {
    target: Seq,
    #[serde(borrow)]
    key: Cow<'a, str>,
    on: bool,
}

impl Content {
    /// Reads the body of an entry of this kind.
    ///
    /// # Errors
    ///
    /// [`ContentError`] if the body has not the form that its kind asks for.
    pub fn of(kind: &Kind, body: &Body) -> Result<Self, ContentError> {
        match kind {
            Kind::Message => message(body),
            Kind::Edit => {
                let Edit { target, body } = typed(body, "edit").ok_or(ContentError::Edit)?;
                let body = Body::from_borrowed(body).map_err(|_| ContentError::Edit)?;
                let reply_to = match message(&body)? {
                    Self::Message { reply_to, .. } => reply_to,
                    _ => None,
                };
                Ok(Self::Edit { target, body, reply_to })
            }
            Kind::Recall => {
                let Recall { target } = typed(body, "recall").ok_or(ContentError::Recall)?;
                Ok(Self::Recall { target })
            }
            Kind::Reaction => {
                let Reaction { target, key, on } = typed(body, "reaction").ok_or(ContentError::Reaction)?;
                let fits = (1..=REACTION_KEY_CHARS_MAX).contains(&key.chars().count());
                if !fits || key.chars().any(char::is_control) {
                    return Err(ContentError::Reaction);
                }
                Ok(Self::Reaction { target, key: key.into_owned(), on })
            }
            Kind::System | Kind::Other(_) => Ok(Self::Plain),
        }
    }

    /// The message that this is about, for all but messages.
    pub fn target(&self) -> Option<Seq> {
        match self {
            Self::Plain | Self::Message { .. } => None,
            Self::Edit { target, .. } | Self::Recall { target } | Self::Reaction { target, .. } => Some(*target),
        }
    }

    /// The entry that a message, or a message's new body, answers.
    pub fn reply_to(&self) -> Option<Seq> {
        match self {
            Self::Message { reply_to, .. } | Self::Edit { reply_to, .. } => *reply_to,
            _ => None,
        }
    }

    /// The users that a message names.
    pub fn mentions(&self) -> &[UserId] {
        match self {
            Self::Message { mentions, .. } => mentions,
            _ => &[],
        }
    }
}

fn typed<'a, T: Deserialize<'a>>(body: &'a Body, name: &str) -> Option<T> {
    let right = body.type_name() == name;
    right.then(|| serde_json::from_str(body.as_json()).ok()).flatten()
}

fn message(body: &Body) -> Result<Content, ContentError> {
    let json = body.as_json();
    // Almost all messages end here. A name may also be written with escapes.
    let any = |names: &[&str]| names.iter().any(|name| json.contains(name));
    if !any(&["reply_to", "mentions", "recalled", "\\u"]) {
        return Ok(Content::Plain);
    }
    if body.is_recalled() {
        return Err(ContentError::Recalled);
    }
    let Reserved { reply_to, mentions } = serde_json::from_str(json).map_err(|_| ContentError::Mentions)?;
    let seq = |raw: &RawValue| serde_json::from_str(raw.get()).ok().filter(|seq| *seq > Seq::ZERO);
    let reply_to = reply_to.map(|raw| seq(raw).ok_or(ContentError::ReplyTo)).transpose()?;
    let mentions: Vec<UserId> = match mentions {
        None => Vec::new(),
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| ContentError::Mentions)?,
    };
    if mentions.len() > MENTIONS_MAX {
        return Err(ContentError::Mentions);
    }
    if reply_to.is_none() && mentions.is_empty() {
        return Ok(Content::Plain);
    }
    let mut named = mentions;
    named.sort_unstable();
    named.dedup();
    Ok(Content::Message { reply_to, mentions: named })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, json: &str) -> Result<Content, ContentError> {
        Content::of(&kind, &Body::parse(json).expect(json))
    }

    #[test]
    fn what_messages_may_say() {
        let user = |name: &str| UserId::new(name).expect("a user");
        let message = |reply_to: Option<u64>, names: &[&str]| {
            let mentions = names.iter().map(|name| user(name)).collect();
            Ok(Content::Message { reply_to: reply_to.map(Seq::new), mentions })
        };
        let many = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("\"u{number:03}\"")).collect();
            format!(r#"{{"type":"text","mentions":[{}]}}"#, names.join(","))
        };
        let most: Vec<String> = (0..MENTIONS_MAX).map(|number| format!("u{number:03}")).collect();
        let cases: Vec<(String, Result<Content, ContentError>)> = vec![
            (r#"{"type":"text","text":"hi"}"#.into(), Ok(Content::Plain)),
            (r#"{"type":"text","text":"a recalled \u00e9, no mentions, no reply_to"}"#.into(), Ok(Content::Plain)),
            (r#"{"type":"text","reply_to":7}"#.into(), message(Some(7), &[])),
            (r#"{"type":"text","re\u0070ly_to":7}"#.into(), message(Some(7), &[])),
            (r#"{"type":"text","reply_to":null,"mentions":[]}"#.into(), Ok(Content::Plain)),
            (r#"{"type":"text","mentions":["ben","ana","ben"]}"#.into(), message(None, &["ana", "ben"])),
            (many(MENTIONS_MAX), message(None, &most.iter().map(String::as_str).collect::<Vec<_>>())),
            (many(MENTIONS_MAX + 1), Err(ContentError::Mentions)),
            (r#"{"type":"text","mentions":"ana"}"#.into(), Err(ContentError::Mentions)),
            (r#"{"type":"text","mentions":["service:x"]}"#.into(), Err(ContentError::Mentions)),
            (r#"{"type":"text","reply_to":0}"#.into(), Err(ContentError::ReplyTo)),
            (r#"{"type":"text","reply_to":"7"}"#.into(), Err(ContentError::ReplyTo)),
            (r#"{"type":"recalled"}"#.into(), Err(ContentError::Recalled)),
            (r#"{"type":"recalle\u0064"}"#.into(), Err(ContentError::Recalled)),
        ];
        for (json, expected) in cases {
            assert_eq!(read(Kind::Message, &json), expected, "{json}");
        }
    }

    #[test]
    fn the_forms_of_the_other_kinds() {
        let (target, long) = (Seq::new(4), "é".repeat(REACTION_KEY_CHARS_MAX + 1));
        let new_body = Body::text("new");
        let reaction = |key: &str| format!(r#"{{"type":"reaction","target":4,"key":"{key}","on":false}}"#);
        let edit = Content::Edit { target, body: new_body, reply_to: None };
        let cases: Vec<(Kind, String, Result<Content, ContentError>)> = vec![
            (Kind::Edit, r#"{"type":"edit","target":4,"body":{"text":"new","type":"text"}}"#.into(), Ok(edit)),
            (Kind::Edit, r#"{"type":"text","target":4,"body":{"type":"x"}}"#.into(), Err(ContentError::Edit)),
            (Kind::Edit, r#"{"type":"edit","body":{"type":"x"}}"#.into(), Err(ContentError::Edit)),
            (Kind::Edit, r#"{"type":"edit","target":4,"body":{"text":"x"}}"#.into(), Err(ContentError::Edit)),
            (Kind::Edit, r#"{"type":"edit","target":4,"body":["x"]}"#.into(), Err(ContentError::Edit)),
            (
                Kind::Edit,
                r#"{"type":"edit","target":4,"body":{"type":"recalled"}}"#.into(),
                Err(ContentError::Recalled),
            ),
            (
                Kind::Edit,
                r#"{"type":"edit","target":4,"body":{"type":"x","mentions":7}}"#.into(),
                Err(ContentError::Mentions),
            ),
            (Kind::Recall, r#"{"type":"recall","target":4}"#.into(), Ok(Content::Recall { target })),
            (Kind::Recall, r#"{"type":"recall","target":-4}"#.into(), Err(ContentError::Recall)),
            (Kind::Recall, r#"{"type":"text","target":4}"#.into(), Err(ContentError::Recall)),
            (
                Kind::Reaction,
                r#"{"type":"reaction","target":4,"key":"🦀","on":true}"#.into(),
                Ok(Content::Reaction { target, key: "🦀".into(), on: true }),
            ),
            (Kind::Reaction, reaction(&long), Err(ContentError::Reaction)),
            (Kind::Reaction, reaction(""), Err(ContentError::Reaction)),
            (Kind::Reaction, reaction("\\n"), Err(ContentError::Reaction)),
            (Kind::Reaction, r#"{"type":"reaction","target":4,"key":"+"}"#.into(), Err(ContentError::Reaction)),
            (Kind::from_text("poll"), r#"{"type":"edit"}"#.into(), Ok(Content::Plain)),
        ];
        for (kind, json, expected) in cases {
            let found = read(kind, &json);
            let same = match (&found, &expected) {
                (Ok(Content::Edit { target, body, .. }), Ok(Content::Edit { target: wanted, .. })) => {
                    target == wanted && body.type_name() == "text"
                }
                _ => found == expected,
            };
            assert!(same, "{json}: {found:?}");
        }
    }
}
