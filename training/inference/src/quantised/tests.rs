use half::f16;

use espalier_model::random::{normal, stream};
use safetensors::SafeTensors;

use super::*;
use crate::kernel::TILE;

const FORMATS: [WeightFormat; 2] = [WeightFormat::Q8_0, WeightFormat::Q4_0];

fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = stream(seed, [0, 0]);
    (0..count).map(|_| normal(&mut rng)).collect()
}

fn with(layout: Layout, weights: &[f32], inputs: usize) -> Option<Quantised> {
    let outputs = weights.len() / inputs;
    let mut matrix = Quantised::new(layout, inputs, outputs.div_ceil(PANEL));
    for (output, row) in weights.chunks_exact(inputs).enumerate() {
        matrix.write(output / PANEL, output % PANEL, row)?;
    }
    Some(matrix.narrow())
}

fn matrix(format: WeightFormat, weights: &[f32], inputs: usize) -> Quantised {
    Layout::of(format).into_iter().find_map(|layout| with(layout, weights, inputs)).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
    std::fs::read(std::path::Path::new(dir).join(name)).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn packed(rows: &[f32], inputs: usize) -> Vec<i32> {
    let height = rows.len() / inputs;
    let mut packed = vec![0; height * words(inputs)];
    for (index, row) in rows.chunks_exact(inputs).enumerate() {
        activations(row, &mut packed, (height, index));
    }
    packed
}

/// `make.py` let the gguf package round the rows.
#[test]
fn numbers_are_rounded_as_by_ggml() {
    let file = fixture("quantised_rows.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    let values = floats(file.tensor("values").unwrap().data());
    for (name, format) in ["Q8_0", "Q4_0"].into_iter().zip(FORMATS) {
        let blocks = file.tensor(&format!("{name}.bytes")).unwrap();
        let size = format.bytes(BLOCK).unwrap();
        let read = matrix(format, &values, BLOCK);
        for (index, block) in blocks.data().chunks_exact(size).enumerate() {
            let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
            let expected: Vec<f32> = match format {
                WeightFormat::Q8_0 => {
                    block[2..].iter().map(|&byte| f32::from(byte.cast_signed())).collect()
                }
                WeightFormat::Q4_0 | WeightFormat::Stored => {
                    let bytes = &block[2..];
                    let halves = bytes.iter().map(|byte| byte & 15);
                    let integers = halves.chain(bytes.iter().map(|byte| byte >> 4));
                    integers.map(|integer| f32::from(integer) - 8.0).collect()
                }
            };
            let mut found = [0.0; BLOCK];
            read.read(index / PANEL, index % PANEL, &mut found);
            let expected: Vec<f32> = expected.iter().map(|integer| integer * scale).collect();
            assert_eq!(found, *expected, "{name} {index}");
        }
    }
}

#[test]
fn products_are_those_of_the_rounded_numbers_by_all_instructions() {
    let grid =
        |minimum: f32| move |value: f32| 0.125 * (value * 4.0).round().clamp(-7.0, 7.0) + minimum;
    let kinds: [(WeightFormat, &dyn Fn(f32) -> f32); 4] = [
        (WeightFormat::Q8_0, &|value| value),
        (WeightFormat::Q4_0, &|value| value),
        (WeightFormat::Stored, &grid(0.0)),
        (WeightFormat::Stored, &grid(0.1)),
    ];
    for (format, numbers) in kinds {
        for (height, inputs, outputs) in [(1, 32, 16), (2, 64, 18), (4, 96, 32), (6, 608, 40)] {
            let weights: Vec<f32> = noise(outputs * inputs, 1).into_iter().map(numbers).collect();
            let weights = matrix(format, &weights, inputs);
            let rows = noise(height * inputs, 2);
            let packed = packed(&rows, inputs);
            let tile = Tile { words: &packed, height };
            let mut scales = Scales::default();
            let count = outputs.div_ceil(PANEL).min(TOGETHER);
            let panels = weights.panels(0, count, &mut scales);
            let mut found = Vec::new();
            for instructions in Instructions::all() {
                let mut product = [[[f32::NAN; PANEL]; TILE]; TOGETHER];
                instructions.multiply(tile, &panels, &mut product);
                found.push(product.map(|rows| rows.map(|lane| lane.map(f32::to_bits))));
            }
            for (row, values) in rows.chunks_exact(inputs).enumerate() {
                let mut rounded = Vec::new();
                for block in values.chunks(BLOCK) {
                    let largest = block.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                    let (scale, inverse) = (largest / 127.0, 1.0 / (largest / 127.0));
                    let round = |x: &f32| f64::from((x * inverse).round_ties_even() * scale);
                    rounded.extend(block.iter().map(round));
                }
                for output in 0..outputs.min(count * PANEL) {
                    let mut weight = vec![0.0; inputs];
                    weights.read(output / PANEL, output % PANEL, &mut weight);
                    let terms = weight.iter().zip(&rounded).map(|(&w, x)| f64::from(w) * x);
                    let (product, size) =
                        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                    let (panel, lane) = (output / PANEL, output % PANEL);
                    let first = f64::from(f32::from_bits(found[0][panel][row][lane]));
                    assert!((first - product).abs() <= 1e-6 * size, "{format:?} {first} {product}");
                }
            }
            for other in &found[1..] {
                for panel in 0..count {
                    assert_eq!(other[panel][..height], found[0][panel][..height], "{format:?}");
                }
            }
        }
    }
}

/// All integers at their bounds, where 16 bits would not hold their sums.
#[test]
fn the_largest_numbers_saturate_nothing() {
    let inputs = 64;
    for format in FORMATS {
        for sign in [1.0, -1.0] {
            let weights = matrix(format, &vec![sign; PANEL * inputs], inputs);
            let packed = packed(&vec![-127.0; inputs], inputs);
            let mut scales = Scales::default();
            let panels = weights.panels(0, 1, &mut scales);
            let mut weight = vec![0.0; inputs];
            weights.read(0, 5, &mut weight);
            let expected = -127.0 * weight[0] * 64.0;
            for instructions in Instructions::all() {
                let mut product = [[[0.0; PANEL]; TILE]; TOGETHER];
                instructions.multiply(Tile { words: &packed, height: 1 }, &panels, &mut product);
                let found = product[0][0][5];
                assert!((found - expected).abs() < 1e-3, "{instructions:?} {found} {expected}");
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut row = noise(64, 3);
        row[40] = bad;
        let weights = matrix(WeightFormat::Q8_0, &noise(PANEL * 64, 4), 64);
        let packed = packed(&row, 64);
        let mut scales = Scales::default();
        let panels = weights.panels(0, 1, &mut scales);
        for instructions in Instructions::all() {
            let mut product = [[[0.0; PANEL]; TILE]; TOGETHER];
            instructions.multiply(Tile { words: &packed, height: 1 }, &panels, &mut product);
            assert!(product[0][0].iter().all(|value| !value.is_finite()), "{bad}");
        }
    }
}

#[test]
fn rows_of_zeros_and_of_the_smallest_numbers_are_zeros() {
    for value in [0.0, f32::from_bits(1), -f32::MIN_POSITIVE] {
        let packed = packed(&[value; 32], 32);
        assert!(packed[blocks::INTEGERS..].iter().all(|&word| word == 0), "{value}");
    }
}

/// `make.py` let the gguf package widen random blocks.
#[test]
fn blocks_of_files_are_found_again_and_other_numbers_are_not() {
    let file = fixture("gguf_blocks.safetensors");
    let file = SafeTensors::deserialize(&file).unwrap();
    // Bits, and whether there are minimums.
    for (name, expected) in [
        ("Q4_0", Some((4, false))),
        ("Q4_1", Some((4, true))),
        ("Q4_K", Some((4, true))),
        ("Q5_0", Some((8, false))),
        ("Q5_1", Some((8, true))),
        ("Q5_K", Some((8, true))),
        ("Q8_0", Some((8, false))),
        ("Q6_K", None),
        ("F16", None),
    ] {
        let values = floats(file.tensor(&format!("{name}.values")).unwrap().data());
        let layouts = Layout::of(WeightFormat::Stored);
        let found = layouts.into_iter().find_map(|layout| with(layout, &values, 256));
        let layout = found.as_ref().map(|found| found.layout);
        let layout = layout.map(|one| (if one.four_bits { 4 } else { 8 }, one.minimums));
        assert_eq!(layout, expected, "{name}");
        let Some(found) = found else { continue };
        let mut read = vec![0.0; 256];
        found.read(0, 0, &mut read);
        for (block, (read, values)) in read.chunks(BLOCK).zip(values.chunks(BLOCK)).enumerate() {
            let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            for (read, value) in read.iter().zip(values) {
                assert!((read - value).abs() <= 3e-7 * largest, "{name} {block}: {read} {value}");
            }
        }
    }
}
