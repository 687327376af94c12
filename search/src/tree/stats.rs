//! A node's statistics in one 64-bit word, so that going down and coming up are one atomic addition
//! each.
//!
//! ```text
//!  63                                                        0
//! ┌───────────┬───────────────┬───────────────────────────────┐
//! │ in flight │ visits N      │ sum of (v + 1), fixed point   │
//! └───────────┴───────────────┴───────────────────────────────┘
//! ```
//! Values lie in [-1, 1], so `v + 1` is never negative and a sum never borrows from its neighbour;
//! fixed-point sums do not depend on the order of arrival. How the bits are shared out follows from
//! the largest number of visits that a search's settings allow: a small tree gets a fine resolution
//! and a large one still fits.

use wide::bytemuck::cast;
use wide::{f64x2, u64x2};

/// Fewest bits after the binary point: a value's rounding error is then at most 2^-7, unbiased.
const MIN_FRACTION_BITS: u32 = 6;
/// Most bits of a value sum: what the conversion to an `f64` takes (see [`numbers`]).
const MAX_SUM_BITS: u32 = 52;

/// How a tree's statistics words are split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatsLayout {
    /// Bits after the binary point of the value sum.
    fraction_bits: u32,
    /// 2^-fraction_bits, kept because selection needs it for every child.
    resolution: f64,
    /// Where the visits start.
    visit_shift: u32,
    /// Where the in-flight count starts.
    in_flight_shift: u32,
}

impl StatsLayout {
    /// The finest layout for at most `max_visits` visits to a node and `max_in_flight` simulations
    /// below it at once; `None` when no word holds so many.
    #[must_use]
    pub fn new(max_visits: u64, max_in_flight: u64) -> Option<Self> {
        let bits = |bound: u64| u64::BITS - bound.leading_zeros();
        let (visit_bits, in_flight_bits) = (bits(max_visits).max(1), bits(max_in_flight).max(1));
        // The sum is at most 2 max_visits: one bit more than the visits before the binary point.
        let fixed = visit_bits + in_flight_bits + visit_bits + 1;
        let widest = MAX_SUM_BITS.checked_sub(visit_bits + 1)?;
        let fraction_bits = u64::BITS.checked_sub(fixed)?.min(widest);
        (fraction_bits >= MIN_FRACTION_BITS).then_some(Self {
            fraction_bits,
            resolution: fraction(fraction_bits),
            visit_shift: u64::BITS - in_flight_bits - visit_bits,
            in_flight_shift: u64::BITS - in_flight_bits,
        })
    }

    /// The smallest difference between two values that a sum can tell.
    #[must_use]
    pub fn resolution(self) -> f64 {
        self.resolution
    }

    /// Visits that carry `value`s in [-1, 1], as one amount to add.
    #[inline]
    #[must_use]
    pub fn visits(self, values: &[f64]) -> Visits {
        let scale = self.resolution.recip();
        // Each value is rounded by itself, so that a sum does not depend on how values were
        // grouped.
        let sum: u64 =
            values.iter().map(|v| ((v.clamp(-1.0, 1.0) + 1.0) * scale).round() as u64).sum();
        Visits(((values.len() as u64) << self.visit_shift) + sum)
    }

    /// One simulation in flight.
    #[inline]
    pub(super) fn in_flight(self) -> u64 {
        1 << self.in_flight_shift
    }

    /// Visits and value sums of two words without simulations in flight.
    #[inline(always)]
    pub(super) fn unpack_settled(self, words: u64x2) -> (f64x2, f64x2) {
        let visits = numbers(words.unbounded_shr_scalar(self.visit_shift));
        let sums = numbers(words & u64x2::splat((1 << self.visit_shift) - 1));
        // Exact: both terms are multiples of the resolution, and below 2^52 of it.
        (visits, sums * self.resolution - visits)
    }

    /// Two words without their simulations in flight, and those.
    #[inline(always)]
    pub(super) fn split_in_flight(self, words: u64x2) -> (u64x2, f64x2) {
        let settled = words & u64x2::splat(self.in_flight() - 1);
        (settled, numbers(words.unbounded_shr_scalar(self.in_flight_shift)))
    }

    /// Visits of a word, and its simulations in flight.
    #[inline(always)]
    pub(super) fn counts(self, word: u64) -> (f64, f64) {
        let visits = (word & (self.in_flight() - 1)) >> self.visit_shift;
        let in_flight = word >> self.in_flight_shift;
        // Both are below 2^63, and from a signed integer the conversion is one instruction on x86-64.
        (visits.cast_signed() as f64, in_flight.cast_signed() as f64)
    }

    #[inline]
    pub(super) fn unpack(self, word: u64) -> Stats {
        let visits = (word & (self.in_flight() - 1)) >> self.visit_shift;
        let sum = word & ((1 << self.visit_shift) - 1);
        // Exact: sum - visits, both in units of the resolution, before any division.
        let centred = sum.wrapping_sub(visits << self.fraction_bits).cast_signed();
        Stats {
            visits,
            in_flight: word >> self.in_flight_shift,
            value_sum: centred as f64 * self.resolution,
        }
    }
}

/// 2^-bits, exactly: of `exp2` the last digits are not promised.
fn fraction(bits: u32) -> f64 {
    const BIAS: u32 = f64::MAX_EXP.cast_unsigned() - 1;
    f64::from_bits(u64::from(BIAS - bits) << (f64::MANTISSA_DIGITS - 1))
}

/// Counts below 2^52 as numbers, by way of the bits of 2^52: the processor's own conversion takes one at
/// a time.
#[inline(always)]
fn numbers(counts: u64x2) -> f64x2 {
    const TWO_TO_52: f64 = (1_u64 << 52) as f64;
    let bits = counts | u64x2::splat(TWO_TO_52.to_bits());
    cast::<u64x2, f64x2>(bits) - f64x2::splat(TWO_TO_52)
}

/// An amount of visits with their values, packed in a tree's [`StatsLayout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visits(pub(super) u64);

/// A plain snapshot of a node's statistics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stats {
    /// N: values backed up through the node.
    pub visits: u64,
    /// Simulations below the node that have not come back yet.
    pub in_flight: u64,
    /// W: sum of the values backed up, each in [-1, 1].
    pub value_sum: f64,
}

impl Stats {
    /// `Q = W / N`, in [-1, 1]; 0 when nothing was backed up.
    #[must_use]
    pub fn q(&self) -> f64 {
        if self.visits == 0 { 0.0 } else { self.value_sum / self.visits as f64 }
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_tree_is_fine_and_a_large_one_fits() {
        let paper = StatsLayout::new(40 * 6 + 8, 5).unwrap();
        assert!(paper.resolution() <= 1e-11, "{}", paper.resolution());
        let million = StatsLayout::new(1_000_000 * 6, 64 * 5).unwrap();
        assert!(million.resolution() <= 1.0 / 256.0);
        assert!(StatsLayout::new(1 << 40, 1).is_none());
        assert!(StatsLayout::new(u64::MAX, u64::MAX).is_none());
    }

    #[test]
    fn extremes_fill_the_word_without_spilling() {
        for (visits, in_flight) in [(1, 1), (248, 5), (255, 7), (6_000_000, 40)] {
            let layout = StatsLayout::new(visits, in_flight).unwrap();
            for (value, q) in [(1.0, 1.0), (-1.0, -1.0)] {
                let each = layout.visits(&[value]).0;
                let word = each.wrapping_mul(visits) + in_flight * layout.in_flight();
                let stats = layout.unpack(word);
                assert_eq!((stats.visits, stats.in_flight), (visits, in_flight));
                assert_eq!(stats.q(), q);
            }
        }
    }

    fn values(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1.0..=1.0, count)
    }

    proptest! {
        #[test]
        fn packing_loses_only_the_resolution(values in values(0..240)) {
            let layout = StatsLayout::new(248, 8).unwrap();
            let stats = layout.unpack(layout.visits(&values).0 + 3 * layout.in_flight());
            let sum: f64 = values.iter().sum();
            prop_assert_eq!(stats.visits, values.len() as u64);
            prop_assert_eq!(stats.in_flight, 3);
            let rounding = values.len() as f64 * layout.resolution() + 1e-12;
            prop_assert!((stats.value_sum - sum).abs() <= rounding);
        }

        #[test]
        fn merged_visits_equal_visits_one_by_one(values in values(1..40)) {
            let layout = StatsLayout::new(248, 8).unwrap();
            let one_by_one: u64 = values.iter().map(|v| layout.visits(&[*v]).0).sum();
            prop_assert_eq!(layout.visits(&values).0, one_by_one);
        }
    }
}
