//! How a session stands to a conversation, for operators who ask.

mod common;
use common::check;

#[test]
fn a_question_is_answered_and_changes_nothing() {
    let cases = [
        "> hello\nauthenticate t epoch 1 v2\n> admit\nwelcome\n> describe 1 a\nask described 1 Opening next 0 acked 0 in flight 0",
        "> open a 5..5\ncaught_up\n> describe 1 a\nask described 1 Live next 6 acked 5 in flight 0
         > entry a 6\nentry a 6\n> describe 2 a\nask described 2 Live next 7 acked 5 in flight 1
         > describe 3 x\nask described 3 NotFollowed next 0 acked 0 in flight 0",
        "> open a 0..3\nask read a from 1 count 128 head 3\n> describe 1 a\nask described 1 Reading next 1 acked 0 in flight 0
         > page a 1..3 head 3\nentries a 1..3\ncaught_up\n> describe 2 a\nask described 2 Live next 4 acked 0 in flight 3",
        "> set window_entries 4\n> open a 0..9\nask read a from 1 count 4 head 9\n> page a 1..4 head 9\nentries a 1..4
         > describe 1 a\nask described 1 WindowFull next 5 acked 0 in flight 4
         > ack a 1\nask acked a 1\nask read a from 5 count 1 head 9
         > describe 2 a\nask described 2 Reading next 5 acked 1 in flight 3",
        // The connection's bytes are what is full.
        "> set window_bytes 1000\n> open a 0..9\nask read a from 1 count 128 head 9\n> page a 1..9 head 9 each 600\nentry a 1
         > describe 1 a\nask described 1 WindowFull next 2 acked 0 in flight 1",
        "> open a 5..5\ncaught_up\n> left a 6\nentry a 6\nask follow a after 6
         > describe 1 a\nask described 1 Ended next 7 acked 5 in flight 1",
    ];
    for case in cases {
        check(case);
    }
}
