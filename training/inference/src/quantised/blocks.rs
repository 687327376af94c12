//! Blocks of 32 numbers as small integers with a scale: weights as ggml's `quantize_row_q8_0_ref` and
//! `quantize_row_q4_0_ref` make them, and activations.

/// Numbers in a block.
pub(crate) const BLOCK: usize = 32;
/// Rows of 32-bit words that a block of activations takes: [`SCALE`] to [`INTEGERS`], then four numbers a word.
pub(super) const WORDS: usize = INTEGERS + BLOCK / 4;
/// Bits of the scale.
pub(super) const SCALE: usize = 0;
/// Bits of the scale times the sum of the integers.
pub(super) const SUM: usize = 1;
/// -8 times the sum of the integers: where sums of products with weights that are held 8 too high start.
pub(super) const START_OF_4: usize = 2;
/// The same for weights that are held 128 too high.
pub(super) const START_OF_8: usize = 3;
/// The first of the words with numbers of 8 bits, in [-127, 127].
pub(super) const INTEGERS: usize = 4;

/// Weights as `scale * (integer - offset) + minimum`; the offset is 128 of integers of 8 bits, 8 of those of 4, and 0 of
/// those of 4 with minimums.
pub(super) struct Block {
    pub integers: [u8; BLOCK],
    pub scale: f32,
    pub minimum: f32,
}

/// `Q8_0`: integers in [-127, 127], here 128 too high.
#[inline(always)]
pub(super) fn q8_0(values: &[f32; BLOCK]) -> Block {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let integers = values.map(|value| ((value * inverse).round() as i8).cast_unsigned() ^ 0x80);
    Block { integers, scale, minimum: 0.0 }
}

/// `Q4_0`: integers in [0, 15], 8 too high; the scale's sign lets the largest number be -8.
#[inline(always)]
pub(super) fn q4_0(values: &[f32; BLOCK]) -> Block {
    let larger = |largest: f32, &value: &f32| match value.abs() > largest.abs() {
        true => value,
        false => largest,
    };
    let scale = values.iter().fold(0.0, larger) / -8.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let integers = values.map(|value| ((value * inverse + 8.5) as u8).min(15));
    Block { integers, scale, minimum: 0.0 }
}

/// Quantises a row of activations, block by block, into place `index` of a tile `[blocks, WORDS, height]`; the last
/// block is filled up with zeros. A row with numbers that are not finite has products that are not.
#[inline(always)]
pub(crate) fn activations(row: &[f32], words: &mut [i32], (height, index): (usize, usize)) {
    for (block, words) in row.chunks(BLOCK).zip(words.chunks_exact_mut(WORDS * height)) {
        let mut values = [0.0; BLOCK];
        values[..block.len()].copy_from_slice(block);
        // Bits of magnitudes sort like them, and those of NaN come last.
        let largest = values.iter().fold(0, |largest, value| largest.max(value.abs().to_bits()));
        let scale = f32::from_bits(largest) / 127.0;
        // Where the scale is NaN or infinite, so is whatever it is multiplied by.
        let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
        // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
        let integers = values.map(|value| (value * inverse + 12_582_912.0).to_bits() as i8);
        let sum: i32 = integers.iter().map(|&integer| i32::from(integer)).sum();
        let mut set = |word: usize, value: i32| words[word * height + index] = value;
        set(SCALE, scale.to_bits().cast_signed());
        set(SUM, (scale * sum as f32).to_bits().cast_signed());
        set(START_OF_4, -8 * sum);
        set(START_OF_8, -128 * sum);
        for (word, four) in integers.as_chunks().0.iter().enumerate() {
            set(INTEGERS + word, i32::from_le_bytes(four.map(i8::cast_unsigned)));
        }
    }
}
