//! What a person may type: messages and commands.

use lockstep_client::protocol::{ConversationId, Seq, StateChange, UserId};
use lockstep_client::{Draft, Role};
use std::io::BufRead;
use tokio::sync::mpsc;

/// Lines that may wait; the reader waits with one more.
const LINES_MAX: usize = 64;

/// What `/help` says, line by line.
pub(super) const HELP: &[&str] = &[
    "/to USER, /in ID: where lines go; the end of an ID, as shown before each message, will do",
    "/list: all conversations; /group TITLE: USER USER: a new group, and lines go there",
    "/room TITLE: USER USER: a new room, open to join; /join ID: into a room, and lines go there",
    "/members, /invite USER USER, /remove USER, /leave: of the group or room",
    "/title TEXT: what it is called; /role USER admin, member or owner: what somebody may do in it",
    "/reply #N TEXT, /react #N KEY, /unreact #N KEY, /edit #N TEXT, /recall #N: about message N",
    "/history: the last of the log; /history #N: what is before message N",
    "/unread: what is not read yet; /read: all of it is read; /who: where things stand",
    "/link CODE: who asks to be linked to you; /approve lets that device in, /refuse does not",
    "/pin, /unpin, /archive, /unarchive, /mute, /mute MINUTES, /unmute, /mark, /unmark: for all your devices",
    "/hide #N: what is before message N, for good; nobody else hears of these",
    "/profile, /profile USER: who somebody is; /name TEXT: who you are",
    "/contacts, /contact USER NAME, /uncontact USER; /blocks, /block USER, /unblock USER",
    "/receipts, /receipts on, /receipts off: whether others hear what has arrived and what you have read",
    "/devices: yours; /drop ID: removes one, and the end of its ID will do",
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
    Group(Draft),
    Room(Draft),
    Join(Place),
    Members,
    Invite(Vec<UserId>),
    Remove(UserId),
    Leave,
    /// A new title; none takes it away.
    Title(Option<String>),
    Role {
        user: UserId,
        role: Role,
    },
    /// For so many minutes; none for as long as it takes.
    Mute(Option<u64>),
    Keep(StateChange),
    /// What is before this message; none for the newest.
    History(Option<Seq>),
    Personal(Personal),
    Reply {
        target: Seq,
        text: String,
    },
    React {
        target: Seq,
        key: String,
        on: bool,
    },
    Edit {
        target: Seq,
        text: String,
    },
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

/// What is about people or devices, and no conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Personal {
    /// Somebody's; none for the own.
    Profile(Option<UserId>),
    Name(Option<String>),
    Contacts,
    Contact {
        user: UserId,
        name: Option<String>,
    },
    NoContact(UserId),
    Blocks,
    Block {
        user: UserId,
        on: bool,
    },
    /// Whether others hear of them; none to ask.
    Receipts(Option<bool>),
    Devices,
    /// The device whose id ends so.
    Drop(String),
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
