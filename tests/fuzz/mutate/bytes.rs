//! Damage that knows no structure.

use crate::random::Random;

/// Changes a few bytes.
pub fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    damage_in(bytes, 0..length, random);
}

/// As [`damage`], in a part of them. The length stays but where something is cut out or doubled.
pub fn damage_in(bytes: &mut Vec<u8>, part: std::ops::Range<usize>, random: &mut Random) {
    if part.is_empty() {
        return;
    }
    for _ in 0..1 + random.below(3) {
        let end = part.end.min(bytes.len());
        if part.start >= end {
            return;
        }
        let at = part.start + random.below(end - part.start);
        match random.below(12) {
            0 => bytes.truncate(at),
            1 => {
                let count = random.times().min(bytes.len() - at);
                bytes.drain(at..at + count);
            }
            2 => {
                let count = random.times().min(bytes.len() - at);
                let doubled = bytes[at..at + count].to_vec();
                bytes.splice(at..at, doubled);
            }
            3..6 => {
                let width = *random.pick(&[1, 2, 4, 8]);
                overwrite(bytes, at, width, random);
            }
            6 => bytes[at] = random.byte(),
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }
}

/// Puts another number in the place of the little-endian one of `width` bytes, as far as there are so many.
pub fn overwrite(bytes: &mut [u8], at: usize, width: usize, random: &mut Random) {
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    let mut number = [0; 8];
    number[..width].copy_from_slice(place);
    let other = random.instead_of(u64::from_le_bytes(number));
    place.copy_from_slice(&other.to_le_bytes()[..width]);
}
