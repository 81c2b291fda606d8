use super::*;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;

/// A record all of whose parts follow from a number, so that one that is made of two is seen.
fn record(number: u64) -> Record {
    let spread = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(!number);
    // All in one shard.
    let bytes = |number: u128| (number << 8 | 7).to_be_bytes();
    Record {
        stage: STAGES[number as usize % STAGES.len()],
        at: UnixMs::new(number),
        device: DeviceId::from_bytes(bytes(spread.rotate_left(17))),
        generation: ConnectionGeneration(number & 0xffff_ffff),
        conversation: ConversationId::from_bytes(bytes(spread)),
        from: Seq::new(number),
        to: Seq::new(number + number % 1_000),
    }
}

fn all(trace: &Trace) -> Vec<Record> {
    let mut found = Vec::new();
    trace.0.iter().for_each(|shard| shard.read(|record| found.push(record)));
    found
}

fn of(stage: StageName, device: u8, conversation: u8, seqs: (u64, u64), at: u64) -> Record {
    Record {
        stage,
        at: UnixMs::new(at),
        device: DeviceId::from_bytes([device; 16]),
        generation: ConnectionGeneration(3),
        conversation: ConversationId::from_bytes([conversation; 16]),
        from: Seq::new(seqs.0),
        to: Seq::new(seqs.1),
    }
}

#[test]
fn records_come_back_as_they_were() {
    for number in [1, 2, 3, 4, 5, 6, 7, 999, 1 << 40] {
        assert_eq!(Record::from_words(record(number).to_words()), Some(record(number)));
    }
    assert_eq!(Record::from_words([0; WORDS]), None);
    let wide = Record { to: Seq::MAX, generation: ConnectionGeneration(1 << 32 | 5), ..record(9) };
    let cut = Record { to: Seq::new(9 + u64::from(u32::MAX)), generation: ConnectionGeneration(5), ..record(9) };
    assert_eq!(Record::from_words(wide.to_words()), Some(cut));
    assert_eq!(size_of::<Slot>(), 64);
}

#[test]
fn the_oldest_are_overwritten() {
    let trace = Trace::new(SHARDS * 5);
    assert_eq!(trace.0[0].slots.len(), 8);
    for number in 1..=8 {
        trace.note(&record(number));
    }
    assert_eq!(trace.about(record(1).device, record(1).conversation), (vec![record(1)], None), "nothing is lost yet");
    for number in 9..=100 {
        trace.note(&record(number));
        let expected: Vec<Record> = (number - 7..=number).map(record).collect();
        assert_eq!(all(&trace), expected);
    }
    assert_eq!(trace.about(record(1).device, record(1).conversation), (vec![], Some(UnixMs::new(93))));
    assert_eq!(trace.about(record(97).device, record(97).conversation).0, [record(97)]);
}

#[test]
fn only_what_concerns_device_and_conversation_is_shown() {
    use StageName::{Connected, Delivered, Published};
    let trace = Trace::new(1_024);
    let mine = [of(Connected, 1, 0, (0, 0), 10), of(Published, 0, 2, (7, 9), 11), of(Delivered, 1, 2, (7, 9), 12)];
    // Ids that share a shard with those, and such that do not.
    let others = [
        of(Delivered, 17, 2, (7, 9), 12),
        of(Delivered, 1, 18, (7, 9), 12),
        of(Connected, 2, 0, (0, 0), 12),
        of(Published, 0, 18, (7, 9), 11),
    ];
    for record in [mine[2], others[0], others[1], mine[0], others[2], others[3], mine[1]] {
        trace.note(&record);
    }
    assert_eq!(trace.about(mine[2].device, mine[2].conversation), (mine.to_vec(), None));
}

#[test]
fn a_trace_that_is_off_notes_nothing() {
    let trace = Trace::new(0);
    trace.note(&record(1));
    assert_eq!((trace.is_on(), trace.about(record(1).device, record(1).conversation)), (false, (vec![], None)));
}

/// Writers that pass each other all the time in a tiny shard, and readers beside them.
#[test]
fn no_record_is_ever_torn() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 50_000;
    let trace = Trace::new(SHARDS * 4);
    let (done, start) = (AtomicBool::new(false), Barrier::new(WRITERS as usize + 1));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            start.wait();
            let mut seen = 0_u64;
            while !done.load(Ordering::Relaxed) {
                for found in all(&trace) {
                    assert_eq!(found, record(found.from.get()), "made of two");
                    seen += 1;
                }
            }
            seen
        });
        let writers = (0..WRITERS).map(|writer| {
            let (trace, start) = (&trace, &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..EACH {
                    trace.note(&record(1 + number * WRITERS + writer));
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    // What is left is whole too, and each record stands there once.
    let mut left = all(&trace);
    assert!(left.iter().all(|found| *found == record(found.from.get())));
    let count = left.len();
    left.dedup();
    assert!(count == left.len() && count > 0 && count <= 4, "{count}");
}
