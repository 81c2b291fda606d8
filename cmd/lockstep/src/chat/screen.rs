//! What is printed. Nothing that came over the wire may move the cursor or change colours.

use anyhow::Result;
use lockstep_client::protocol::{Body, Code, Content, ConversationId, Entry, Kind, UnixMs};
use lockstep_client::{DisconnectReason, Event};
use std::io::Write;
use std::time::Duration;

/// The standard output.
#[derive(Debug)]
pub(super) struct Screen;

impl Screen {
    /// Prints an entry. True if it is something that a person or service said.
    pub(super) fn entry(&self, entry: &Entry) -> Result<bool> {
        if entry.kind == Kind::System {
            self.note(&format!("{}{}", entry.body.type_name(), subject(entry)))?;
            return Ok(false);
        }
        let Entry { conversation, seq, sender, sent_at, .. } = entry;
        let (short, said) = (short(*conversation), said(entry));
        self.line(&format!("{} {short} #{seq} {sender}{said}", clock(*sent_at)))?;
        Ok(true)
    }

    /// Prints what happened to the connection.
    pub(super) fn event(&self, event: &Event) -> Result<()> {
        match event {
            Event::Connected { user, device, .. } => self.note(&format!("connected as {user}, device {device}")),
            Event::CaughtUp => self.note("caught up"),
            Event::Disconnected { reason, retry_in } => self.note(&parted(reason, *retry_in)),
            Event::Skip { conversation, from, to, .. } => {
                self.note(&format!("{conversation}: {from} to {to} are not there any more, or not for this user"))
            }
            Event::Reset { conversation, .. } => self.note(&format!("{conversation} begins anew")),
            Event::Offsets(offsets) => offsets
                .iter()
                .try_for_each(|read| self.note(&format!("{}: read up to {}", read.conversation, read.seq))),
            Event::ReadRefused { code, .. } => self.note(&format!("not read: {code}")),
            Event::Presence(users) => users
                .iter()
                .try_for_each(|it| self.note(&format!("{} is {}", it.user, if it.online { "there" } else { "away" }))),
            Event::Devices(devices) => devices.iter().try_for_each(|it| {
                self.note(&format!("your device {} is {}", it.device, if it.online { "there" } else { "away" }))
            }),
            Event::Filling(filling) => super::fill::words(filling).map_or(Ok(()), |words| self.note(&words)),
            Event::Receipts { .. }
            | Event::Signal(_)
            | Event::Entry(_)
            | Event::Answered { .. }
            | Event::Stopped(_) => Ok(()),
        }
    }

    /// Prints a word of the program's own.
    pub(super) fn note(&self, text: &str) -> Result<()> {
        self.line(&format!("* {text}"))
    }

    fn line(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", harmless(text))?;
        Ok(out.flush()?)
    }
}

/// Why the connection is gone, what a person can do about it, and when there is the next one.
fn parted(reason: &DisconnectReason, retry_in: Duration) -> String {
    let needs_main = matches!(reason, DisconnectReason::Server { code, .. } if code == Code::MainOffline.name());
    let advice = if needs_main { "; start one, such as the chat that approved this one" } else { "" };
    let reason = reason.to_string();
    format!("disconnected: {}{advice}; again in {:.1} s", reason.trim_end_matches('.'), retry_in.as_secs_f64())
}

/// What a sender says, to be written behind the name.
fn said(entry: &Entry) -> String {
    match Content::of(&entry.kind, &entry.body) {
        Ok(Content::Edit { target, body, .. }) => format!(" edits #{target}: {}", words(&body)),
        Ok(Content::Recall { target }) => format!(" recalls #{target}"),
        Ok(Content::Reaction { target, key, on: true }) => format!(" reacts to #{target} with {key}"),
        Ok(Content::Reaction { target, key, on: false }) => format!(" takes {key} back from #{target}"),
        Ok(Content::Message { reply_to: Some(target), .. }) => format!(" answers #{target}: {}", words(&entry.body)),
        _ => format!(": {}", words(&entry.body)),
    }
}

fn words(body: &Body) -> String {
    match &*body.type_name() {
        "text" => body.text_field("text").unwrap_or_default(),
        other => format!("[{other}]"),
    }
}

/// What a system entry is about: whom or what, and by whom.
fn subject(entry: &Entry) -> String {
    let body: serde_json::Value = serde_json::from_str(entry.body.as_json()).unwrap_or_default();
    let field = |name: &str| body[name].as_str().map(str::to_owned);
    let members = body["members"].as_array().map(|members| {
        let names: Vec<&str> = members.iter().filter_map(serde_json::Value::as_str).collect();
        names.join(", ")
    });
    let about = ["conversation", "device", "member", "title"].into_iter().find_map(field).or(members);
    let by = field("by").map(|by| format!(" by {by}")).unwrap_or_default();
    about.map(|about| format!(" {about}")).unwrap_or_default() + &by
}

/// The end of a conversation's id, which is its random part.
pub(super) fn short(conversation: ConversationId) -> String {
    conversation.to_string().split_off(28)
}

/// Control characters could steer the terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The time of day, UTC.
fn clock(at: UnixMs) -> String {
    let seconds = at.get() / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_hears_what_to_do() {
        let code = Code::MainOffline;
        let reason =
            |code: Code| DisconnectReason::Server { code: code.name().into(), message: code.spec().sentence.into() };
        let words = parted(&reason(code), Duration::from_secs(30));
        assert!(words.contains("none is connected; start one") && words.ends_with("; again in 30.0 s"), "{words}");
        let words = parted(&DisconnectReason::Broken, Duration::from_millis(500));
        assert_eq!(words, "disconnected: the connection broke; again in 0.5 s");
    }

    #[test]
    fn times_and_texts() {
        assert_eq!(clock(UnixMs::new(86_400_000 + 3_723_999)), "01:02:03");
        assert_eq!(harmless("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
