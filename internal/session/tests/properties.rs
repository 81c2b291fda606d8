//! Whatever the broker, the engine, the store and the device do: in order, once, bounded, and nothing is lost.

mod common;
mod world;

use lockstep_session::SessionConfig;
use proptest::prelude::*;
use world::World;
use world::op::{Op, Show, Stray};

fn op() -> impl Strategy<Value = Op> {
    let (log, pick) = (0..6_usize, any::<usize>());
    prop_oneof![
        8 => (log.clone(), 1..12_u64).prop_map(|(log, count)| Op::Append { log, count }),
        1 => Just(Op::Join),
        2 => log.clone().prop_map(|log| Op::Leave { log }),
        3 => (log.clone(), 0..20_u64).prop_map(|(log, history)| Op::Rejoin { log, history }),
        2 => (log.clone(), 1..8_u64).prop_map(|(log, count)| Op::Retain { log, count }),
        12 => (0..4_usize, prop::bool::weighted(0.2)).prop_map(|(pick, again)| Op::Bring { pick, again }),
        2 => pick.prop_map(|pick| Op::Lose { pick }),
        1 => (0..8_usize).prop_map(|count| Op::Overflow { count }),
        2 => (log.clone(), prop_oneof![3 => Just(0), 1 => 1..1_000_u64]).prop_map(|(log, beyond)| Op::Head { log, beyond }),
        6 => (pick, 0..4_u32, any::<bool>()).prop_map(|(pick, fewer, stale)| Op::Read { pick, fewer, stale }),
        6 => Just(Op::Answer),
        6 => (log.clone(), 0..6_u64).prop_map(|(log, lag)| Op::Ack { log, lag }),
        2 => Just(Op::AckAll),
        1 => log.clone().prop_map(|log| Op::AckBeyond { log }),
        2 => Just(Op::Send),
        1 => (log, prop::bool::weighted(0.2)).prop_map(|(log, beyond)| Op::MarkRead { log, beyond }),
        1 => prop::sample::select(&Stray::ALL[..]).prop_map(Op::Stray),
        4 => prop_oneof![8 => 0..8_u64, 1 => Just(20_000)].prop_map(|ms| Op::Wait { ms }),
        2 => any::<bool>().prop_map(|lost| Op::OffsetsChange { lost }),
        2 => (show(), 0..3_u64).prop_map(|(show, early)| Op::Reconnect { show, early }),
        1 => (0..9_u64, show()).prop_map(|(lacking, show)| Op::Restore { lacking, show }),
    ]
}

fn show() -> impl Strategy<Value = Show> {
    prop_oneof![Just(Show::Equal), (0..9_u64).prop_map(Show::Lower), Just(Show::Unknown)]
}

/// Small bounds, so that each of them is reached often.
fn config() -> impl Strategy<Value = SessionConfig> {
    (1..10_u64, 1_000..9_000_usize, 1..6_u32, 1..3_u32, 0..5_usize, 1..5_u32).prop_map(
        |(window_entries, window_bytes, page_entries, reads_max, held_max, sends_waiting_max)| SessionConfig {
            window_entries,
            window_bytes,
            page_entries,
            reads_max,
            held_max,
            sends_waiting_max,
            frames_burst: u32::MAX,
            ..SessionConfig::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_order_once_bounded_and_nothing_lost(config in config(), ops in prop::collection::vec(op(), 0..150)) {
        let mut world = World::new(config);
        ops.iter().for_each(|op| world.apply(op));
        world.settle_and_check(true);
    }

    /// A broker that loses nothing needs no head signals.
    #[test]
    fn without_losses_nothing_waits_for_a_head_signal(config in config(), ops in prop::collection::vec(op(), 0..150)) {
        let mut world = World::new(config);
        let loses = |op: &&Op| matches!(op, Op::Lose { .. });
        ops.iter().filter(|op| !loses(op)).for_each(|op| world.apply(op));
        world.settle_and_check(false);
    }
}
