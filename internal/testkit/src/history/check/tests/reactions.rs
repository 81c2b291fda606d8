//! Reactions that a device does not show as the others do.

use super::*;
use crate::Mark;

fn reaction(key: &str, on: bool, user: &str) -> Mark {
    Mark::Reaction { target: Seq::new(1), key: key.to_owned(), on, user: user.to_owned() }
}

fn marked(seq: u64, mark: Mark) -> Delivery {
    Delivery { mark: Some(mark), shows: None, ..entry(seq) }
}

/// What the phone finds if it gets these, and the others the same in the order of the log.
fn diverged(log: &[(u64, Mark)], phone: &[(u64, Mark)]) -> usize {
    let counts = found_with(log, phone);
    counts.reactions_diverged
}

fn found_with(log: &[(u64, Mark)], phone: &[(u64, Mark)]) -> Counts {
    let mut history = begun();
    for device in [LAPTOP, BEN, PHONE] {
        deliver(&mut history, device, 1..=1);
        let got = if device == PHONE { phone } else { log };
        got.iter().for_each(|(seq, mark)| history.delivered(device, marked(*seq, mark.clone())));
    }
    history.check().total
}

#[test]
fn all_show_what_the_log_leaves() {
    let log = [
        (2, reaction("+1", true, "ana")),
        (3, reaction("+1", true, "ben")),
        (4, reaction("+1", false, "ana")),
        (5, reaction("x", true, "ana")),
    ];
    assert_eq!(diverged(&log, &log), 0);
    assert_eq!(diverged(&log, &log[..2]), 1, "one lacks what came last");
    let mut turned = log.clone();
    turned.swap(0, 2);
    assert_eq!(diverged(&log, &turned), 1, "one took back before it was placed");
    let recall = Mark::Recall { target: Seq::new(1) };
    let recalled = [log[0].clone(), (3, recall)];
    assert_eq!(diverged(&recalled, &recalled), 0);
    assert_eq!(diverged(&recalled, &recalled[..1]), 1, "one has not heard of the recall");
}

#[test]
fn an_acknowledged_reaction_stands_where_it_was_put() {
    let mut history = begun();
    for device in [LAPTOP, BEN, PHONE] {
        deliver(&mut history, device, 1..=4);
        history.delivered(device, marked(5, reaction("+1", true, "ana")));
    }
    history.reacted(CONVERSATION, Seq::new(5), reaction("+1", true, "ana"));
    assert_eq!((history.check().total, history.reactions_shown()), (Counts::default(), 1));
    history.reacted(CONVERSATION, Seq::new(4), reaction("x", true, "ana"));
    history.reacted(CONVERSATION, Seq::new(5), reaction("+1", false, "ana"));
    assert_eq!((history.check().total.reactions_diverged, history.reaction_count()), (2, 2));
}
