//! Effects as one line each.

use lockstep_model::{Ask, Code, ConversationId, Offset, Ref, Seq, Shown, TopicState};
use lockstep_session::{Effect, Event};

pub(super) fn letter(conversation: ConversationId) -> char {
    char::from(conversation.as_bytes()[0])
}

pub(super) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Authenticate { token, epoch, offsets_version } => {
            format!("authenticate {token} epoch {} v{offsets_version}", epoch.map_or(0, |epoch| epoch.as_bytes()[0]))
        }
        Effect::Renew { reference, token } => format!("renew {token}{}", number(*reference)),
        Effect::Ask(it) => ask(it),
        Effect::Emit(it) => event(it),
        Effect::Close(code) => format!("close {code}"),
    }
}

fn ask(ask: &Ask) -> String {
    match ask {
        Ask::Resume { shown, verify } => {
            let all: String = shown
                .iter()
                .map(|Shown { conversation, cursor }| format!(" {} {}", letter(*conversation), cursor.seq))
                .collect();
            format!("ask resume{all}{}", if *verify { " verify" } else { "" })
        }
        Ask::Follow(Offset { conversation, seq }) if *seq == Seq::ZERO => {
            format!("ask follow {}", letter(*conversation))
        }
        Ask::Follow(Offset { conversation, seq }) => format!("ask follow {} after {seq}", letter(*conversation)),
        Ask::Append { reference, .. } => format!("ask append{}", number(*reference)),
        Ask::Read { conversation, from, count, head } => {
            format!("ask read {} from {from} count {count} head {head}", letter(*conversation))
        }
        Ask::Acked { conversation, seq } => format!("ask acked {} {seq}", letter(*conversation)),
        Ask::AdvanceOffset { reference, conversation, seq } => {
            format!("ask advance{} {} {seq}", number(*reference), letter(*conversation))
        }
        Ask::Signal { conversation, .. } => format!("ask signal {}", letter(*conversation)),
        Ask::Watch { reference, users } => format!("ask watch{} {}", number(*reference), users.len()),
        Ask::ChangeState { reference, conversation, .. } => {
            format!("ask state{} {}", number(*reference), letter(*conversation))
        }
        Ask::Unread { reference, conversations } => {
            let all: String = conversations.iter().map(|it| format!(" {}", letter(*it))).collect();
            format!("ask unread{}{all}", number(*reference))
        }
        Ask::Bootstrap(frame) => format!("ask bootstrap{}", number(frame.reference())),
        Ask::Recheck { conversations, offsets_version } => {
            let all: String = conversations.iter().map(|it| format!(" {}", letter(*it))).collect();
            format!("ask recheck{all} v{offsets_version}")
        }
        Ask::Described { question, topic: TopicState { mode, next, acked, in_flight } } => {
            format!("ask described {question} {mode:?} next {next} acked {acked} in flight {in_flight}")
        }
    }
}

fn event(event: &Event) -> String {
    match event {
        Event::Welcome { .. } => "welcome".into(),
        Event::Offsets { version, offsets } => {
            let all: String = offsets
                .iter()
                .map(|Offset { conversation, seq }| format!(" {} {seq}", letter(*conversation)))
                .collect();
            format!("offsets v{version}{all}")
        }
        Event::CaughtUp => "caught_up".into(),
        Event::Entry(entry) => format!("entry {} {}", letter(entry.conversation), entry.seq),
        Event::Entries(entries) => {
            let [first, .., last] = entries.as_slice() else { return "entries: fewer than two".into() };
            format!("entries {} {}..{}", letter(first.conversation), first.seq, last.seq)
        }
        Event::Skip { conversation, skip } => format!("skip {} {}..{}", letter(*conversation), skip.from, skip.to),
        Event::Reset { conversation, floor, head, .. } => format!("reset {} {floor}..{head}", letter(*conversation)),
        Event::Sent { reference, .. } => format!("sent{}", number(*reference)),
        Event::Done { reference } => format!("done{}", number(*reference)),
        Event::Signal(signal) => format!("signal {}", letter(signal.conversation)),
        Event::Devices(devices) => format!("devices {}", devices.len()),
        Event::Presence { reference, users } => format!("presence{} {}", number(*reference), users.len()),
        Event::Unread { reference, conversations } => {
            let all: String =
                conversations.iter().map(|it| format!(" {} {}", letter(it.conversation), it.unread)).collect();
            format!("unread{}{all}", number(*reference))
        }
        Event::Receipts(told) => {
            let place = |seq: Option<Seq>| seq.map_or("-".to_owned(), |seq| seq.to_string());
            let receipts = told.receipts.iter();
            let all: String =
                receipts.map(|it| format!(" {} {} {}", it.user, place(it.delivered), place(it.read))).collect();
            format!("receipts {}{all}", letter(told.conversation))
        }
        Event::Heartbeat => "heartbeat".into(),
        Event::Bootstrap(_) => "bootstrap".into(),
        Event::Failed { reference, code, retry_after_ms, .. } => failed(*reference, *code, *retry_after_ms),
    }
}

fn failed(reference: Option<Ref>, code: Code, retry_after_ms: Option<u64>) -> String {
    let retry = retry_after_ms.map_or(String::new(), |wait| format!(" retry after {wait} ms"));
    format!("failed{} {code}{retry}", number(reference))
}

fn number(reference: Option<Seq>) -> String {
    reference.map_or(String::new(), |it| format!(" {it}"))
}
