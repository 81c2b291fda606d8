//! What a person types: messages and commands.

use lockstep_client::protocol::{ConversationId, UserId};
use std::io::BufRead;
use tokio::sync::mpsc;

/// Lines that may wait; the reader waits with one more.
const LINES_MAX: usize = 64;

/// What `/help` says.
pub(super) const HELP: &str = "/to USER, /in ID: where lines go; /read: all of it is read; /who: where things stand; \
    /quit; a line that begins with // is sent with one /";

/// One line of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Nothing,
    Text(String),
    To(UserId),
    In(ConversationId),
    Read,
    Who,
    Help,
    Quit,
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
    match name {
        "to" => argument.parse().map(Line::To).map_err(|error| error.to_string()),
        "in" => argument.parse().map(Line::In).map_err(|error| error.to_string()),
        "read" => Ok(Line::Read),
        "who" => Ok(Line::Who),
        "help" => Ok(Line::Help),
        "quit" => Ok(Line::Quit),
        _ => Err("no such command; /help lists them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_means() {
        let text = |text: &str| Ok(Line::Text(text.to_owned()));
        let id = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
        let cases = [
            ("", Ok(Line::Nothing)),
            ("hi there \r", text("hi there")),
            (" /quit", text(" /quit")),
            ("//quit", text("/quit")),
            ("/quit", Ok(Line::Quit)),
            ("/to ben", Ok(Line::To(UserId::new("ben").expect("a user")))),
            ("/read", Ok(Line::Read)),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{line:?}");
        }
        assert_eq!(parse(&format!("/in {id}")), Ok(Line::In(id.parse().expect("an id"))));
        for line in ["/to", "/in ben", "/nothing"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
