//! Choices of an input.

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Numbers at which readers' arithmetic may go wrong.
const EDGES: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    8,
    31,
    32,
    127,
    128,
    255,
    256,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 40,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// A stream of choices.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn byte(&mut self) -> u8 {
        self.0.random()
    }

    /// A number at an edge, or close to one.
    pub fn edge(&mut self) -> u64 {
        let edge = *self.pick(&EDGES);
        match self.below(4) {
            0 => edge.wrapping_sub(self.below(9) as u64),
            1 => edge.wrapping_add(self.below(9) as u64),
            _ => edge,
        }
    }

    /// What a damaged or hostile writer would put in a number's place.
    pub fn instead_of(&mut self, number: u64) -> u64 {
        match self.below(6) {
            0 => number.wrapping_add(1),
            1 => number.wrapping_sub(1),
            2 => number.wrapping_mul(2),
            3 => self.below(300) as u64,
            _ => self.edge(),
        }
    }

    /// How often something is repeated: mostly a little, seldom very often.
    pub fn times(&mut self) -> usize {
        match self.below(64) {
            0 => 10_000,
            1 | 2 => 1000,
            3..16 => 100,
            _ => 1 + self.below(10),
        }
    }
}
