//! What a line means that a person types.

use super::input::{Line, Personal, Place};
use lockstep_client::protocol::{IdError, Seq, StateChange, UnixMs, UserId};
use lockstep_client::{Draft, Role};

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
        "group" => draft(argument).map(Line::Group),
        "room" => draft(argument).map(Line::Room),
        "join" => place(argument).map(Line::Join),
        "members" => Ok(Line::Members),
        "invite" => users(argument).map(Line::Invite),
        "remove" => user(argument).map(Line::Remove),
        "leave" => Ok(Line::Leave),
        "title" => Ok(Line::Title(some(argument))),
        "role" => {
            let (name, role) = argument.rsplit_once(' ').ok_or(NO_ROLE)?;
            Ok(Line::Role { user: user(name.trim())?, role: self::role(role)? })
        }
        "history" if argument.is_empty() => Ok(Line::History(None)),
        "history" => target(argument).map(Some).map(Line::History),
        "mute" if argument.is_empty() => Ok(Line::Mute(None)),
        "mute" => argument.parse().map(Some).map(Line::Mute).map_err(|_| "for how many minutes?".to_owned()),
        "hide" => target(argument).map(|seq| Line::Keep(StateChange { delete_before: Some(seq), ..NO_CHANGE })),
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
        _ => match kept(name) {
            Some(change) => Ok(Line::Keep(change)),
            None => personal(name, argument).map(Line::Personal),
        },
    }
}

/// The commands that need no more than their name.
fn kept(name: &str) -> Option<StateChange> {
    Some(match name {
        "pin" | "unpin" => StateChange { pinned: Some(name == "pin"), ..NO_CHANGE },
        "archive" | "unarchive" => StateChange { archived: Some(name == "archive"), ..NO_CHANGE },
        "mark" | "unmark" => StateChange { marked_unread: Some(name == "mark"), ..NO_CHANGE },
        "unmute" => StateChange { muted_until: Some(UnixMs::ZERO), ..NO_CHANGE },
        _ => return None,
    })
}

fn personal(name: &str, argument: &str) -> Result<Personal, String> {
    match name {
        "profile" if argument.is_empty() => Ok(Personal::Profile(None)),
        "profile" => user(argument).map(Some).map(Personal::Profile),
        "name" => Ok(Personal::Name(some(argument))),
        "contacts" => Ok(Personal::Contacts),
        "contact" => {
            let (who, name) = argument.split_once(' ').unwrap_or((argument, ""));
            Ok(Personal::Contact { user: user(who)?, name: some(name) })
        }
        "uncontact" => user(argument).map(Personal::NoContact),
        "blocks" => Ok(Personal::Blocks),
        "block" | "unblock" => Ok(Personal::Block { user: user(argument)?, on: name == "block" }),
        "receipts" => match argument {
            "" => Ok(Personal::Receipts(None)),
            "on" | "off" => Ok(Personal::Receipts(Some(argument == "on"))),
            _ => Err("/receipts on, or /receipts off".to_owned()),
        },
        "devices" => Ok(Personal::Devices),
        "drop" if is_end(argument) => Ok(Personal::Drop(argument.to_lowercase())),
        "drop" => Err("that is no device; /devices shows them".to_owned()),
        _ => Err("no such command; /help lists them".to_owned()),
    }
}

/// What a change begins as.
const NO_CHANGE: StateChange =
    StateChange { pinned: None, archived: None, muted_until: None, marked_unread: None, delete_before: None };
/// What is said to a line that names no role.
const NO_ROLE: &str = "as in /role ben admin; there are owner, admin and member";

/// What is said to a line that names no message.
const NO_TARGET: &str = "which message? its number comes first, as in /react #7 +1";

fn user(text: &str) -> Result<UserId, String> {
    text.parse().map_err(|error: IdError| error.to_string())
}

fn users(text: &str) -> Result<Vec<UserId>, String> {
    text.split_whitespace().map(user).collect()
}

fn role(text: &str) -> Result<Role, String> {
    match text {
        "owner" => Ok(Role::Owner),
        "admin" => Ok(Role::Admin),
        "member" => Ok(Role::Member),
        _ => Err(NO_ROLE.to_owned()),
    }
}

fn draft(text: &str) -> Result<Draft, String> {
    let (title, members) = text.rsplit_once(':').ok_or("as in /group Trip to the sea: ben cid")?;
    Ok(Draft { title: some(title), members: users(members)?, ..Draft::default() })
}

/// A text, if there is one.
fn some(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn place(text: &str) -> Result<Place, String> {
    if let Ok(id) = text.parse() {
        return Ok(Place::Id(id));
    }
    is_end(text)
        .then(|| Place::End(text.to_lowercase()))
        .ok_or_else(|| "that is no conversation; /list shows them".to_owned())
}

/// Whether an id may end so.
fn is_end(text: &str) -> bool {
    text.len() >= 4 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_means() {
        let text = |text: &str| Ok(Line::Text(text.to_owned()));
        let users =
            |names: &[&str]| -> Vec<_> { names.iter().map(|name| UserId::new(name).expect("a user")).collect() };
        let ben = || UserId::new("ben").expect("a user");
        let contact =
            |name: Option<&str>| Ok(Line::Personal(Personal::Contact { user: ben(), name: name.map(str::to_owned) }));
        let id = "0190c5a1-7d2e-7cc3-9f0e-3f1d5c1f0a11";
        let cases = [
            ("", Ok(Line::Nothing)),
            ("hi there \r", text("hi there")),
            (" /quit", text(" /quit")),
            ("//quit", text("/quit")),
            ("/quit", Ok(Line::Quit)),
            ("/to ben", Ok(Line::To(ben()))),
            ("/read", Ok(Line::Read)),
            ("/in 5C1F0A11", Ok(Line::In(Place::End("5c1f0a11".to_owned())))),
            ("/group A: trip:  ben cid ", Ok(Line::Group(Draft::titled("A: trip", users(&["ben", "cid"]))))),
            ("/room Open:", Ok(Line::Room(Draft::titled("Open", [])))),
            ("/room :", Ok(Line::Room(Draft::default()))),
            ("/title The sea ", Ok(Line::Title(Some("The sea".to_owned())))),
            ("/title", Ok(Line::Title(None))),
            ("/role ben admin", Ok(Line::Role { user: ben(), role: Role::Admin })),
            ("/unpin", Ok(Line::Keep(StateChange { pinned: Some(false), ..NO_CHANGE }))),
            ("/mute", Ok(Line::Mute(None))),
            ("/mute 60", Ok(Line::Mute(Some(60)))),
            ("/unmute", Ok(Line::Keep(StateChange { muted_until: Some(UnixMs::ZERO), ..NO_CHANGE }))),
            ("/hide #7", Ok(Line::Keep(StateChange { delete_before: Some(Seq::new(7)), ..NO_CHANGE }))),
            ("/history", Ok(Line::History(None))),
            ("/history #7", Ok(Line::History(Some(Seq::new(7))))),
            ("/profile", Ok(Line::Personal(Personal::Profile(None)))),
            ("/contact ben Big  Ben", contact(Some("Big  Ben"))),
            ("/contact ben", contact(None)),
            ("/unblock ben", Ok(Line::Personal(Personal::Block { user: ben(), on: false }))),
            ("/receipts off", Ok(Line::Personal(Personal::Receipts(Some(false))))),
            ("/drop 5C1F", Ok(Line::Personal(Personal::Drop("5c1f".to_owned())))),
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
        for line in
            ["/role ben", "/role ben king", "/mute long", "/hide", "/join x", "/block", "/receipts no", "/drop x"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
