//! Code books of the IQ kinds: the points that a few bits choose from, as the format defines them.
//!
//! `grids.bin` holds the points of each book, one after another, each as 16 bits, low byte first: eight coordinates of two bits or
//! four of four bits, the first in the lowest bits, which are looked up in the book's `steps`. The numbers are ggml's
//! (`ggml-common.h`, MIT, see `THIRD_PARTY.md`), in the packing of its package `gguf`; `make.py` of the fixtures writes the file.

const POINTS: &[u8] = include_bytes!("grids.bin");

/// One code book.
pub(super) struct Grid {
    /// Its first point in [`POINTS`].
    start: usize,
    /// Bits a coordinate.
    bits: usize,
    /// What coordinates stand for.
    steps: &'static [i8],
}

const THIRDS: &[i8] = &[8, 25, 43];
pub(super) const IQ2_XXS: Grid = Grid { start: 0, bits: 2, steps: THIRDS };
pub(super) const IQ2_XS: Grid = Grid { start: 256, bits: 2, steps: THIRDS };
pub(super) const IQ2_S: Grid = Grid { start: 768, bits: 2, steps: THIRDS };
pub(super) const IQ1: Grid = Grid { start: 1792, bits: 2, steps: &[-1, 0, 1] };
pub(super) const IQ3_XXS: Grid =
    Grid { start: 3840, bits: 4, steps: &[4, 12, 20, 28, 36, 44, 52, 62] };
pub(super) const IQ3_S: Grid = Grid { start: 4096, bits: 4, steps: &[1, 3, 5, 7, 9, 11, 13, 15] };

impl Grid {
    /// The coordinates of a point.
    pub fn point(&self, index: usize) -> impl Iterator<Item = f32> {
        let at = 2 * (self.start + index);
        let packed = usize::from(u16::from_le_bytes([POINTS[at], POINTS[at + 1]]));
        let (bits, steps) = (self.bits, self.steps);
        let step = move |place| steps[(packed >> (bits * place)) & ((1 << bits) - 1)];
        (0..16 / bits).map(move |place| f32::from(step(place)))
    }
}

/// The signs of eight numbers, as seven bits tell them: the eighth makes the number of minuses even.
pub(super) fn even_signs(bits: u32) -> u8 {
    let bits = (bits & 127) as u8;
    bits | ((bits.count_ones() as u8 & 1) << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_steps() {
        let books = [
            (IQ2_XXS, 256),
            (IQ2_XS, 512),
            (IQ2_S, 1024),
            (IQ1, 2048),
            (IQ3_XXS, 256),
            (IQ3_S, 512),
        ];
        let mut points = 0;
        for (book, count) in books {
            assert_eq!(book.start, points);
            points += count;
            let sum: f32 = (0..count).flat_map(|index| book.point(index)).sum();
            assert!(sum.is_finite());
        }
        assert_eq!(POINTS.len(), 2 * points);
    }
}
