//! Inputs from bytes, as a fuzzer and its corpus give them.

use super::World;
use super::op::{Op, Show, Stray};
use lockstep_session::SessionConfig;

/// Inputs of one run; what follows is left out.
const OPS_MAX: usize = 300;

/// Does what bytes say: the bounds, then one input after the other; then everything has to come to rest.
pub(crate) fn run(bytes: &[u8]) {
    let mut source = Source::new(bytes);
    let may_lose = source.below(4) != 0;
    let mut world = World::new(source.config());
    for op in std::iter::from_fn(|| source.op()).take(OPS_MAX) {
        if may_lose || !matches!(op, Op::Lose { .. }) {
            world.apply(&op);
        }
    }
    world.settle_and_check(may_lose);
}

/// Bytes that say what happens. Each input is a byte that names it and one for each of its numbers; where the bytes end,
/// numbers are 0.
struct Source<'a>(std::slice::Iter<'a, u8>);

impl<'a> Source<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.iter())
    }

    fn below(&mut self, end: u64) -> u64 {
        u64::from(self.0.next().copied().unwrap_or(0)) % end
    }

    fn index(&mut self, end: u64) -> usize {
        self.below(end) as usize
    }

    /// Small bounds, so that each of them is reached often.
    fn config(&mut self) -> SessionConfig {
        SessionConfig {
            window_entries: 1 + self.below(9),
            window_bytes: 1_000 + 250 * self.index(32),
            page_entries: 1 + self.below(5) as u32,
            reads_max: 1 + self.below(2) as u32,
            held_max: self.index(5),
            sends_waiting_max: 1 + self.below(4) as u32,
            sends_burst: 1 + self.below(4) as u32,
            frames_burst: u32::MAX,
            ..SessionConfig::default()
        }
    }

    fn op(&mut self) -> Option<Op> {
        let kind = *self.0.next()?;
        Some(match kind % 20 {
            0 => Op::Append { log: self.index(6), count: 1 + self.below(12) },
            1 => match self.below(4) {
                0 | 1 => Op::Join,
                2 => Op::Leave { log: self.index(6) },
                _ => Op::Rejoin { log: self.index(6), history: self.below(8) },
            },
            2 => Op::Retain { log: self.index(6), count: 1 + self.below(8) },
            3 => Op::Bring { pick: self.index(256), again: false },
            4 => Op::Bring { pick: self.index(256), again: true },
            5 => Op::Lose { pick: self.index(256) },
            6 => Op::Overflow { count: self.index(8) },
            7 => Op::Head { log: self.index(6), beyond: self.below(256) },
            8 => Op::Read { pick: self.index(6), fewer: 0, stale: false },
            9 => Op::Read { pick: self.index(6), fewer: self.below(4) as u32, stale: self.below(2) == 1 },
            10 => Op::Answer,
            11 => Op::Ack { log: self.index(6), lag: self.below(6) },
            12 => Op::AckAll,
            13 => Op::AckBeyond { log: self.index(6) },
            14 => Op::Send,
            15 => Op::MarkRead { log: self.index(6), beyond: self.below(4) == 3 },
            16 => Op::Wait { ms: [1, 5, 6, 100, 20_000][self.index(5)] },
            17 => Op::OffsetsChange { lost: self.below(2) == 1 },
            18 => Op::Stray(self.stray()),
            _ => match self.below(4) {
                0 => Op::Restore { lacking: self.below(9), show: self.show() },
                _ => Op::Reconnect { show: self.show(), early: self.below(3) },
            },
        })
    }

    fn stray(&mut self) -> Stray {
        match Stray::ALL[self.index(Stray::ALL.len() as u64)] {
            Stray::Followed { .. } => Stray::Followed { log: self.index(6) },
            Stray::Page { .. } => Stray::Page { log: self.index(6) },
            Stray::Entry { .. } => Stray::Entry { seq: self.below(256) },
            other => other,
        }
    }

    fn show(&mut self) -> Show {
        match self.below(3) {
            0 => Show::Equal,
            1 => Show::Lower(self.below(9)),
            _ => Show::Unknown,
        }
    }
}
