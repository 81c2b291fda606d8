//! Histories that are broken in one way each: a checker that cannot fail is a defect.

use super::*;
use crate::Counts;
use std::collections::BTreeSet;

mod reactions;
mod visits;

const CONVERSATION: ConversationId = ConversationId::from_bytes([1; 16]);
const FEED: ConversationId = ConversationId::from_bytes([2; 16]);
const PHONE: &str = "ana/phone";
const LAPTOP: &str = "ana/laptop";
const BEN: &str = "ben/phone";

fn entry_id(seq: u64) -> EntryId {
    EntryId::from_bytes([seq as u8; 16])
}

fn msg_id(seq: u64) -> ClientMsgId {
    ClientMsgId::new(&format!("m{seq}")).unwrap()
}

fn entry(seq: u64) -> Delivery {
    Delivery {
        conversation: CONVERSATION,
        seq: Seq::new(seq),
        id: entry_id(seq),
        sender_device: Some(DeviceId::from_bytes([9; 16])),
        client_msg_id: Some(msg_id(seq)),
        raw: None,
        shows: Some(Seq::new(seq)),
        mark: None,
    }
}

/// Three member devices; the phone has sent five messages, of which the server acknowledged all but the last.
fn begun() -> History {
    let mut history = History::new();
    for device in [PHONE, LAPTOP, BEN] {
        history.member(device, CONVERSATION);
    }
    for seq in 1..=5 {
        history.sent(PHONE, CONVERSATION, &msg_id(seq));
        if seq < 5 {
            history.acknowledged(PHONE, &msg_id(seq), Seq::new(seq), entry_id(seq));
        }
    }
    history
}

fn deliver(history: &mut History, device: &str, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        history.delivered(device, entry(seq));
    }
}

/// What is found if the laptop and Ben got everything, and the phone what `phone` gives it.
fn found(phone: impl FnOnce(&mut History)) -> Counts {
    let mut history = begun();
    for device in [LAPTOP, BEN] {
        deliver(&mut history, device, 1..=5);
    }
    phone(&mut history);
    let verdict = history.check();
    assert_eq!(verdict.is_clean(), verdict.examples.is_empty() && verdict.devices.is_empty(), "{verdict}");
    verdict.total
}

#[test]
fn a_whole_history_is_clean() {
    assert_eq!(found(|history| deliver(history, PHONE, 1..=5)), Counts::default());
    // A resend that gets the same answer, and feeds, which have no declared members.
    let counts = found(|history| {
        deliver(history, PHONE, 1..=5);
        history.sent(PHONE, CONVERSATION, &msg_id(2));
        history.acknowledged(PHONE, &msg_id(2), Seq::new(2), entry_id(2));
        history.delivered(BEN, Delivery { conversation: FEED, client_msg_id: None, ..entry(4) });
    });
    assert_eq!(counts, Counts::default());
}

#[test]
fn losses_are_found() {
    // One in the middle and the last, which nobody acknowledged but others have.
    let lost = found(|history| deliver(history, PHONE, [1, 2, 4]));
    assert_eq!(lost, Counts { lost: 2, acked_missing: 1, ..Counts::default() });
    let nothing = found(|_| {});
    assert_eq!(nothing, Counts { lost: 5, acked_missing: 4, ..Counts::default() });
}

#[test]
fn an_acknowledged_message_that_nobody_got_is_found() {
    let mut history = begun();
    for device in [PHONE, LAPTOP, BEN] {
        deliver(&mut history, device, 1..=3);
    }
    assert_eq!(history.check().total, Counts { lost: 3, acked_missing: 3, ..Counts::default() });
}

#[test]
fn announced_gaps_are_no_losses_but_do_not_excuse_an_acknowledged_message() {
    let counts = found(|history| {
        history.skipped(PHONE, CONVERSATION, Seq::new(5), Seq::new(5));
        deliver(history, PHONE, 1..=4);
    });
    assert_eq!(counts, Counts::default());
    let counts = found(|history| {
        history.skipped(PHONE, CONVERSATION, Seq::new(1), Seq::new(2));
        deliver(history, PHONE, 3..=5);
    });
    assert_eq!(counts, Counts { acked_missing: 2, ..Counts::default() });
}

#[test]
fn duplicates_are_found() {
    let counts = found(|history| deliver(history, PHONE, [1, 2, 3, 3, 4, 5, 1]));
    assert_eq!(counts, Counts { duplicated: 2, ..Counts::default() });
}

#[test]
fn a_wrong_order_is_found() {
    let counts = found(|history| deliver(history, PHONE, [1, 3, 2, 5, 4]));
    assert_eq!(counts, Counts { reordered: 2, ..Counts::default() });
}

#[test]
fn another_entry_at_an_acknowledged_place_is_found() {
    let counts = found(|history| {
        deliver(history, PHONE, 1..=2);
        history.delivered(PHONE, Delivery { id: entry_id(33), client_msg_id: Some(msg_id(33)), ..entry(3) });
        deliver(history, PHONE, 4..=5);
    });
    assert_eq!(counts, Counts { acked_missing: 1, diverged: 1, ..Counts::default() });
}

#[test]
fn a_message_stored_twice_is_found() {
    let counts = found(|history| {
        for device in [PHONE, LAPTOP, BEN] {
            if device == PHONE {
                deliver(history, device, 1..=5);
            }
            history.delivered(device, Delivery { client_msg_id: Some(msg_id(2)), ..entry(6) });
        }
    });
    assert_eq!(counts, Counts { stored_twice: 1, ..Counts::default() });
}

#[test]
fn a_raw_body_stored_twice_is_found() {
    let raw = |seq, text: &str| Delivery {
        sender_device: None,
        client_msg_id: Some(msg_id(seq)),
        raw: Some(text.to_owned()),
        ..entry(seq)
    };
    let with = |again: &str| {
        found(|history| {
            deliver(history, PHONE, 1..=5);
            for device in [PHONE, LAPTOP, BEN] {
                history.delivered(device, raw(6, "raw 1"));
                history.delivered(device, raw(7, again));
            }
            assert_eq!(history.raw_bodies(), BTreeSet::from(["raw 1", again]));
        })
    };
    assert_eq!(with("raw 1"), Counts { stored_twice: 1, ..Counts::default() });
    assert_eq!(with("raw 2"), Counts::default());
}

#[test]
fn two_answers_to_one_message_are_found() {
    let counts = found(|history| {
        deliver(history, PHONE, 1..=5);
        history.acknowledged(PHONE, &msg_id(2), Seq::new(5), entry_id(5));
    });
    // None of the three devices has m2 at place 5.
    assert_eq!(counts, Counts { stored_twice: 1, acked_missing: 3, ..Counts::default() });
}

#[test]
fn what_reaches_a_stranger_is_found() {
    let counts = found(|history| {
        deliver(history, PHONE, 1..=5);
        deliver(history, "eve/phone", 1..=1);
    });
    assert_eq!(counts, Counts { foreign: 1, ..Counts::default() });
}

#[test]
fn devices_catch_up() {
    let mut history = begun();
    for (device, seqs) in [(PHONE, 1..=5), (LAPTOP, 1..=5), (BEN, 1..=4)] {
        deliver(&mut history, device, seqs);
        assert!(!history.caught_up());
    }
    history.skipped(BEN, CONVERSATION, Seq::new(5), Seq::new(5));
    assert!(history.caught_up());
    history.acknowledged(PHONE, &msg_id(5), Seq::new(6), entry_id(6));
    assert!(!history.caught_up());
}
