//! The inputs of a script, one a line.

use super::{Driver, admitted, conversation, entry, epoch, offset, point, show, with_body};
use lockstep_model::{
    Body, BootstrapFrame, ClientMsgId, Code, ConversationId, ConversationKind, Cursor, DeviceId, DeviceOnline, EntryId,
    FeedChange, FillNotice, Kind, LogChange, Notice, OffsetsVersion, Online, Page, PersonalChange, Receipt,
    ReceiptSettings, Receipts, ResumePoint, Sent, Seq, SharedEntry, SharedSignal, Shown, Signal, Skip, SkipReason,
    Source, Start, StateChange, Target, UnixMs, UserId, unread,
};
use lockstep_session::{Hello, Request};
use std::time::Duration;

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

impl Driver {
    /// Does what a line says and shows what came of it.
    pub(crate) fn run(&mut self, line: &str) -> Vec<String> {
        let mut words = line.split_whitespace().peekable();
        let verb = words.next().expect("a verb");
        let mut shown = Vec::new();
        match verb {
            "set" => self.set(&mut words),
            "open" => {
                // The whole handshake; only what opening the conversations brings is shown.
                ["hello", "admit", "resume"].into_iter().for_each(|line| drop(self.run(line)));
                self.session
                    .handle_notice(Notice::Resumed(points(line.split_once(' ').map_or("", |it| it.1))), self.now);
            }
            "wait" => self.wait(duration(&mut words)),
            "close" => self.session.close(code(&mut words)),
            "admit" => self.session.handle_admitted(admitted(), self.now),
            "renewed" => {
                let reference = Some(Seq::new(number(&mut words)));
                let refusal = words.next().map(|word| word.parse().expect("a code of the table"));
                self.session.handle_renewed(reference, refusal.map_or(Ok(()), Err), self.now);
            }
            "refuse" => self.session.handle_refused(code(&mut words)),
            "wants?" => shown.push(self.session.wants_requests().to_string()),
            "conversations?" => shown.extend(self.session.conversations().map(|it| show::letter(it).to_string())),
            "timeout?" => shown.push(format!("{:?}", self.session.poll_timeout().map(|at| at - self.now))),
            "opened" | "followed" => {
                let mut points = points(line.split_once(' ').map_or("", |it| it.1));
                let notice = match verb {
                    "opened" => Notice::Resumed(points),
                    _ => Notice::Followed(Box::new(points.remove(0))),
                };
                self.session.handle_notice(notice, self.now);
            }
            _ => match notice(verb, &mut words) {
                Some(notice) => self.session.handle_notice(notice, self.now),
                None => self.session.handle_request(request(verb, &mut words), self.now),
            },
        }
        self.drain();
        shown.extend(std::mem::take(&mut self.effects).iter().map(show::effect));
        shown
    }

    fn set(&mut self, words: &mut Words) {
        let (name, value) = (words.next().expect("a name"), number(words));
        self.configure(|config| match name {
            "window_entries" => config.window_entries = value,
            "window_bytes" => config.window_bytes = value as usize,
            "page_entries" => config.page_entries = value as u32,
            "reads_max" => config.reads_max = value as u32,
            "held_max" => config.held_max = value as usize,
            "shown_max" => config.shown_max = value as usize,
            "sends_waiting_max" => config.sends_waiting_max = value as u32,
            "sends_per_second" => config.sends_per_second = value as u32,
            "sends_burst" => config.sends_burst = value as u32,
            "signals_per_second" => config.signals_per_second = value as u32,
            "signals_burst" => config.signals_burst = value as u32,
            "frames_per_second" => config.frames_per_second = value as u32,
            "frames_burst" => config.frames_burst = value as u32,
            "age_max_s" => config.age_max = Duration::from_secs(value),
            other => panic!("no setting {other}"),
        });
    }
}

fn notice(verb: &str, words: &mut Words) -> Option<Notice> {
    Some(match verb {
        "entry" => {
            Notice::Entry(entry(id(words), number(words), words.next().map_or(0, |it| it.parse().expect("bytes"))))
        }
        // An entry of the feed that tells of another conversation.
        "added" => Notice::Entry(added(id(words), number(words), id(words))),
        // The entry by which the user leaves, and the one by which somebody else does.
        "left" => Notice::Entry(left(id(words), number(words), "ann")),
        "other_left" => Notice::Entry(left(id(words), number(words), "ben")),
        "filled" => Notice::Fill(Box::new(FillNotice::Filled(offset(id(words), number(words))))),
        "unfollowed" => Notice::Unfollowed(offset(id(words), number(words))),
        "head" => Notice::Head(offset(id(words), number(words))),
        "page" => Notice::Page(Box::new(page(words))),
        "overflow" => Notice::Overflowed,
        "describe" => Notice::Describe { question: number(words), conversation: id(words) },
        "failed" => Notice::Failed(code(words)),
        "signalled" => {
            let (conversation, user, device) = (id(words), user("eve"), DeviceId::from_bytes([9; 16]));
            Notice::Signal(SharedSignal::new(Signal { conversation, user, device, body: Body::text("hi") }))
        }
        "watched" => Notice::Watched { reference: Some(Seq::new(number(words))), outcome: Box::new(Ok(online())) },
        "unwatched" => {
            Notice::Watched { reference: Some(Seq::new(number(words))), outcome: Box::new(Err(code(words))) }
        }
        "device_came" => Notice::Devices([DeviceOnline { device: DeviceId::generate(), online: true }].into()),
        "came" => Notice::Presence(online().into()),
        "offsets" => {
            let (since, version) = span(words);
            let [since, version] = [since, version].map(OffsetsVersion::new);
            Notice::Offsets { since, version, offsets: vec![offset(conversation('a'), 1)] }
        }
        "sent" => {
            let (conversation, id) = (conversation('a'), EntryId::from_bytes([1; 16]));
            let (reference, seq) = (Seq::new(number(words)), Seq::new(1));
            let sent = Sent { conversation, seq, id, sent_at: UnixMs::new(1), duplicate: false };
            Notice::Sent { reference: Some(reference), outcome: Box::new(Ok(sent)) }
        }
        "unsent" => Notice::Sent { reference: Some(Seq::new(number(words))), outcome: Box::new(Err(code(words))) },
        "read_done" => Notice::ReadDone { reference: Some(Seq::new(number(words))), refusal: None },
        "read_refused" => Notice::ReadDone { reference: Some(Seq::new(number(words))), refusal: Some(code(words)) },
        "counted" => {
            let reference = Some(Seq::new(number(words)));
            let counted = unread(id(words), Seq::ZERO, Seq::new(9), number(words), 0, false);
            Notice::Unread { reference, outcome: Box::new(Ok(vec![counted])) }
        }
        "uncounted" => Notice::Unread { reference: Some(Seq::new(number(words))), outcome: Box::new(Err(code(words))) },
        "receipts" => Notice::Receipts(Box::new(receipts(words))),
        "settings" => Notice::Entry(settings(id(words), number(words), words.next())),
        _ => return None,
    })
}

fn request(verb: &str, words: &mut Words) -> Request {
    match verb {
        "hello" => {
            let mut hello = Hello {
                reference: None,
                token: "t".into(),
                epoch: Some(epoch(1)),
                feed: None,
                offsets_version: OffsetsVersion::new(2),
            };
            while let Some(word) = words.next() {
                match word {
                    "epoch" => {
                        hello.epoch = words.next().filter(|it| *it != "none").map(|it| epoch(it.parse().unwrap()))
                    }
                    "feed" => hello.feed = Some(Cursor { seq: Seq::new(number(words)), entry: None }),
                    other => panic!("{other} in hello"),
                }
            }
            Request::Hello(hello)
        }
        "resume" => {
            let mut shown = Vec::new();
            while words.peek().is_some_and(|word| *word != "more") {
                shown.push(Shown {
                    conversation: id(words),
                    cursor: Cursor { seq: Seq::new(number(words)), entry: None },
                });
            }
            Request::Resume { shown, more: words.next().is_some() }
        }
        "ack" => {
            let mut cursors = Vec::new();
            while words.peek().is_some() {
                cursors.push(offset(id(words), number(words)));
            }
            Request::Ack(cursors)
        }
        "send" => Request::Send {
            reference: Some(Seq::new(number(words))),
            target: Target::Conversation(conversation('a')),
            client_msg_id: ClientMsgId::new("m").expect("an id"),
            kind: Kind::Message,
            body: Body::text("hi"),
        },
        "read" => {
            let reference = Some(Seq::new(number(words)));
            Request::Read { reference, conversation: id(words), seq: Seq::new(number(words)) }
        }
        "signal" => {
            let reference = Some(Seq::new(number(words)));
            Request::Signal { reference, conversation: id(words), body: Body::text("hi") }
        }
        "watch" => Request::Watch { reference: Some(Seq::new(number(words))), users: vec![user("eve")] },
        "state" => {
            let (reference, change) = (Some(Seq::new(number(words))), StateChange::default());
            Request::State { reference, conversation: id(words), change }
        }
        "unread" => Request::Unread { reference: Some(Seq::new(number(words))), conversations: vec![id(words)] },
        "bootstrap" => {
            let (reference, entries, at) = (Some(Seq::new(number(words))), 100, vec![]);
            Request::Bootstrap(Box::new(BootstrapFrame::Start(Start { reference, entries, at, source: Source::Main })))
        }
        "renew" => Request::Renew { reference: Some(Seq::new(number(words))), token: "t".into() },
        "heartbeat" => Request::Heartbeat,
        "malformed" => Request::Malformed { reference: None, code: code(words), detail: "why".into() },
        other => panic!("no verb {other}"),
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a user")
}

fn online() -> Vec<Online> {
    vec![Online { user: user("eve"), online: true }]
}

/// `a 3..9, b reset 4..9, c left 3..9, d unfilled 0..9`: cursor and head, or floor and head.
fn points(text: &str) -> Vec<ResumePoint> {
    let point = |text: &str| {
        let mut words = text.split_whitespace().peekable();
        let conversation = id(&mut words);
        let ended = words.next_if(|word| *word == "left").is_some();
        let reset = words.next_if(|word| *word == "reset").is_some();
        let unfilled = words.next_if(|word| *word == "unfilled").is_some();
        let (from, head) = span(&mut words);
        let floor = Seq::new(if reset { from } else { 1 });
        ResumePoint { reset, floor, ended, unfilled, ..point(conversation, from, head) }
    };
    text.split(',').filter(|text| !text.trim().is_empty()).map(point).collect()
}

/// `a 1..4 head 9`, `a none head 0`, `a skip 1..3 4..5 head 9`; `each 1000` gives the cost of each entry, `left 3` makes one
/// of them that by which the user leaves, and `ended` says that nothing follows.
fn page(words: &mut Words) -> Page {
    let conversation = id(words);
    let (mut skip, mut range, mut head, mut cost) = (None, None, 0, 0);
    let (mut left_at, mut ended) = (None, false);
    while let Some(word) = words.next() {
        match word {
            "skip" => {
                let (from, to) = span(words);
                skip = Some(Skip { from: Seq::new(from), to: Seq::new(to), reason: SkipReason::Retention });
            }
            "none" => {}
            "head" => head = number(words),
            "left" => left_at = Some(number(words)),
            "ended" => ended = true,
            "each" => cost = number(words) as usize,
            word => range = word.split_once("..").map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap())),
        }
    }
    let (from, to) = range.unwrap_or((1, 0));
    let at = |seq| match left_at {
        Some(place) if place == seq => left(conversation, seq, "ann"),
        _ => entry(conversation, seq, cost),
    };
    let entries: Vec<_> = (from..=to).map(at).collect();
    let from = skip.map_or(entries.first().map_or(Seq::ZERO, |entry| entry.seq), |skip| skip.from);
    Page { conversation, from, skip, entries, head: Seq::new(head), ended }
}

fn added(feed: ConversationId, seq: u64, conversation: ConversationId) -> SharedEntry {
    let change = FeedChange::ConversationAdded { conversation, kind: ConversationKind::Group };
    with_body(feed, seq, Kind::System, change.to_body())
}

/// `a ben 5 3`: how far somebody has got and read.
fn receipts(words: &mut Words) -> Receipts {
    let (conversation, mut receipts) = (id(words), Vec::new());
    while let Some(user) = words.next() {
        let [delivered, read] = [number(words), number(words)].map(|seq| Some(Seq::new(seq)));
        receipts.push(Receipt { user: UserId::new(user).expect("a user"), delivered, read });
    }
    Receipts { conversation, receipts }
}

/// An entry of the feed that tells what is told from now on: `delivered`, `read` or nothing.
fn settings(feed: ConversationId, seq: u64, told: Option<&str>) -> SharedEntry {
    let settings = ReceiptSettings { delivered: told == Some("delivered"), read: told == Some("read") };
    with_body(feed, seq, Kind::System, PersonalChange::Settings(settings).to_body())
}

fn left(conversation: ConversationId, seq: u64, member: &str) -> SharedEntry {
    let member = UserId::new(member).expect("a user id");
    with_body(conversation, seq, Kind::System, LogChange::MemberLeft { member }.to_body())
}

fn id(words: &mut Words) -> ConversationId {
    conversation(words.next().and_then(|word| word.chars().next()).expect("a conversation"))
}

fn number(words: &mut Words) -> u64 {
    words.next().and_then(|word| word.parse().ok()).expect("a number")
}

fn span(words: &mut Words) -> (u64, u64) {
    let (from, to) = words.next().and_then(|word| word.split_once("..")).expect("a span such as 1..4");
    (from.parse().expect("a number"), to.parse().expect("a number"))
}

fn code(words: &mut Words) -> Code {
    words.next().expect("a code").parse().expect("a code of the table")
}

fn duration(words: &mut Words) -> Duration {
    let word = words.next().expect("a duration");
    match word.strip_suffix("ms") {
        Some(number) => Duration::from_millis(number.parse().expect("milliseconds")),
        None => Duration::from_secs(word.strip_suffix('s').and_then(|it| it.parse().ok()).expect("seconds")),
    }
}
