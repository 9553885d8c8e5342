//! Chance that can be had again.

/// A small generator (xorshift): the same numbers every time from a seed, which is not 0.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}
