//! Chance that can be had again: SplitMix64, seeded by a number that a failed test prints.

/// A source of chance.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same seed rolls the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of one's own for another task.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// One of these, of which there is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
