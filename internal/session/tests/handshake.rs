//! Hello, welcome, resume, the conversations open.

mod common;
use common::check;

#[test]
fn the_usual_way() {
    check(
        "> hello feed 7
         authenticate t epoch 1 v2
         > wants?
         false
         > admit
         welcome
         > resume a 3 b 0
         ask resume f 7 a 3 b 0
         > wants?
         false
         > opened a 3..4, b 0..0, f 7..7
         ask read a from 4 count 128 head 4
         > wants?
         true
         > conversations?
         a
         b
         f
         > page a 4..4 head 4
         entry a 4
         caught_up
         > entry b 1
         entry b 1",
    );
}

#[test]
fn the_hello_has_to_come_first_and_in_time() {
    for first in ["resume", "send 1", "ack a 1", "read 1 a 1", "heartbeat"] {
        check(&format!("> {first}\nclose hello_expected\n> hello"));
    }
    check("> wait 4999ms\n> timeout?\nSome(1ms)\n> wait 1ms\nclose hello_timeout\n> timeout?\nNone");
    check("> malformed bad_json\nfailed bad_json\n> hello\nauthenticate t epoch 1 v2");
    check("> malformed binary_frame\nclose binary_frame");
}

#[test]
fn a_second_hello_is_refused() {
    for also in ["", "> admit\nwelcome", "> admit\nwelcome\n> resume\nask resume\n> opened\ncaught_up"] {
        check(&format!("> hello\nauthenticate t epoch 1 v2\n{also}\n> hello\nfailed hello_twice"));
    }
}

#[test]
fn a_device_that_is_not_let_in() {
    check("> hello\nauthenticate t epoch 1 v2\n> refuse token_expired\nclose token_expired\n> admit");
    // A code that would keep the connection cannot refuse it.
    check("> hello\nauthenticate t epoch 1 v2\n> refuse try_again\nclose internal");
    // An answer that nobody asked for changes nothing.
    check(
        "> admit\n> refuse token_expired\n> hello\nauthenticate t epoch 1 v2\n> admit\nwelcome\n> admit\n> resume\nask resume",
    );
}

#[test]
fn resume_frames() {
    let begun = "> hello\nauthenticate t epoch 1 v2\n> admit\nwelcome\n";
    let cases = [
        "> resume a 1 more\n> resume b 2 more\n> resume\nask resume a 1 b 2",
        "> resume\nask resume\n> resume\nfailed resume_twice",
        "> resume\nask resume\n> opened a 0..0\ncaught_up\n> resume a 1\nfailed resume_twice",
        "> wait 4s\n> resume a 1 more\n> wait 1s\nclose hello_timeout",
        "> wait 5s\nclose hello_timeout\n> resume",
    ];
    for case in cases {
        check(&format!("{begun}{case}"));
    }
    // What is too much is refused as a whole; the rest may still come.
    let refused = "> resume a 1 b 2 c 3 more\nfailed bad_frame\n> resume d 4\nask resume a 1 b 2 d 4";
    check(&format!("> set shown_max 3\n{begun}> resume a 1 b 2 more\n{refused}"));
}

#[test]
fn another_epoch_has_the_cursors_verified() {
    for (epoch, verify) in [("1", ""), ("2", " verify"), ("none", " verify")] {
        let epoch_shown = if epoch == "none" { "0" } else { epoch };
        check(&format!(
            "> hello epoch {epoch}\nauthenticate t epoch {epoch_shown} v2\n> admit\nwelcome
             > resume a 5\nask resume a 5{verify}
             > opened a reset 3..4, b 5..5
             reset a 3..4
             ask read a from 3 count 128 head 4
             > page a 3..4 head 4
             entries a 3..4
             caught_up"
        ));
    }
    check("> open a reset 1..0\nreset a 1..0\ncaught_up");
}

#[test]
fn what_comes_before_the_conversations_are_known_is_not_lost() {
    let opening = "> hello\nauthenticate t epoch 1 v2\n> admit\nwelcome\n> resume\nask resume\n";
    let cases = [
        // The consumer was open, the head older than the entry.
        "> entry a 6\n> opened a 5..5, b 0..0\nask read a from 6 count 128 head 6\n> page a 6..6 head 6\nentry a 6\ncaught_up",
        "> entry a 6\n> entry a 7\n> opened a 5..5\nask read a from 6 count 128 head 7",
        "> head a 6\n> opened a 5..5\nask read a from 6 count 128 head 6",
        "> entry a 5\n> opened a 5..5\ncaught_up",
        "> entry x 9\n> opened a 5..5\ncaught_up",
        "> overflow\n> opened a 5..5, b 0..0\nask recheck a b v3\ncaught_up",
    ];
    for case in cases {
        check(&format!("{opening}{case}"));
    }
    let full =
        "> entry a 6\n> entry b 1\n> opened a 5..5, b 0..0\nask recheck a b v3\nask read a from 6 count 128 head 6";
    check(&format!("> set held_max 1\n{opening}{full}"));
}

#[test]
fn an_engine_that_does_not_answer() {
    let hello = "> wait 4s\n> hello\nauthenticate t epoch 1 v2\n";
    check(&format!("{hello}> wait 24999ms\n> wait 1ms\nclose unavailable"));
    let admitted = format!("{hello}> wait 20s\n> admit\nwelcome\n> resume\nask resume\n");
    check(&format!("{admitted}> wait 24999ms\n> wait 1ms\nclose unavailable"));
    check(&format!("{admitted}> failed unavailable\nclose unavailable"));
}

#[test]
fn conversations_opened_for_a_session_that_is_over_are_still_listed() {
    let begun = "> hello\nauthenticate t epoch 1 v2\n> admit\nwelcome\n> resume\nask resume\n> close replaced\nclose replaced\n";
    check(&format!("{begun}> conversations?\n> opened b 0..9, a 0..0\n> followed c 0..0\n> conversations?\na\nb\nc"));
    check(
        "> open a 0..0\ncaught_up\n> close replaced\nclose replaced\n> followed c 0..0\n> followed c 0..0\n> conversations?\na\nc",
    );
}
