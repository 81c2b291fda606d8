//! In order, once (I3): live, held, read from the log, skipped.

mod common;
use common::check;

/// One conversation that stands at 5, live.
const OPEN: &str = "> open a 5..5\ncaught_up\n";

#[test]
fn live_delivery_drops_duplicates() {
    check(&format!(
        "{OPEN}> entry a 6\nentry a 6\n> entry a 6\n> entry a 3\n> entry a 7\nentry a 7\n> entry a 6\n> entry x 1\n> head a 7"
    ));
}

#[test]
fn what_comes_out_of_order_within_the_grace_is_not_read() {
    let cases = [
        "> entry a 7\n> timeout?\nSome(5ms)\n> wait 4ms\n> entry a 6\nentry a 6\nentry a 7\n> wait 5ms",
        "> entry a 8\n> entry a 7\n> entry a 7\n> entry a 6\nentry a 6\nentry a 7\nentry a 8\n> wait 5ms\n> entry a 9\nentry a 9",
        // Of the two that wait, only the first one's time counts.
        "> entry a 8\n> wait 3ms\n> entry a 7\n> wait 2ms\nask read a from 6 count 128 head 8",
    ];
    for case in cases {
        check(&format!("{OPEN}{case}"));
    }
}

#[test]
fn a_gap_is_read_after_the_grace() {
    let read = "> entry a 8\n> wait 5ms\nask read a from 6 count 128 head 8\n";
    let cases = [
        "> page a 6..8 head 8\nentries a 6..8\n> entry a 9\nentry a 9",
        // The log was ahead of the broker, and behind it.
        "> page a 6..9 head 9\nentries a 6..9\n> entry a 8\n> entry a 9\n> entry a 10\nentry a 10",
        "> page a 6..7 head 8\nentries a 6..7\nask read a from 8 count 128 head 8\n> page a 8..8 head 8\nentry a 8",
        // An envelope whose gap read finds the head below it was none of the log's.
        "> page a none head 5\n> entry a 6\nentry a 6",
        // What comes while reading follows the page, or is read next if it does not.
        "> entry a 9\n> page a 6..8 head 8\nentries a 6..8\nentry a 9",
        "> entry a 10\n> page a 6..8 head 8\nentries a 6..8\n> wait 5ms\nask read a from 9 count 128 head 10",
        "> entry a 9\n> wait 5ms\n> page a 6..8 head 8\nentries a 6..8\nask read a from 9 count 128 head 9",
        "> head a 9\n> page a 6..8 head 8\nentries a 6..8\nask read a from 9 count 128 head 9",
        // A page that nobody asked for.
        "> page a 6..8 head 8\nentries a 6..8\n> page a 9..9 head 9\n> entry a 9\nentry a 9",
    ];
    for case in cases {
        check(&format!("{OPEN}{read}{case}"));
    }
}

#[test]
fn when_too_many_wait_the_log_is_read_up_to_the_last_of_them() {
    check(&format!(
        "> set held_max 2\n{OPEN}> entry a 9\n> entry a 8\n> entry a 7\nask read a from 6 count 128 head 9
         > page a 6..9 head 9\nentries a 6..9\n> entry a 10\nentry a 10"
    ));
}

#[test]
fn a_head_signal_is_read_at_once_unless_it_tells_nothing_new() {
    let cases = [
        "> head a 5\n> head a 3",
        "> head a 6\nask read a from 6 count 128 head 6\n> page a 6..6 head 6\nentry a 6",
        // Refuted by the log: live again, no further read.
        "> head a 9007199254740991\nask read a from 6 count 128 head 4294967300\n> page a none head 5\n> entry a 6\nentry a 6",
        // One that counts as held is not forgotten.
        "> entry a 9\n> head a 7\nask read a from 6 count 128 head 9",
    ];
    for case in cases {
        check(&format!("{OPEN}{case}"));
    }
}

#[test]
fn a_log_that_promises_and_does_not_give_closes_the_connection() {
    for page in ["none head 8", "7..8 head 8"] {
        check(&format!("{OPEN}> head a 8\nask read a from 6 count 128 head 8\n> page a {page}\nclose unavailable"));
    }
}

#[test]
fn skips() {
    let read = "> open a 5..9\nask read a from 6 count 128 head 9\n";
    let cases = [
        "> page a skip 6..7 8..9 head 9\nskip a 6..7\nask acked a 7\nentries a 8..9\ncaught_up\n> ack a 7\n> ack a 8\nask acked a 8",
        "> page a skip 6..9 head 9\nskip a 6..9\nask acked a 9\ncaught_up\n> entry a 10\nentry a 10",
        "> page a skip 6..12 head 9\nskip a 6..12\nask acked a 12\ncaught_up\n> entry a 13\nentry a 13",
        "> page a skip 6..7 head 9\nskip a 6..7\nask acked a 7\nask read a from 8 count 128 head 9",
    ];
    for case in cases {
        check(&format!("{read}{case}"));
    }
}

#[test]
fn a_skip_waits_until_what_was_delivered_is_acknowledged() {
    check(
        "> open a 5..9
         ask read a from 6 count 128 head 9
         > page a 6..7 head 9
         entries a 6..7
         ask read a from 8 count 128 head 9
         > page a skip 8..8 9..9 head 9
         > entry a 10
         > head a 11
         > ack a 6
         ask acked a 6
         > ack a 7
         ask acked a 7
         ask read a from 8 count 128 head 11
         > page a skip 8..8 9..11 head 11
         skip a 8..8
         ask acked a 8
         entries a 9..11
         caught_up",
    );
    // From then on a part of the window is enough again.
    check(&format!(
        "> set window_entries 4\n{OPEN}> entry a 6\nentry a 6\n> head a 20\nask read a from 7 count 3 head 20
         > page a skip 7..7 head 20\n> ack a 6\nask acked a 6\nask read a from 7 count 4 head 20
         > page a skip 7..7 8..11 head 20\nskip a 7..7\nask acked a 7\nentries a 8..11
         > ack a 8\nask acked a 8\nask read a from 12 count 1 head 20"
    ));
    // Also if the log ends before the skip does.
    check(&format!(
        "{OPEN}> entry a 6\nentry a 6\n> head a 8\nask read a from 7 count 128 head 8\n> page a skip 7..7 head 6
         > ack a 6\nask acked a 6\nask read a from 7 count 128 head 7"
    ));
}

#[test]
fn a_full_window_of_entries() {
    check(&format!(
        "> set window_entries 8\n{OPEN}> head a 13\nask read a from 6 count 8 head 13
         > page a 6..13 head 13
         entries a 6..13
         > entry a 14
         > entry a 15
         > ack a 6
         ask acked a 6
         > ack a 7
         ask acked a 7
         ask read a from 14 count 2 head 15
         > ack a 13
         ask acked a 13
         > page a 14..15 head 15
         entries a 14..15
         > entry a 16
         entry a 16"
    ));
}

#[test]
fn a_full_window_of_bytes() {
    check(
        "> set window_bytes 4000
         > open a 0..0, b 0..0, c 0..0
         caught_up
         > entry a 1 1000
         entry a 1
         > entry a 2 1000
         entry a 2
         > entry b 1 1000
         entry b 1
         > entry a 3 2000
         > entry b 2
         > entry c 1
         > ack a 1
         ask acked a 1
         ask read a from 3 count 128 head 3
         ask read b from 2 count 128 head 2
         ask read c from 1 count 128 head 1
         > page b 2..2 head 2
         entry b 2
         > page a 3..4 head 4 each 2000
         > page c 1..1 head 1
         > entry c 2
         > ack b 2
         ask acked b 2
         > ack a 2
         ask acked a 2
         ask read a from 3 count 128 head 4
         ask read c from 1 count 128 head 2",
    );
    // What is larger than the whole window goes alone.
    check(
        "> set window_bytes 1000\n> open a 0..0\ncaught_up\n> entry a 1 5000\nentry a 1\n> entry a 2 5000
         > ack a 1\nask acked a 1\nask read a from 2 count 128 head 2\n> page a 2..2 head 2 each 5000\nentry a 2",
    );
}

#[test]
fn reads_are_bounded_and_take_turns() {
    check(
        "> set reads_max 2
         > open a 0..1, b 0..1, c 0..1
         ask read a from 1 count 128 head 1
         ask read b from 1 count 128 head 1
         > page b 1..1 head 2
         entry b 1
         ask read c from 1 count 128 head 1
         > page a 1..1 head 1
         entry a 1
         ask read b from 2 count 128 head 2
         > page c 1..1 head 1
         entry c 1
         > page b 2..2 head 2
         entry b 2
         caught_up
         > head a 2
         ask read a from 2 count 128 head 2
         > page a 2..2 head 2
         entry a 2",
    );
}

#[test]
fn a_long_log_comes_page_by_page() {
    check(
        "> set window_entries 8\n> set page_entries 3\n> open a 0..7\nask read a from 1 count 3 head 7
         > page a 1..3 head 7\nentries a 1..3\nask read a from 4 count 3 head 7
         > page a 4..6 head 7\nentries a 4..6\nask read a from 7 count 2 head 7
         > page a 7..7 head 7\nentry a 7\ncaught_up",
    );
}

#[test]
fn the_feed_tells_of_further_conversations() {
    check(
        "> open a 0..0, f 0..0
         caught_up
         > added f 1 a
         entry f 1
         > added f 2 b
         ask follow b
         entry f 2
         > entry b 3
         > added a 1 c
         entry a 1
         > followed b 1..2
         ask read b from 2 count 128 head 3
         > page b 2..3 head 3
         entries b 2..3
         > entry b 4
         entry b 4
         > followed b 0..4
         > entry b 5
         entry b 5
         > followed c reset 4..3
         reset c 4..3
         > entry c 4
         entry c 4",
    );
}

#[test]
fn what_was_missed_while_a_conversation_was_opened_is_asked_for() {
    let full =
        "> set held_max 1\n> open a 0..0\ncaught_up\n> entry b 1\n> entry c 1\n> followed b 0..0\nask recheck b v3";
    check(&format!("{full}\nask read b from 1 count 128 head 1\n> followed c 0..0\nask recheck c v3"));
    check("> open a 0..0\ncaught_up\n> overflow\nask recheck a v3\n> followed b 0..0\nask recheck b v3");
}
