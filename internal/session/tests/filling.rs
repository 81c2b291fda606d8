//! A device that is filled by another one (I8).

mod common;
use common::check;

#[test]
fn nothing_is_delivered_before_it_is_filled() {
    check(
        "> open a unfilled 0..5, b 2..2\ncaught_up
         > entry a 6\n> head a 8\n> wait 5ms\n> entry b 3\nentry b 3
         > filled a 4\nask read a from 5 count 128 head 8
         > entry a 9\n> page a 5..9 head 9\nentries a 5..9
         > entry a 10\nentry a 10\n> filled a 9\n> entry a 11\nentry a 11
         > ack a 4\n> ack a 11\nask acked a 11",
    );
}

#[test]
fn the_log_is_looked_at_even_if_nothing_was_heard() {
    check(
        "> open a unfilled 0..5\ncaught_up
         > filled a 5\nask read a from 6 count 128 head 5\n> page a none head 5\n> entry a 6\nentry a 6",
    );
    // The user has left meanwhile, or before.
    check(
        "> open a left unfilled 0..5\ncaught_up
         > filled a 5\nask read a from 6 count 128 head 5\n> page a none head 5 ended\nask follow a after 5
         > unfollowed a 5\n> entry a 6\n> conversations?",
    );
}

#[test]
fn what_is_about_filling_comes_after_the_beginning() {
    check("> bootstrap 1\nclose hello_expected");
    check(
        "> hello\nauthenticate t epoch 1 v2\n> admit\nwelcome\n> bootstrap 1\nfailed 1 bad_frame
         > resume\nask resume\n> bootstrap 2\nfailed 2 bad_frame\n> opened\ncaught_up\n> bootstrap 3\nask bootstrap 3",
    );
    // It counts as a send.
    check(
        "> set sends_burst 1\n> set sends_per_second 1\n> open\ncaught_up
         > bootstrap 1\nask bootstrap 1\n> bootstrap 2\nfailed 2 rate_limited retry after 1001 ms",
    );
}
