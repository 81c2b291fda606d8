//! What goes wrong where members come and go, and with recalls.

use super::{BEN, LAPTOP, PHONE, entry, entry_id, msg_id};
use crate::{Counts, Delivery, History};
use lockstep_protocol::{Body, ConversationId, DeviceId, Entry, Kind, Seq, UnixMs};
use serde_json::json;

const GROUP: ConversationId = ConversationId::from_bytes([3; 16]);

/// An entry of the group's log.
fn written(seq: u64, sender: &str, kind: Kind, body: &serde_json::Value) -> Entry {
    let is_system = kind == Kind::System;
    Entry {
        conversation: GROUP,
        seq: Seq::new(seq),
        id: entry_id(seq),
        kind,
        sender: serde_json::from_value(json!(sender)).unwrap(),
        sender_device: (!is_system).then_some(DeviceId::from_bytes([9; 16])),
        client_msg_id: (!is_system).then(|| msg_id(seq)),
        body: Body::parse(&body.to_string()).unwrap(),
        sent_at: UnixMs::new(1),
    }
}

fn system(seq: u64, body: &serde_json::Value) -> Entry {
    written(seq, "service:lockstep", Kind::System, body)
}

fn said(seq: u64, sender: &str) -> Entry {
    written(seq, sender, Kind::Message, &json!({"type": "text", "text": format!("words {seq}")}))
}

/// Ana's group, in which Ben is from 3 to 5 and from 8 on; newcomers see so much of what was before.
fn log(history: &serde_json::Value) -> Vec<Entry> {
    vec![
        system(1, &json!({"type": "created", "by": "ana", "kind": "group", "history": history})),
        said(2, "ana"),
        system(3, &json!({"type": "members_added", "by": "ana", "members": ["ben"]})),
        said(4, "ben"),
        system(5, &json!({"type": "member_removed", "by": "ana", "member": "ben"})),
        said(6, "ana"),
        said(7, "ana"),
        system(8, &json!({"type": "member_joined", "member": "ben"})),
        said(9, "ben"),
    ]
}

/// What is found if Ana's phone got the whole log, and Ben's phone these.
fn ben_gets(history: &serde_json::Value, seqs: &[u64]) -> Counts {
    found(&log(history), |_| {}, seqs)
}

fn found(log: &[Entry], more: impl FnOnce(&mut History), seqs: &[u64]) -> Counts {
    let mut history = History::new();
    history.visitor(PHONE, "ana", GROUP);
    history.visitor(BEN, "ben", GROUP);
    log.iter().for_each(|entry| history.delivered(PHONE, entry));
    for seq in seqs {
        history.delivered(BEN, &log[*seq as usize - 1]);
    }
    history.log(GROUP, log);
    more(&mut history);
    history.check().total
}

#[test]
fn visitors_have_their_stays_and_nothing_else() {
    let none = json!("none");
    assert_eq!(ben_gets(&none, &[3, 4, 5, 8, 9]), Counts::default());
    // What was said before joining, and after the removal.
    assert_eq!(ben_gets(&none, &[2, 3, 4, 5, 8, 9]), Counts { outside_membership: 1, ..Counts::default() });
    assert_eq!(ben_gets(&none, &[3, 4, 5, 6, 7, 8, 9]), Counts { outside_membership: 2, ..Counts::default() });
    // A message of the first stay, how it ended, and the last message.
    assert_eq!(ben_gets(&none, &[3, 5, 8, 9]), Counts { lost: 1, ..Counts::default() });
    assert_eq!(ben_gets(&none, &[3, 4, 8]), Counts { lost: 2, ..Counts::default() });
    assert_eq!(ben_gets(&none, &[]), Counts { lost: 5, ..Counts::default() });
    assert_eq!(ben_gets(&none, &[3, 4, 4, 5, 8, 9]), Counts { duplicated: 1, ..Counts::default() });
    assert_eq!(ben_gets(&none, &[3, 5, 4, 8, 9]), Counts { reordered: 1, ..Counts::default() });
}

#[test]
fn newcomers_have_the_history_that_they_were_promised() {
    assert_eq!(ben_gets(&json!(1), &[2, 3, 4, 5, 7, 8, 9]), Counts::default());
    assert_eq!(ben_gets(&json!(1), &[3, 4, 5, 7, 8, 9]), Counts { lost: 1, ..Counts::default() });
    let outside = Counts { outside_membership: 1, ..Counts::default() };
    assert_eq!(ben_gets(&json!(1), &[2, 3, 4, 5, 6, 7, 8, 9]), outside);
    assert_eq!(ben_gets(&json!("all"), &[1, 2, 3, 4, 5, 6, 7, 8, 9]), Counts::default());
    assert_eq!(ben_gets(&json!("all"), &[3, 4, 5, 8, 9]), Counts { lost: 4, ..Counts::default() });
}

#[test]
fn a_skip_is_no_excuse_within_a_stay() {
    let skips = |history: &mut History| history.skipped(BEN, GROUP, Seq::new(4), Seq::new(4));
    let counts = found(&log(&json!("none")), skips, &[3, 5, 8, 9]);
    assert_eq!(counts, Counts { lost: 1, ..Counts::default() });
}

#[test]
fn words_of_one_who_is_no_member_are_found() {
    let mut log = log(&json!("none"));
    log[5] = said(6, "ben");
    log[6] = said(7, "eve");
    let counts = found(&log, |_| {}, &[3, 4, 5, 8, 9]);
    assert_eq!(counts, Counts { outside_membership: 2, ..Counts::default() });
}

#[test]
fn acknowledged_and_refused_messages_are_looked_up_in_the_log() {
    let answers = |seq: u64, at: u64| {
        move |history: &mut History| {
            history.sent(BEN, GROUP, &msg_id(seq));
            history.acknowledged(BEN, &msg_id(seq), Seq::new(at), entry_id(at));
        }
    };
    let log = log(&json!("none"));
    let ben = [3, 4, 5, 8, 9];
    assert_eq!(found(&log, answers(4, 4), &ben), Counts::default());
    for (seq, at) in [(4, 9), (10, 10)] {
        assert_eq!(found(&log, answers(seq, at), &ben), Counts { acked_missing: 1, ..Counts::default() });
    }
    assert_eq!(found(&log, |history| history.refused(&msg_id(10)), &ben), Counts::default());
    let counts = found(&log, |history| history.refused(&msg_id(4)), &ben);
    assert_eq!(counts, Counts { refused_but_stored: 1, ..Counts::default() });
}

#[test]
fn another_entry_than_in_the_log_is_found() {
    let log = log(&json!("none"));
    let other = |history: &mut History| {
        history.delivered(BEN, Delivery { id: entry_id(44), client_msg_id: None, ..Delivery::from(&log[3]) });
    };
    assert_eq!(found(&log, other, &[3]), Counts { lost: 3, diverged: 1, ..Counts::default() });
}

#[test]
fn visitors_catch_up_to_the_end_of_their_last_stay() {
    let log = log(&json!("none"));
    for (log, end) in [(&log[..], 9), (&log[..7], 5)] {
        let mut history = History::new();
        history.visitor(BEN, "ben", GROUP);
        history.log(GROUP, log);
        history.delivered(BEN, &log[end - 2]);
        assert!(!history.caught_up(), "{end}");
        history.delivered(BEN, &log[end - 1]);
        assert!(history.caught_up(), "{end}");
        assert_eq!(history.departures(), 1);
    }
}

/// A message, its edit and its recall, as they stood before the recall and as they stand after it.
fn recalled() -> [[Entry; 3]; 2] {
    let edit = json!({"type": "edit", "target": 2, "body": {"type": "text", "text": "other words"}});
    let recall = written(4, "ana", Kind::Recall, &json!({"type": "recall", "target": 2}));
    let erased = |seq, kind| written(seq, "ana", kind, &json!({"type": "recalled"}));
    [
        [said(2, "ana"), written(3, "ana", Kind::Edit, &edit), recall.clone()],
        [erased(2, Kind::Message), erased(3, Kind::Edit), recall],
    ]
}

#[test]
fn pages_that_show_what_was_recalled_before_are_found() {
    let [before, after] = recalled();
    let shown = |ask_first: bool, page: &[Entry]| {
        let mut history = History::new();
        let early = history.moment();
        history.recalled(GROUP, Seq::new(2));
        let began = if ask_first { early } else { history.moment() };
        history.recalled(GROUP, Seq::new(7));
        history.read(began, page);
        history.check().total
    };
    assert_eq!(shown(false, &after), Counts::default());
    // The message and its edit.
    assert_eq!(shown(false, &before), Counts { recalled_but_shown: 2, ..Counts::default() });
    assert_eq!(shown(false, &before[1..]), Counts { recalled_but_shown: 1, ..Counts::default() });
    // Who asked before the recall may see them, and what was recalled since.
    assert_eq!(shown(true, &before), Counts::default());
    assert_eq!(shown(false, &[said(7, "ana"), said(8, "ana")]), Counts::default());
}

#[test]
fn devices_that_start_after_a_recall_and_show_the_words_are_found() {
    let [before, _] = recalled();
    let mut history = History::new();
    history.started(PHONE);
    history.recalled(GROUP, Seq::new(2));
    // It was connected: the words may have been on their way.
    history.delivered(PHONE, &before[0]);
    assert!(history.check().is_clean());
    history.started(LAPTOP);
    history.delivered(LAPTOP, &before[0]);
    history.delivered(LAPTOP, &before[1]);
    let verdict = history.check();
    assert_eq!(verdict.total, Counts { recalled_but_shown: 2, ..Counts::default() });
    assert_eq!(verdict.devices.keys().collect::<Vec<_>>(), [LAPTOP]);
    // Another conversation's message at the same place is none of it.
    history.delivered(LAPTOP, Delivery { client_msg_id: None, ..entry(2) });
    assert_eq!(history.check().total, verdict.total);
}
