//! The game that every engine plays: branching 8, depth 10, priors and values drawn from hashes.

/// Moves in each position.
pub const BRANCHING: usize = 8;
/// Moves after which the game is over.
pub const DEPTH: usize = 10;
/// Values are multiples of its reciprocal, so that sums are exact in every engine and all descend alike.
pub const VALUE_STEPS: i32 = 512;

/// A position; nothing but a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(pub u64);

/// The first position.
pub const START: Position = Position(0x0123_4567_89ab_cdef);

impl Position {
    /// The position after a move.
    #[inline]
    #[must_use]
    pub fn after(self, choice: usize) -> Self {
        Self(mix(self.0.wrapping_add((choice as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))))
    }

    /// The value in units of `1 / VALUE_STEPS`, uniform over [-1, 1].
    #[inline]
    #[must_use]
    pub fn value(self) -> i32 {
        (mix(self.0 ^ 0x5851_f42d_4c95_7f2d) % (2 * VALUE_STEPS as u64 + 1)) as i32 - VALUE_STEPS
    }

    /// The priors of the moves: drawn uniformly, then made to add up to 1.
    #[inline]
    #[must_use]
    pub fn priors(self) -> [f32; BRANCHING] {
        let bits = [mix(self.0 ^ 0x1405_7b7e_f767_814f), mix(self.0 ^ 0x2545_f491_4f6c_dd1d)];
        let draw = |index: usize| 1.0 + (bits[index / 4] >> (16 * (index % 4)) & 0xffff) as f32;
        let drawn: [f32; BRANCHING] = std::array::from_fn(draw);
        let scale = drawn.iter().sum::<f32>().recip();
        drawn.map(|prior| prior * scale)
    }
}

/// SplitMix64's finaliser.
#[inline]
fn mix(bits: u64) -> u64 {
    let z = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
