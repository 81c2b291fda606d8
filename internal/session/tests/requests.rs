//! What a device asks, its limits, and the end.

mod common;
use common::{Driver, check};
use lockstep_model::{Ask, Code};
use lockstep_session::{Effect, Request};
use std::time::Duration;

const OPEN: &str = "> open a 5..5\ncaught_up\n";

#[test]
fn sends_and_read_offsets_are_answered() {
    let cases = [
        "> send 1\nask append 1\n> sent 1\nsent 1",
        "> send 1\nask append 1\n> unsent 1 try_again\nfailed 1 try_again\n> send 1\nask append 1",
        "> send 1\nask append 1\n> unsent 1 device_removed\nclose device_removed",
        "> read 1 a 5\nask advance 1 a 5\n> read_done 1\ndone 1",
        "> read 1 a 5\nask advance 1 a 5\n> read_refused 1 try_again\nfailed 1 try_again",
        "> read 1 a 6\nfailed 1 read_beyond\n> entry a 6\nentry a 6\n> read 2 a 6\nask advance 2 a 6",
        "> read 1 x 1\nfailed 1 no_such_conversation",
        "> state 1 a\nask state 1 a\n> read_done 1\ndone 1",
        "> state 1 x\nask state 1 x\n> read_refused 1 no_such_conversation\nfailed 1 no_such_conversation",
        "> unread 1 a\nask unread 1 a\n> counted 1 a 4\nunread 1 a 4",
        "> unread 1 a\nask unread 1 a\n> uncounted 1 try_again\nfailed 1 try_again",
        "> malformed bad_body\nfailed bad_body",
        "> malformed frame_too_large\nclose frame_too_large",
    ];
    for case in cases {
        check(&format!("{OPEN}{case}"));
    }
}

#[test]
fn receipts_are_told_of_others_as_far_as_the_user_tells() {
    let open = "> open a 5..5, f 1..1\ncaught_up\n";
    let cases = [
        "> receipts a ben 5 3 eve 4 4\nreceipts a ben 5 3 eve 4 4",
        "> receipts a ann 5 3",
        "> receipts a ann 5 3 ben 2 1\nreceipts a ben 2 1",
        "> receipts x ben 5 3",
        "> settings f 2 delivered\nentry f 2\n> receipts a ben 5 3\nreceipts a ben 5 -",
        "> settings f 2 read\nentry f 2\n> receipts a ben 5 3\nreceipts a ben - 3",
        "> settings f 2 nothing\nentry f 2\n> receipts a ben 5 3",
        // A message of another conversation may look like the feed's.
        "> settings a 6 nothing\nentry a 6\n> receipts a ben 5 3\nreceipts a ben 5 3",
    ];
    for case in cases {
        check(&format!("{open}{case}"));
    }
}

#[test]
fn sends_beyond_the_rate_are_refused_until_it_allows() {
    check(&format!(
        "> set sends_burst 2\n> set sends_per_second 10\n{OPEN}> send 1\nask append 1\n> send 2\nask append 2
         > send 3\nfailed 3 rate_limited retry after 101 ms\n> wait 99ms\n> send 4\nfailed 4 rate_limited retry after 2 ms
         > wait 1ms\n> send 5\nask append 5\n> send 6\nfailed 6 rate_limited retry after 101 ms"
    ));
}

#[test]
fn signals_go_where_the_device_follows_and_beyond_the_rate_nowhere() {
    check(
        "> set signals_burst 2\n> set signals_per_second 1\n> open a 5..5, b 1..1\ncaught_up\n> signal 1 x
         failed 1 no_such_conversation\n> signal 2 a\nask signal a\n> signal 3 a\nask signal a\n> signal 4 a
         > signal 5 b\nask signal b\n> wait 999ms\n> signal 6 a\n> wait 1ms\n> signal 7 a\nask signal a\n> signal 8 a",
    );
    check(&format!("{OPEN}> signalled a\nsignal a\n> signalled x\n> entry a 6\nentry a 6"));
}

/// Who lags on purpose would hear what is kept nowhere long after a removal that lies further up in the log.
#[test]
fn what_is_kept_nowhere_is_told_only_where_nothing_is_missing() {
    check(
        "> open a 5..9\nask read a from 6 count 128 head 9\n> signalled a\n> receipts a ben 5 3
         > page a 6..9 head 9\nentries a 6..9\ncaught_up\n> signalled a\nsignal a\n> receipts a ben 9 3\nreceipts a ben 9 3",
    );
}

#[test]
fn what_asks_the_store_counts_as_a_send() {
    for words in ["state 2 a", "unread 2 a", "watch 2"] {
        let refused = "failed 2 rate_limited retry after 1001 ms";
        check(&format!(
            "> set sends_burst 1\n> set sends_per_second 1\n{OPEN}> send 1\nask append 1\n> {words}\n{refused}"
        ));
    }
}

/// Nobody signals into a feed: it is the server's own.
#[test]
fn a_feed_takes_no_signals() {
    check("> open f 1..1, a 5..5\ncaught_up\n> signal 1 f\nfailed 1 no_such_conversation");
}

#[test]
fn whom_a_device_watches() {
    check(&format!(
        "> set sends_waiting_max 1\n{OPEN}> watch 1\nask watch 1 1\n> wants?\nfalse\n> watched 1\npresence 1 1
         > wants?\ntrue\n> came\npresence 1\n> watch 2\nask watch 2 1\n> unwatched 2 try_again\nfailed 2 try_again"
    ));
    check(&format!(
        "> set sends_burst 1\n> set sends_per_second 10\n{OPEN}> watch 1\nask watch 1 1\n> watch 2
         failed 2 rate_limited retry after 101 ms"
    ));
}

#[test]
fn a_flood_closes() {
    let mut driver = Driver::default();
    driver.run("open a 0..0");
    // Hello and resume were two of the burst.
    for _ in 0..1_998 {
        driver.session.handle_request(Request::Heartbeat, driver.now);
    }
    assert!(!driver.session.is_closed());
    driver.wait(Duration::from_millis(2));
    assert!(driver.run("heartbeat").is_empty());
    assert_eq!(driver.run("heartbeat"), ["close flood"]);
    assert!(driver.session.is_closed());
}

#[test]
fn while_answers_are_due_no_more_is_asked() {
    check(&format!(
        "> set sends_waiting_max 2\n{OPEN}> send 1\nask append 1\n> wants?\ntrue\n> read 2 a 5\nask advance 2 a 5
         > wants?\nfalse\n> sent 1\nsent 1\n> wants?\ntrue\n> send 3\nask append 3\n> wants?\nfalse
         > read_refused 2 try_again\nfailed 2 try_again\n> wants?\ntrue"
    ));
}

#[test]
fn offsets_are_told_once_and_in_order() {
    let cases = [
        "> offsets 3..4\noffsets v4 a 1\n> offsets 3..4\n> offsets 2..6\noffsets v6 a 1\n> offsets 1..5",
        // Some went missing: the store is asked each time, since an earlier answer may lack the later change.
        "> offsets 4..5\nask recheck v3\n> offsets 5..6\nask recheck v3\n> offsets 3..6\noffsets v6 a 1\n> offsets 7..8\nask recheck v6",
    ];
    for case in cases {
        check(&format!("{OPEN}{case}"));
    }
    check("> offsets 0..1\n> hello\nauthenticate t epoch 1 v2\n> admit\nwelcome\n> offsets 3..4\noffsets v4 a 1");
}

#[test]
fn after_an_overflow_everything_is_rechecked() {
    check("> open a 5..5, b 0..0\ncaught_up\n> offsets 3..9\noffsets v9 a 1\n> overflow\nask recheck a b v9");
}

#[test]
fn the_end_keeps_what_was_asked_and_drops_what_was_told() {
    let mut driver = Driver::default();
    driver.run("open a 5..5");
    driver.session.handle_request(Request::Ack(vec![common::offset(common::conversation('x'), 1)]), driver.now);
    driver
        .session
        .handle_notice(lockstep_model::Notice::Entry(common::entry(common::conversation('a'), 6, 0)), driver.now);
    driver.session.handle_request(Request::Ack(vec![common::offset(common::conversation('a'), 6)]), driver.now);
    driver.session.close(Code::ShuttingDown);
    driver.session.close(Code::Replaced);
    driver.drain();
    let acked = Effect::Ask(Ask::Acked { conversation: common::conversation('a'), seq: lockstep_model::Seq::new(6) });
    assert_eq!(driver.effects, [acked, Effect::Close(Code::ShuttingDown)]);
    driver.effects.clear();
    for late in
        ["entry a 7", "head a 9", "page a 7..9 head 9", "ack a 6", "send 1", "overflow", "offsets 3..4", "wait 99s"]
    {
        assert!(driver.run(late).is_empty(), "{late} after the end");
    }
}

#[test]
fn renewals_count_as_sends_and_need_a_device_that_is_let_in() {
    check("> renew 1\nclose hello_expected");
    check(
        "> set sends_per_second 1\n> set sends_burst 1\n> open a 0..0\ncaught_up
         > renew 1\nrenew t 1\n> renew 2\nfailed 2 rate_limited retry after 1001 ms",
    );
}

/// Other devices of the user come and go from the welcome on, whatever else is still to be opened.
#[test]
fn a_device_hears_of_its_users_others() {
    check(&format!("{OPEN}> device_came\ndevices 1\n> watch 1\nask watch 1 1\n> device_came\ndevices 1"));
}
