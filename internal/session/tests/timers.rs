//! Deadlines, in virtual time. Those of the handshake are with the handshake.

mod common;
use common::check;

const OPEN: &str = "> open a 0..0, b 0..0\ncaught_up\n";

#[test]
fn two_heartbeats_without_an_answer_close() {
    let cases = [
        "> wait 24999ms\n> wait 1ms\nheartbeat\n> wait 25s\nheartbeat\n> wait 24999ms\n> wait 1ms\nclose heartbeat_timeout",
        "> wait 50s\nheartbeat\nheartbeat\n> heartbeat\n> wait 50s\nheartbeat\nheartbeat\n> wait 25s\nclose heartbeat_timeout",
        // Any frame is a sign of life, even one that makes no sense.
        "> wait 50s\nheartbeat\nheartbeat\n> malformed bad_json\nfailed bad_json\n> wait 25s\nheartbeat",
    ];
    for case in cases {
        check(&format!("{OPEN}{case}"));
    }
}

#[test]
fn the_oldest_delivery_has_to_be_acknowledged_in_time() {
    let alive = "> wait 20s\n> heartbeat\n> wait 20s\nheartbeat\n> heartbeat\n";
    check(&format!("{OPEN}> entry a 1\nentry a 1\n{alive}> wait 4999ms\n> wait 1ms\nclose ack_timeout"));
    // Later deliveries and acknowledgements of other conversations change nothing.
    check(&format!(
        "{OPEN}> entry a 1\nentry a 1\n> wait 10s\n> entry b 1\nentry b 1\n> entry a 2\nentry a 2\n> ack b 1\nask acked b 1
         > wait 34999ms\nheartbeat\n> wait 1ms\nclose ack_timeout"
    ));
    // Once the first is acknowledged, the second counts.
    check(&format!(
        "{OPEN}> entry a 1\nentry a 1\n> wait 10s\n> entry a 2\nentry a 2\n> ack a 1\nask acked a 1
         > wait 44999ms\nheartbeat\nheartbeat\n> wait 1ms\nclose ack_timeout"
    ));
    check(&format!("{OPEN}> entry a 1\nentry a 1\n> ack a 1\nask acked a 1\n> wait 46s\nheartbeat"));
}

#[test]
fn a_connection_ends_with_its_age() {
    check(&format!(
        "> set age_max_s 30\n{OPEN}> wait 29s\nheartbeat\n> timeout?\nSome(1s)\n> wait 1s\nclose session_age"
    ));
}

#[test]
fn a_fresh_token_begins_the_age_anew() {
    check(&format!(
        "> set age_max_s 30\n{OPEN}> wait 20s\n> renew 7\nrenew t 7\n> renewed 7\ndone 7
         > wait 5s\nheartbeat\n> heartbeat\n> wait 24s\n> timeout?\nSome(1s)\n> wait 1s\nclose session_age"
    ));
    // A token that is refused changes nothing, whatever is wrong with it.
    check(&format!(
        "> set age_max_s 30\n{OPEN}> wait 20s\n> renew 7\nrenew t 7\n> renewed 7 token_expired\nfailed 7 renewal_refused
         > renew 8\nrenew t 8\n> renewed 8 try_again\nfailed 8 try_again
         > wait 9s\nheartbeat\n> timeout?\nSome(1s)\n> wait 1s\nclose session_age\n> renewed 8"
    ));
}

#[test]
fn nothing_is_due_after_the_end() {
    check(&format!(
        "{OPEN}> entry a 1\nentry a 1\n> close shutting_down\nclose shutting_down\n> timeout?\nNone\n> wait 99s"
    ));
}
