//! What a person types: messages and commands.

use lockstep_client::protocol::{ConversationId, IdError, Seq, UserId};
use std::io::BufRead;
use tokio::sync::mpsc;

/// Lines that may wait; the reader waits with one more.
const LINES_MAX: usize = 64;

/// What `/help` says, line by line.
pub(super) const HELP: &[&str] = &[
    "/to USER, /in ID: where lines go; the end of an ID, as shown before each message, will do",
    "/list: all conversations; /group TITLE: USER USER: a new group, and lines go there",
    "/members, /invite USER USER, /remove USER, /leave: of the group",
    "/reply #N TEXT, /react #N KEY, /unreact #N KEY, /edit #N TEXT, /recall #N: about message N",
    "/unread: what is not read yet; /read: all of it is read; /who: where things stand",
    "/link CODE: who asks to be linked to you; /approve lets that device in, /refuse does not",
    "/quit; a line that begins with // is sent with one /",
];

/// One line of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Nothing,
    Text(String),
    To(UserId),
    In(Place),
    List,
    Group { title: String, members: Vec<UserId> },
    Members,
    Invite(Vec<UserId>),
    Remove(UserId),
    Leave,
    Reply { target: Seq, text: String },
    React { target: Seq, key: String, on: bool },
    Edit { target: Seq, text: String },
    Recall(Seq),
    Unread,
    Read,
    Link(String),
    Approve,
    Refuse,
    Who,
    Help,
    Quit,
}

/// How a person names a conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Id(ConversationId),
    /// The end of an id, of at least four characters.
    End(String),
}

/// The lines of the standard input. They come from a thread of their own: a read from a terminal cannot be called
/// back, and must not keep the program from ending.
pub(super) fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What a line means, or a sentence that says why it means nothing.
pub(super) fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim_end();
    let Some(command) = line.strip_prefix('/') else {
        return Ok(if line.is_empty() { Line::Nothing } else { Line::Text(line.to_owned()) });
    };
    if command.starts_with('/') {
        return Ok(Line::Text(command.to_owned()));
    }
    let (name, argument) = command.split_once(' ').unwrap_or((command, ""));
    let argument = argument.trim();
    let target = |rest: &str| rest.trim_start_matches('#').parse().map(Seq::new).map_err(|_| NO_TARGET.to_owned());
    let about = || -> Result<(Seq, String), String> {
        let (number, rest) = argument.split_once(' ').ok_or(NO_TARGET)?;
        Ok((target(number)?, rest.trim().to_owned()))
    };
    match name {
        "to" => user(argument).map(Line::To),
        "in" => place(argument).map(Line::In),
        "list" => Ok(Line::List),
        "group" => {
            let (title, members) = argument.rsplit_once(':').ok_or("as in /group Trip to the sea: ben cid")?;
            Ok(Line::Group { title: title.trim().to_owned(), members: users(members)? })
        }
        "members" => Ok(Line::Members),
        "invite" => users(argument).map(Line::Invite),
        "remove" => user(argument).map(Line::Remove),
        "leave" => Ok(Line::Leave),
        "reply" => about().map(|(target, text)| Line::Reply { target, text }),
        "react" => about().map(|(target, key)| Line::React { target, key, on: true }),
        "unreact" => about().map(|(target, key)| Line::React { target, key, on: false }),
        "edit" => about().map(|(target, text)| Line::Edit { target, text }),
        "recall" => target(argument).map(Line::Recall),
        "unread" => Ok(Line::Unread),
        "read" => Ok(Line::Read),
        "link" if argument.is_empty() => Err("which? the new device shows a code, as in /link 7KQM-4XRT".to_owned()),
        "link" => Ok(Line::Link(argument.to_owned())),
        "approve" => Ok(Line::Approve),
        "refuse" => Ok(Line::Refuse),
        "who" => Ok(Line::Who),
        "help" => Ok(Line::Help),
        "quit" => Ok(Line::Quit),
        _ => Err("no such command; /help lists them".to_owned()),
    }
}

/// What is said to a line that names no message.
const NO_TARGET: &str = "which message? its number comes first, as in /react #7 +1";

fn user(text: &str) -> Result<UserId, String> {
    text.parse().map_err(|error: IdError| error.to_string())
}

fn users(text: &str) -> Result<Vec<UserId>, String> {
    text.split_whitespace().map(user).collect()
}

fn place(text: &str) -> Result<Place, String> {
    if let Ok(id) = text.parse() {
        return Ok(Place::Id(id));
    }
    let is_end = text.len() >= 4 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_end
        .then(|| Place::End(text.to_lowercase()))
        .ok_or_else(|| "that is no conversation; /list shows them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_means() {
        let text = |text: &str| Ok(Line::Text(text.to_owned()));
        let users = |names: &[&str]| names.iter().copied().map(|name| UserId::new(name).expect("a user")).collect();
        let id = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
        let cases = [
            ("", Ok(Line::Nothing)),
            ("hi there \r", text("hi there")),
            (" /quit", text(" /quit")),
            ("//quit", text("/quit")),
            ("/quit", Ok(Line::Quit)),
            ("/to ben", Ok(Line::To(UserId::new("ben").expect("a user")))),
            ("/read", Ok(Line::Read)),
            ("/in 5C1F0A11", Ok(Line::In(Place::End("5c1f0a11".to_owned())))),
            (
                "/group A: trip:  ben cid ",
                Ok(Line::Group { title: "A: trip".to_owned(), members: users(&["ben", "cid"]) }),
            ),
            ("/invite ben", Ok(Line::Invite(users(&["ben"])))),
            ("/reply #7 Yes,  why?", Ok(Line::Reply { target: Seq::new(7), text: "Yes,  why?".to_owned() })),
            ("/unreact 7 +1", Ok(Line::React { target: Seq::new(7), key: "+1".to_owned(), on: false })),
            ("/link 7kqm 4xrt", Ok(Line::Link("7kqm 4xrt".to_owned()))),
            ("/recall #7", Ok(Line::Recall(Seq::new(7)))),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line:?}");
        }
        assert_eq!(parse(&format!("/in {id}")), Ok(Line::In(Place::Id(id.parse().expect("an id")))));
        for line in
            ["/to", "/in ben", "/in abc", "/nothing", "/group Trip", "/edit 7", "/recall x", "/react x +1", "/link"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
