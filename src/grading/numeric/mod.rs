//! Values to high precision at random points: what exact algebra does not decide.

mod complex;
mod evaluate;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::complex::{Arithmetic, Complex};
use self::evaluate::evaluate;
use super::expression::Expression;
use espalier_seed as seed;

/// Points at which all letters are positive.
const POSITIVE: usize = 4;
/// Points at which letters are small: the positive ones, one with all letters negative, and three pairs of points with opposite signs,
/// chosen so that the product of any two of eight letters is positive at one point and negative at another.
const NEAR: usize = POSITIVE + 1 + 2 * 3;
/// With two far out, where `|x - 100|` is not `100 - x`: they can refute that two expressions are equal, and prove nothing.
const POINTS: usize = NEAR + 2;
/// So many near points must have a real value on both sides.
const NEEDED: u32 = 4;
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
    let symbols: Vec<String> = symbols.into_iter().collect();
    let Some(mut arithmetic) = Arithmetic::new() else { return Likeness::Unknown };
    let (points, needed) = if symbols.is_empty() { (1, 1) } else { (POINTS, NEEDED) };
    let (mut agreed, mut same_domain) = (0_u32, true);
    for point in 0..points {
        let near = point < NEAR;
        let index = |name: &str| symbols.partition_point(|symbol| symbol.as_str() < name);
        let value = |name: &str| coordinate(name, index(name), point);
        let left = evaluate(left, &value, &mut arithmetic);
        let right = evaluate(right, &value, &mut arithmetic);
        let (left, right) = match (left, right) {
            (Some(left), Some(right)) => (left, right),
            (None, None) => continue,
            _ => {
                same_domain &= !near;
                continue;
            }
        };
        let real = left.is_real() && right.is_real();
        if !symbols.is_empty() && !complex && !real {
            same_domain &= !near || left.is_real() == right.is_real();
            continue;
        }
        match arithmetic.relative_difference(&left, &right) {
            None => agreed += u32::from(near),
            Some(exponent) if exponent <= EQUAL => agreed += u32::from(near),
            Some(exponent) if exponent >= DIFFERENT && near => return Likeness::Different,
            Some(_) => return Likeness::Unknown,
        }
    }
    if agreed >= needed && same_domain { Likeness::Equal } else { Likeness::Unknown }
}

/// Which of two real constants is the larger; `None` where they are too near for that, or not real.
pub fn order(left: &Expression, right: &Expression) -> Option<Ordering> {
    let mut arithmetic = Arithmetic::new()?;
    let left = evaluate(left, &|_| 0.0, &mut arithmetic).filter(Complex::is_real)?;
    let right = evaluate(right, &|_| 0.0, &mut arithmetic).filter(Complex::is_real)?;
    let difference = arithmetic.relative_difference(&left, &right)?;
    if difference < DIFFERENT { None } else { left.re.partial_cmp(&right.re) }
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

/// The value at a point of the letter with this index among all; it is exact in binary.
fn coordinate(name: &str, index: usize, point: usize) -> f64 {
    let stream = seed::derive(0, &["grading", name, &point.to_string()]);
    let mut rng = ChaCha8Rng::seed_from_u64(stream);
    let size = f64::from(rng.random_range(1_u32 << 18..7 << 20)) / f64::from(1_u32 << 21);
    let (negative, scale) = match point {
        0..POSITIVE => (false, 1.0),
        POSITIVE => (true, 1.0),
        // A pair of points a bit of the index.
        _ if point < NEAR => {
            let pair = point - POSITIVE - 1;
            ((index >> (pair / 2)) & 1 == pair % 2, 1.0)
        }
        _ => (point > NEAR, 1024.0),
    };
    if negative { -scale * size } else { scale * size }
}
