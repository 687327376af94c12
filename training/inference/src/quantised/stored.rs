//! Finds the integers behind numbers that were widened from blocks: those of a quantised GGUF file, also where it was
//! imported since. Nothing is rounded: numbers that are not of this form are left to others.

use half::f16;

use super::blocks::{BLOCK, Block};

/// How far a number may lie from its place on the grid, in steps.
const TOLERANCE: f32 = 1e-3;

/// Numbers as a [`Block`] of 4 or 8 bits, if they are one.
pub(super) fn block(values: &[f32; BLOCK], four_bits: bool, minimums: bool) -> Option<Block> {
    let (offset, most) = if four_bits { (8, 15) } else { (128, 255) };
    let fits = |byte: i32| u8::try_from(byte).ok().filter(|&byte| byte <= most);
    let plain = || {
        let larger = |a: f32, &b: &f32| if b.abs() > a.abs() { b } else { a };
        let range = (0.0, values.iter().fold(0.0, larger));
        // The largest number is the lowest integer, by a scale of the other sign, or a positive one.
        let counts = std::iter::once(-offset).chain((1..offset).rev());
        on_grid(values, range, counts, |integer| fits(integer + offset))
    };
    let above_minimum = || {
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (levels, offset) = if four_bits { (15, 0) } else { (127, 128) };
        let counts = (1..=levels).rev();
        on_grid(values, (least, most - least), counts, |integer| fits(integer + offset))
    };
    match (four_bits, minimums) {
        (_, false) => plain(),
        (true, true) => above_minimum(),
        (false, true) => plain().or_else(above_minimum),
    }
}

/// The block with the first step, `range` over one of `counts`, of which the numbers are multiples above `minimum`. A step
/// that is a binary16 goes before others.
fn on_grid(
    values: &[f32; BLOCK],
    (minimum, range): (f32, f32),
    counts: impl Iterator<Item = i32>,
    byte: impl Fn(i32) -> Option<u8>,
) -> Option<Block> {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let mut found = None;
    for count in counts {
        let step = range / count as f32;
        let narrow = f16::from_f32(step).to_f32();
        // The range of numbers that were rounded is a little off.
        let is_narrow = (narrow - step).abs() <= step.abs() * 1e-6;
        let step = if is_narrow { narrow } else { step };
        let mut integers = [0; BLOCK];
        let fits = values.iter().zip(&mut integers).all(|(&value, place)| {
            let steps = if step == 0.0 { 0.0 } else { (value - minimum) / step };
            let integer = steps.round();
            let off = (step * integer + minimum - value).abs();
            let fits = (steps - integer).abs() <= TOLERANCE && off <= largest * 2.5e-7;
            byte(integer as i32).filter(|_| fits).map(|byte| *place = byte).is_some()
        });
        if fits && (is_narrow || found.is_none()) {
            found = Some(Block { integers, scale: step, minimum });
        }
        if fits && is_narrow {
            break;
        }
    }
    found
}
