//! Values to high precision at random points: what exact algebra does not decide.

mod complex;
mod evaluate;

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::complex::Arithmetic;
use self::evaluate::evaluate;
use super::expression::Expression;
use crate::seed;

/// Points at which letters take random values.
const POINTS: usize = 8;
/// So many points must have a real value on both sides.
const NEEDED: usize = 4;
/// Relative difference below which values count as one, as a power of two. They are computed to 2⁻²⁵⁶.
const EQUAL: i32 = -160;
/// Relative difference from which values are different.
const DIFFERENT: i32 = -60;

/// What the values say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// They agree everywhere, far beyond chance
    Equal,
    Different,
    /// They are too near, too few, or defined at different points
    Unknown,
}

/// Compares two expressions at points that depend on the letters' names alone.
pub fn compare(left: &Expression, right: &Expression) -> Likeness {
    let mut symbols = BTreeSet::new();
    left.symbols(&mut symbols);
    right.symbols(&mut symbols);
    let complex = symbols.remove("i");
    symbols.remove("e");
    symbols.remove("pi");
    let Some(mut arithmetic) = Arithmetic::new() else { return Likeness::Unknown };
    let (points, needed) = if symbols.is_empty() { (1, 1) } else { (POINTS, NEEDED) };
    let (mut agreed, mut same_domain) = (0, true);
    for point in 0..points {
        let value = |name: &str| coordinate(name, point);
        let left = evaluate(left, &value, &mut arithmetic);
        let right = evaluate(right, &value, &mut arithmetic);
        let (left, right) = match (left, right) {
            (Some(left), Some(right)) => (left, right),
            (None, None) => continue,
            _ => {
                same_domain = false;
                continue;
            }
        };
        let real = left.is_real() && right.is_real();
        if !symbols.is_empty() && !complex && !real {
            same_domain &= left.is_real() == right.is_real();
            continue;
        }
        match arithmetic.relative_difference(&left, &right) {
            None => agreed += 1,
            Some(exponent) if exponent <= EQUAL => agreed += 1,
            Some(exponent) if exponent >= DIFFERENT => return Likeness::Different,
            Some(_) => return Likeness::Unknown,
        }
    }
    if agreed >= needed && same_domain { Likeness::Equal } else { Likeness::Unknown }
}

/// Whether two constants differ by no more than the first one's `scale`-th part.
pub fn within(value: &Expression, other: &Expression, scale: &Expression) -> bool {
    let Some(mut arithmetic) = Arithmetic::new() else { return false };
    let mut constant = |expression| evaluate(expression, &|_| 0.0, &mut arithmetic);
    let (Some(value), Some(other), Some(scale)) =
        (constant(value), constant(other), constant(scale))
    else {
        return false;
    };
    match arithmetic.relative_difference(&value, &other) {
        None => true,
        // 2^-exponent against the scale, which is a power of ten.
        Some(exponent) => scale.re.exponent().is_some_and(|scale| exponent <= 1 - scale),
    }
}

/// A letter's value at a point: positive at half of the points, either at the others, and exact in binary.
fn coordinate(name: &str, point: usize) -> f64 {
    let stream = seed::derive(0, &["grading", name, &point.to_string()]);
    let mut rng = ChaCha8Rng::seed_from_u64(stream);
    let size = f64::from(rng.random_range(1_u32 << 18..7 << 20)) / f64::from(1_u32 << 21);
    if point >= POINTS / 2 && rng.random_range(0..2) == 0 { -size } else { size }
}
