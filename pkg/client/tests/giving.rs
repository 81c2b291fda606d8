//! A main device that gives its history, frame by frame.

#[path = "fake/frames.rs"]
mod frames;
#[path = "fake/main_device.rs"]
mod main_device;

use frames::{conversation, entry, welcome_of};
use lockstep_client::protocol::{
    Body, BootstrapFrame, BootstrapNews, BootstrapState, Chunk, Code, Coverage, Cursor, DeviceId, Entry, ErrorFrame,
    Fill, FillRefuse, Held, Progress, Ref, Seq, ServerFrame,
};
use lockstep_client::{Change, Event, Filling};
use main_device::{Main, at, id};
use std::time::Duration;

fn fill(n: u8, head: u64) -> Fill {
    Fill {
        bootstrap: id(1),
        device: DeviceId::from_bytes([8; 16]),
        public_key: None,
        conversation: conversation(n),
        entries: 100,
        from_seq: None,
        head: at(head),
        window: 8,
    }
}

/// Entries 1 to `last`, with a text of so many quotes.
fn talk(n: u8, last: u64, quotes: usize) -> Vec<Change> {
    let body = Body::text(&"\"".repeat(quotes));
    (1..=last).map(|seq| Change::Entry(Entry { body: body.clone(), ..entry(n, seq) })).collect()
}

fn chunks(frames: &[BootstrapFrame]) -> Vec<(Ref, &Chunk)> {
    let chunk = |frame| match frame {
        &BootstrapFrame::Chunk { reference: Some(reference), ref chunk } => (reference, &**chunk),
        other => panic!("not a chunk: {other:?}"),
    };
    frames.iter().map(chunk).collect()
}

fn seqs(chunk: &Chunk) -> Vec<u64> {
    let entries: Vec<Entry> = serde_json::from_str(&chunk.body).expect("entries");
    assert!(chunk.is_whole());
    entries.iter().map(|entry| entry.seq.get()).collect()
}

fn refusal(n: u8) -> BootstrapFrame {
    BootstrapFrame::Refuse(FillRefuse { reference: None, bootstrap: id(1), conversation: Some(conversation(n)) })
}

/// Nothing can be given now.
fn refusal_of_all(n: u8) -> BootstrapFrame {
    BootstrapFrame::Refuse(FillRefuse { reference: None, bootstrap: id(n), conversation: None })
}

fn covers(held: &[(u8, u64)]) -> BootstrapFrame {
    let held = held.iter().map(|(n, seq)| Held { conversation: conversation(*n), from_seq: at(*seq) });
    BootstrapFrame::Coverage(Coverage { conversations: held.collect(), more: false })
}

#[test]
fn what_is_here_is_told_after_catching_up_and_when_more_comes() {
    let mut changes = talk(1, 3, 0);
    changes.extend([Change::Entry(entry(2, 7)), Change::Entry(entry(0, 1))]);
    // Of a conversation that is not complete itself nothing can be given.
    changes.push(Change::Past(entry(3, 4)));
    let mut main = Main::new(&changes);
    assert_eq!(main.take(ServerFrame::CaughtUp), [covers(&[(1, 1), (2, 7)])], "all but the feed");
    assert_eq!(main.take(ServerFrame::Entry(entry(4, 9))), [covers(&[(4, 9)])]);
    assert_eq!(main.take(ServerFrame::Entry(entry(4, 10))), []);
    let reset = ServerFrame::Reset {
        conversation: conversation(4),
        epoch: lockstep_client::protocol::Epoch::from_bytes([1; 16]),
        floor: at(3),
        head: at(9),
    };
    assert_eq!(main.take(reset), []);
    assert_eq!(main.take(ServerFrame::Entry(entry(4, 3))), [covers(&[(4, 3)])], "the later word counts");
    assert_eq!(Main::new(&[]).take(ServerFrame::CaughtUp), [covers(&[])], "that is a word too");
    let mut main = Main::new(&changes);
    main.store_fails = true;
    assert_eq!(main.take(ServerFrame::CaughtUp), []);
    main.store_fails = false;
    assert_eq!(main.pass(30_000), [covers(&[(1, 1), (2, 7)])], "what could not be read is read again");
}

#[test]
fn a_device_that_is_unfilled_itself_tells_what_is_here_once_it_is_filled() {
    for is_known_filled in [false, true] {
        let mut main = Main::unfilled(&talk(1, 3, 0));
        let written = main.take(ServerFrame::CaughtUp);
        let [BootstrapFrame::Start(start)] = &written[..] else { panic!("it asks to be filled: {written:?}") };
        let reference = start.reference;
        assert_eq!(main.take(ServerFrame::Entry(entry(2, 7))), []);
        if is_known_filled {
            let written = main.take(ServerFrame::Error(ErrorFrame::of(Code::NotUnfilled, reference)));
            assert_eq!(written, [covers(&[(1, 1), (2, 7)])]);
            continue;
        }
        main.news(BootstrapNews::BootstrapStarted { reference, bootstrap: id(9), total: 1, done: 0 });
        let progress =
            Progress { bootstrap: id(9), state: BootstrapState::Done, done: 1, total: 1, filled: None, reason: None };
        assert_eq!(main.news(BootstrapNews::BootstrapProgress(progress)), [covers(&[(1, 1), (2, 7)])]);
        assert_eq!(main.take(ServerFrame::Entry(entry(3, 1))), [covers(&[(3, 1)])]);
    }
}

#[test]
fn the_latest_entries_are_given_as_far_as_the_device_has_come() {
    let mut main = Main::new(&talk(1, 250, 0));
    main.take(ServerFrame::CaughtUp);
    let written = main.news(BootstrapNews::Fill(fill(1, 300)));
    let [(_, chunk)] = chunks(&written)[..] else { panic!("one chunk: {written:?}") };
    assert_eq!(seqs(chunk), (151..=250).collect::<Vec<_>>());
    assert_eq!((chunk.number, chunk.from_seq, chunk.to_seq, chunk.last), (1, at(151), at(250), true));
    // Not beyond what the server allows, and from where the device stands.
    let written = main.news(BootstrapNews::Fill(Fill { from_seq: Some(at(40)), ..fill(1, 42) }));
    let [(_, chunk)] = chunks(&written)[..] else { panic!("one chunk: {written:?}") };
    assert_eq!((seqs(chunk), chunk.from_seq, chunk.last), (vec![40, 41, 42], at(40), true));
    assert!(matches!(&main.events[..], [.., Event::Filling(Filling::Asked { .. })]));
}

#[test]
fn what_came_in_the_same_burst_and_is_not_stored_yet_is_not_passed_over() {
    let mut main = Main::new(&talk(1, 3, 0));
    main.take(ServerFrame::CaughtUp);
    main.machine.handle_frame(main.now, ServerFrame::Entry(entry(1, 4)));
    let written = main.news(BootstrapNews::Fill(fill(1, 4)));
    let [(_, chunk)] = chunks(&written)[..] else { panic!("one chunk: {written:?}") };
    assert_eq!((seqs(chunk), chunk.to_seq, chunk.last), (vec![1, 2, 3], at(3), true), "the log gives the rest");
    let written = main.news(BootstrapNews::Fill(Fill { bootstrap: id(2), ..fill(1, 4) }));
    assert_eq!(seqs(chunks(&written)[0].1), [1, 2, 3, 4]);
}

#[test]
fn what_is_not_here_is_refused_or_left_out() {
    let mut changes = vec![Change::Entry(entry(1, 7)), Change::Entry(entry(1, 9))];
    let cursor = Cursor { seq: at(12), entry: None };
    changes.push(Change::Cursor { conversation: conversation(1), cursor });
    changes.push(Change::Cursor { conversation: conversation(2), cursor });
    let mut main = Main::new(&changes);
    main.take(ServerFrame::CaughtUp);
    for (n, from_seq) in [(3, None), (2, None), (1, Some(at(13))), (1, Some(at(10)))] {
        let refused = main.news(BootstrapNews::Fill(Fill { from_seq, ..fill(n, 300) }));
        assert_eq!(refused, [refusal(n)], "{n} from {from_seq:?}");
    }
    let written = main.news(BootstrapNews::Fill(Fill { from_seq: Some(at(2)), ..fill(1, 300) }));
    let places: Vec<_> =
        chunks(&written).into_iter().map(|(_, it)| (it.from_seq, it.to_seq, seqs(it), it.last)).collect();
    // It begins with what is here, and ends where the device stands.
    assert_eq!(places, [(at(7), at(9), vec![7, 9], false), (at(10), at(12), vec![], true)]);
}

#[test]
fn large_entries_go_in_many_chunks_of_which_the_window_is_kept() {
    // A quote takes two bytes in the entry, and four in the frame.
    let mut changes = talk(1, 30, 20_000);
    changes.extend(talk(2, 5, 32_000));
    let mut main = Main::new(&changes);
    main.take(ServerFrame::CaughtUp);
    let mut written = main.news(BootstrapNews::Fill(fill(1, 30)));
    assert_eq!(main.news(BootstrapNews::Fill(fill(2, 5))), [], "the window is one of all conversations");
    let mut given: Vec<(u8, Vec<u64>)> = Vec::new();
    let mut unacknowledged = std::collections::VecDeque::new();
    loop {
        for (_, chunk) in chunks(&written) {
            let n = chunk.conversation.as_bytes()[0];
            given.push((n, seqs(chunk)));
            unacknowledged.push_back((n, chunk.to_seq.get()));
            assert_eq!(chunk.last, chunk.to_seq.get() == if n == 1 { 30 } else { 5 });
        }
        assert!(unacknowledged.len() <= 8);
        let Some((n, seq)) = unacknowledged.pop_front() else { break };
        written = main.acked(n, seq);
    }
    for (n, last) in [(1, 30), (2, 5)] {
        let all: Vec<u64> = given.iter().filter(|it| it.0 == n).flat_map(|it| it.1.clone()).collect();
        assert_eq!(all, (1..=last).collect::<Vec<_>>());
    }
    assert!(main.read_max <= 4, "{} entries were in memory at once", main.read_max);
}

#[test]
fn a_chunk_for_which_there_was_no_room_goes_again_with_those_after_it() {
    let mut main = Main::new(&talk(1, 30, 30_000));
    main.take(ServerFrame::CaughtUp);
    let written = main.news(BootstrapNews::Fill(fill(1, 30)));
    let sent = chunks(&written);
    assert_eq!(sent.len(), 8);
    assert_eq!(main.acked(1, sent[0].1.to_seq.get()).len(), 1);
    for (place, code) in [(1, Code::ChunkWindow), (2, Code::ChunkOrder), (3, Code::ChunkOrder)] {
        let error = ErrorFrame::of(code, Some(sent[place].0));
        assert_eq!(main.take(ServerFrame::Error(error)), [], "it waits");
    }
    let again = main.pass(200);
    let first = chunks(&again)[0].1;
    assert_eq!((first.number, first.from_seq, &first.body), (2, sent[1].1.from_seq, &sent[1].1.body));
    assert_eq!(again.len(), 8);
    // Anything else cannot be mended by the same again.
    let error = ErrorFrame::of(Code::ChunkTooLarge, Some(chunks(&again)[0].0));
    assert_eq!(main.take(ServerFrame::Error(error)), [refusal(1)]);
}

#[test]
fn nothing_is_given_any_more_once_others_do_it_or_it_is_over() {
    for state in [BootstrapState::Stopped, BootstrapState::Done] {
        let mut main = Main::new(&talk(1, 30, 30_000));
        main.take(ServerFrame::CaughtUp);
        let written = main.news(BootstrapNews::Fill(fill(1, 30)));
        let first = chunks(&written)[0].1.to_seq.get();
        let progress = Progress { bootstrap: id(1), state, done: 0, total: 2, filled: None, reason: None };
        assert_eq!(main.news(BootstrapNews::BootstrapProgress(progress.clone())), []);
        assert_eq!(main.events.pop(), Some(Event::Filling(Filling::Progress(progress))));
        assert_eq!(main.acked(1, first), []);
        // Asked again, it begins again.
        let written = main.news(BootstrapNews::Fill(fill(1, 30)));
        assert_eq!(chunks(&written)[0].1.number, 1);
    }
}

#[test]
fn several_devices_are_given_to_at_once_each_with_its_own_window() {
    let mut main = Main::new(&talk(1, 30, 30_000));
    main.take(ServerFrame::CaughtUp);
    for n in 1..=16 {
        let written = main.news(BootstrapNews::Fill(Fill { bootstrap: id(n), window: 2, ..fill(1, 30) }));
        assert_eq!(written.len(), 2, "filling {n}");
    }
    let written = main.news(BootstrapNews::Fill(Fill { bootstrap: id(17), ..fill(1, 30) }));
    assert_eq!(written, [refusal_of_all(17)], "that is enough");
    // The server asks again once it hears what is here.
    assert_eq!(main.pass(29_000), []);
    assert_eq!(main.pass(1_000), [covers(&[(1, 1)])]);
    let progress =
        Progress { bootstrap: id(3), state: BootstrapState::Done, done: 1, total: 1, filled: None, reason: None };
    main.news(BootstrapNews::BootstrapProgress(progress));
    let written = main.news(BootstrapNews::Fill(Fill { bootstrap: id(17), window: 2, ..fill(1, 30) }));
    assert_eq!(chunks(&written).len(), 2);
}

#[test]
fn what_cannot_be_read_now_is_not_refused_for_good() {
    for from_seq in [None, Some(at(2))] {
        let mut main = Main::new(&[talk(1, 30, 30_000), talk(2, 30, 30_000)].concat());
        main.take(ServerFrame::CaughtUp);
        let written = main.news(BootstrapNews::Fill(fill(1, 30)));
        let first = chunks(&written)[0].1.to_seq.get();
        main.store_fails = true;
        main.news(BootstrapNews::Fill(Fill { from_seq, ..fill(2, 30) }));
        assert_eq!(main.acked(1, first), [refusal_of_all(1)]);
        assert_eq!(main.acked(1, first + 1), [], "nothing goes on");
        main.store_fails = false;
        assert_eq!(main.pass(15_000), []);
        assert_eq!(main.take(ServerFrame::Heartbeat), []);
        assert_eq!(main.pass(15_000), [covers(&[(1, 1), (2, 1)])]);
        let written = main.news(BootstrapNews::Fill(fill(1, 30)));
        assert_eq!(chunks(&written)[0].1.number, 1);
    }
}

#[test]
fn fillings_take_turns_and_each_has_its_first_conversation_whole_first() {
    let mut main = Main::new(&[talk(1, 30, 30_000), talk(2, 30, 30_000)].concat());
    main.take(ServerFrame::CaughtUp);
    for (bootstrap, n) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let fill = Fill { bootstrap: id(bootstrap), ..fill(n, 30) };
        main.machine.handle_frame(main.now, ServerFrame::Bootstrap(BootstrapNews::Fill(fill)));
    }
    let written = main.drain();
    let turns: Vec<_> = chunks(&written).iter().map(|(_, it)| (it.bootstrap, it.conversation, it.number)).collect();
    let of = |bootstrap| turns.iter().filter(move |turn| turn.0 == id(bootstrap)).map(|turn| (turn.1, turn.2));
    assert!(turns.chunks(2).all(|pair| pair[0].0 != pair[1].0), "one after the other: {turns:?}");
    for bootstrap in [1, 2] {
        assert_eq!(
            of(bootstrap).collect::<Vec<_>>(),
            (1..=8).map(|number| (conversation(1), number)).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_chunk_that_waits_for_room_makes_nothing_due() {
    let mut main = Main::new(&[talk(1, 30, 30_000), talk(2, 30, 30_000)].concat());
    main.take(ServerFrame::CaughtUp);
    let written = main.news(BootstrapNews::Fill(fill(1, 30)));
    let sent: Vec<(Ref, Seq)> = chunks(&written).iter().map(|(reference, it)| (*reference, it.to_seq)).collect();
    main.news(BootstrapNews::Fill(fill(2, 30)));
    // The other conversation takes the room that this one had.
    assert_eq!(main.take(ServerFrame::Error(ErrorFrame::of(Code::ChunkWindow, Some(sent[4].0)))), []);
    assert_eq!(main.acked(1, sent[0].1.get()).len(), 5);
    assert_eq!(main.pass(1_000), []);
    assert!(main.machine.poll_timeout().is_none_or(|at| at > main.now), "nothing can be done now");
    let again = main.acked(1, sent[1].1.get());
    assert_eq!(chunks(&again)[0].1.number, 5);
}

#[test]
fn chunks_of_all_fillings_together_are_paced() {
    let mut welcome = welcome_of(25_000, false);
    welcome.limits.frame_bytes_max = 1_500;
    let mut main = Main::greeted(&talk(1, 1_000, 0), None, ServerFrame::Welcome(Box::new(welcome)));
    main.take(ServerFrame::CaughtUp);
    let mut count = 0;
    for n in 1..=2 {
        let fill = Fill { bootstrap: id(n), window: 1_000, entries: 1_000, ..fill(1, 1_000) };
        count += main.news(BootstrapNews::Fill(fill)).len();
    }
    assert_eq!(count, 128, "so many at once");
    let (begin, mut last) = (main.now, main.now);
    for _ in 0..200 {
        let due = main.machine.poll_timeout().expect("more is to be given");
        assert!(due > last, "it does not spin");
        last = due;
        main.now = due;
        assert_eq!(main.pass(0).len(), 1);
    }
    assert_eq!(main.now - begin, Duration::from_secs(1));
    assert_eq!(main.pass(10_000).len(), 128);
}
