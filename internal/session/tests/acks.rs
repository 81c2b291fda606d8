//! Acknowledgements and the cursors that they move.

mod common;
use common::check;

#[test]
fn acknowledgements() {
    let begun =
        "> open a 5..5, b 0..0\ncaught_up\n> entry a 6\nentry a 6\n> entry a 7\nentry a 7\n> entry b 1\nentry b 1\n";
    let cases = [
        "> ack a 7\nask acked a 7\n> ack a 7\n> ack a 6\n> ack a 5\n> ack a 0",
        "> ack a 6 b 1\nask acked a 6\nask acked b 1\n> ack a 7\nask acked a 7",
        "> ack a 6 a 7\nask acked a 6\nask acked a 7",
        "> ack\n> ack a 8\nfailed ack_beyond\n> ack a 7\nask acked a 7",
        "> ack x 1\nfailed no_such_conversation",
        // The good ones count, one refusal is told.
        "> ack a 9 a 6 x 1 b 1\nask acked a 6\nask acked b 1\nfailed no_such_conversation",
        "> ack x 1 b 2 a 6\nask acked a 6\nfailed ack_beyond",
        "> ack a 9007199254740991\nfailed ack_beyond",
    ];
    for case in cases {
        check(&format!("{begun}{case}"));
    }
}

#[test]
fn nothing_can_be_acknowledged_before_it_was_delivered() {
    check("> hello\nauthenticate t epoch 1 v2\n> admit\nwelcome\n> ack a 0\nfailed no_such_conversation");
    check("> open a 0..3\nask read a from 1 count 128 head 3\n> ack a 1\nfailed ack_beyond");
}

#[test]
fn a_read_needs_a_quarter_of_the_window() {
    let full = "> set window_entries 4\n> open a 0..9\nask read a from 1 count 4 head 9\n> page a 1..4 head 9\nentries a 1..4\n";
    check(&format!("{full}> ack a 1\nask acked a 1\nask read a from 5 count 1 head 9"));
    let full =
        full.replace("window_entries 4", "window_entries 9").replace("count 4", "count 9").replace("1..4", "1..8");
    // 8 in flight of 9, then 7: a quarter is 2.
    check(&format!("{full}> ack a 1\nask acked a 1\nask read a from 9 count 2 head 9"));
    check(
        "> set window_entries 1\n> open a 0..2\nask read a from 1 count 1 head 2\n> page a 1..1 head 2\nentry a 1\n> ack a 1\nask acked a 1\nask read a from 2 count 1 head 2",
    );
}
