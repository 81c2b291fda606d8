//! Stays that end and begin while entries flow (I11).

mod common;
use common::check;

/// One conversation that stands at 5, live.
const OPEN: &str = "> open a 5..5\ncaught_up\n";

#[test]
fn nothing_follows_the_entry_by_which_the_user_leaves() {
    let cases = [
        // Live; what the broker still brings is dropped, and nothing is read.
        "> left a 6\nentry a 6\nask follow a after 6\n> entry a 7\n> head a 9\n> entry a 9\n> wait 5ms\n> unfollowed a 6",
        // What waits for its turn goes with it.
        "> entry a 8\n> left a 7\n> entry a 6\nentry a 6\nentry a 7\nask follow a after 7\n> wait 5ms\n> entry a 8",
        // In a page that goes on.
        "> entry a 9\n> wait 5ms\nask read a from 6 count 128 head 9
         > page a 6..9 head 9 left 8\nentries a 6..8\nask follow a after 8\n> entry a 9\n> entry a 10\n> wait 5ms",
        // Live entries that came while the page was read.
        "> entry a 8\n> wait 5ms\nask read a from 6 count 128 head 8\n> entry a 9
         > page a 6..8 head 8 left 8\nentries a 6..8\nask follow a after 8\n> wait 5ms",
        // The stay's end is known, though the entry has fallen to retention.
        "> head a 9\nask read a from 6 count 128 head 9
         > page a skip 6..8 none head 9 ended\nskip a 6..8\nask acked a 8\nask follow a after 8\n> entry a 9\n> conversations?",
        // Somebody else's leaving ends nothing.
        "> other_left a 6\nentry a 6\n> entry a 7\nentry a 7",
    ];
    for case in cases {
        check(&format!("{OPEN}{case}"));
    }
}

#[test]
fn what_was_delivered_before_the_end_is_acknowledged_after_it() {
    check(&format!(
        "{OPEN}> entry a 6\nentry a 6\n> left a 7\nentry a 7\nask follow a after 7\n> conversations?\na
         > ack a 6\nask acked a 6\n> read 1 a 6\nfailed 1 no_such_conversation\n> ack a 8\nfailed ack_beyond
         > ack a 7\nask acked a 7\n> conversations?\n> ack a 7\nfailed no_such_conversation\n> wait 24s"
    ));
}

#[test]
fn a_full_window_ends_where_the_stay_does() {
    check(
        "> set window_entries 4\n> open a 5..5\ncaught_up
         > entry a 6\nentry a 6\n> entry a 7\nentry a 7\n> entry a 8\nentry a 8\n> entry a 9\nentry a 9
         > left a 10\n> entry a 11\n> ack a 8\nask acked a 8\nask read a from 10 count 3 head 11
         > page a 10..12 head 12 left 10\nentry a 10\nask follow a after 10\n> ack a 10\nask acked a 10\n> conversations?",
    );
    // A stay that ends behind what the window takes of a page goes on until there.
    check(
        "> set window_entries 2\n> open a 5..8\nask read a from 6 count 2 head 8\n> page a 6..7 head 8\nentries a 6..7
         > ack a 7\nask acked a 7\nask read a from 8 count 2 head 8
         > page a 8..8 head 8 left 8 ended\nentry a 8\nask follow a after 8
         > unfollowed a 8\ncaught_up",
    );
}

#[test]
fn one_who_joins_again_goes_on_in_the_new_stay() {
    let left = "> left a 6\nentry a 6\nask follow a after 6\n";
    let cases = [
        // All was acknowledged: it begins like any other.
        "> ack a 6\nask acked a 6\n> unfollowed a 6\n> added f 1 a\nask follow a\nentry f 1
         > followed a 6..9\nask read a from 7 count 128 head 9
         > page a skip 7..8 none head 9\nskip a 7..8\nask acked a 8\nask read a from 9 count 128 head 9
         > page a 9..9 head 9\nentry a 9\n> entry a 10\nentry a 10",
        // Not all: the skip waits until it is.
        "> followed a 0..9\nask read a from 7 count 128 head 9\n> page a skip 7..8 none head 9
         > ack a 6\nask acked a 6\nask read a from 7 count 128 head 9\n> page a skip 7..8 none head 9
         skip a 7..8\nask acked a 8\nask read a from 9 count 128 head 9\n> page a 9..9 head 9\nentry a 9",
        // The feed tells of it before the answer; the second answer says nothing new.
        "> added f 1 a\nentry f 1\n> followed a 0..7\nask read a from 7 count 128 head 7
         > followed a 0..7\n> page a 7..7 head 7\nentry a 7",
        // The answer is older than what the feed tells: it is asked again.
        "> added f 1 a\nentry f 1\n> added f 2 a\nentry f 2\n> unfollowed a 6\nask follow a after 6
         > followed a 0..7\nask read a from 7 count 128 head 7",
        // What the new consumer brings before the answer is not lost.
        "> entry a 9\n> followed a 0..8\nask read a from 7 count 128 head 9",
        // What was heard in the time between is of no interest any more.
        "> entry a 9\n> unfollowed a 6\n> followed a 0..8\nask read a from 7 count 128 head 8",
    ];
    for case in cases {
        check(&format!("> open f 0..0, a 5..5\ncaught_up\n{left}{case}"));
    }
}

#[test]
fn a_stay_that_ended_unseen_is_read_to_its_end() {
    check(&format!(
        "{OPEN}> unfollowed a 7\nask read a from 6 count 128 head 7
         > page a 6..7 head 7 left 7 ended\nentries a 6..7\nask follow a after 7\n> unfollowed a 7\n> ack a 7\nask acked a 7"
    ));
    // And a conversation that never was followed is none.
    check(&format!("{OPEN}> unfollowed x 7\n> overflow\nask recheck a v3"));
}

#[test]
fn a_conversation_that_ends_has_caught_up() {
    check(
        "> open a 5..7, b 1..2\nask read a from 6 count 128 head 7\nask read b from 2 count 128 head 2
         > page b 2..2 head 2\nentry b 2\n> page a 6..7 head 7 left 7 ended\nentries a 6..7\nask follow a after 7
         > unfollowed a 7\ncaught_up\n> overflow\nask recheck b v3",
    );
}

#[test]
fn a_conversation_that_was_left_and_is_reset_begins_anew_when_the_user_joins_again() {
    check(
        "> open f 0..0, a left reset 4..3\nreset a 4..3\ncaught_up\n> conversations?\nf
         > added f 1 a\nask follow a\nentry f 1\n> followed a 3..9\nask read a from 4 count 128 head 9",
    );
}

#[test]
fn a_conversation_of_several_stays_has_caught_up_after_the_last() {
    let first = "> open f 0..0, a 5..9\nask read a from 6 count 128 head 9
         > page a 6..7 head 7 left 7 ended\nentries a 6..7\nask follow a after 7\n";
    let second = "ask read a from 8 count 128 head 9
         > page a 8..9 head 9\nentries a 8..9\ncaught_up\n> entry a 10\nentry a 10";
    let cases = [
        // Before all of the first is acknowledged, and after it.
        format!("> followed a 7..9\n{second}"),
        format!("> ack a 7\nask acked a 7\n> followed a 7..9\n{second}"),
        // The answer is older than what the feed tells.
        format!("> added f 1 a\nentry f 1\n> unfollowed a 7\nask follow a after 7\n> followed a 7..9\n{second}"),
        // A third one, and nothing after it.
        "> followed a 7..9\nask read a from 8 count 128 head 9\n> page a 8..9 head 9 left 9 ended\nentries a 8..9
         ask follow a after 9\n> unfollowed a 9\ncaught_up"
            .into(),
        // A new stay in which nothing has been written yet.
        "> followed a 7..7\ncaught_up\n> entry a 8\nentry a 8".into(),
    ];
    for case in cases {
        check(&format!("{first}{case}"));
    }
}
