//! Weight matrices and activations packed for [`super::kernel`].

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};

use super::config::WeightFormat;
use super::elementwise::vectorised;
use super::kernel::{Lane, Output, PANEL, Start, TILE, TOGETHER, multiply_packed, tile_heights};
use super::numbers::Numbers;
use super::quantised::{self, Instructions, Layout, Product, Quantised, Scales, Tile, activations};
use super::team::Team;

/// Rows that are taken through a panel together: their activations stay in the second-level cache while the panels
/// stream by. A multiple of the tile.
const BLOCK: usize = 96;
/// Pieces a thread's share of a product is cut into, so that a thread that was interrupted does not hold up the others.
const PIECES: usize = 4;

/// Activations `[rows, width]` of a product's left side, tile by tile: an element `k` of all rows of a tile lies side
/// by side. Either numbers or, for quantised weights, [`Tile::words`].
#[derive(Default)]
pub(super) struct Packed {
    values: Vec<f32>,
    words: Vec<i32>,
    rows: usize,
}

impl Packed {
    /// Fills so many rows for a layer: `fill(row, values)` writes one.
    pub fn fill(
        &mut self,
        team: &Team,
        reader: &Linear,
        rows: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync + Send,
    ) {
        self.rows = rows;
        let width = reader.inputs;
        match reader.weights {
            Weights::Exact(_) => {
                let tiles = tiles(&mut self.values, rows, width);
                spread(team, tiles, |(first, height, tile), row| {
                    row.resize(width, 0.0);
                    for index in 0..height {
                        fill(first + index, row);
                        for (values, &value) in tile.chunks_exact_mut(height).zip(row.iter()) {
                            values[index] = value;
                        }
                    }
                });
            }
            Weights::Quantised(_) => {
                let arch = Arch::new();
                let tiles = tiles(&mut self.words, rows, quantised::words(width));
                spread(team, tiles, |(first, height, tile), row| {
                    row.resize(width, 0.0);
                    for index in 0..height {
                        fill(first + index, row);
                        vectorised(
                            arch,
                            #[inline(always)]
                            || activations(row, tile, (height, index)),
                        );
                    }
                });
            }
        }
    }
}

/// First row, height and room of a tile.
type Room<'a, T> = (usize, usize, &'a mut [T]);

/// Makes room for `width` elements a row, and cuts it into tiles.
fn tiles<T: Clone + Default>(room: &mut Vec<T>, rows: usize, width: usize) -> Vec<Room<'_, T>> {
    room.resize(rows * width, T::default());
    let mut tiles = Vec::with_capacity(rows.div_ceil(4));
    let (mut rest, mut first) = (room.as_mut_slice(), 0);
    for height in blocks(rows).flat_map(|(_, rows)| tile_heights(rows)) {
        let (tile, later) = rest.split_at_mut(height * width);
        tiles.push((first, height, tile));
        (rest, first) = (later, first + height);
    }
    tiles
}

/// Calls `pack` once for each tile, with room for a row.
fn spread<T: Send>(
    team: &Team,
    mut tiles: Vec<Room<'_, T>>,
    pack: impl Fn(Room<'_, T>, &mut Vec<f32>) + Sync + Send,
) {
    if team.len() == 1 {
        let mut row = Vec::new();
        return tiles.into_iter().for_each(|tile| pack(tile, &mut row));
    }
    let share = tiles.len().div_ceil(team.len() * PIECES).max(1);
    let mut shares = Vec::new();
    while !tiles.is_empty() {
        shares.push(tiles.split_off(tiles.len().saturating_sub(share)));
    }
    team.each(shares, |tiles| {
        let mut row = Vec::new();
        tiles.into_iter().for_each(|tile| pack(tile, &mut row));
    });
}

/// Blocks of rows: the first row of each, and how many.
fn blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).step_by(BLOCK).map(move |first| (first, BLOCK.min(rows - first)))
}

/// Results of a product, `[panels, rows, PANEL]`: each panel's are written by one thread.
#[derive(Default)]
pub(super) struct Panels {
    values: Vec<f32>,
    rows: usize,
}

impl Panels {
    /// Room for `rows` of `panels`; what is in it is left as it is.
    pub fn resize(&mut self, rows: usize, panels: usize) {
        self.rows = rows;
        self.values.resize(rows * panels * PANEL, 0.0);
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A row's part in one panel.
    #[inline(always)]
    pub fn lane(&self, panel: usize, row: usize) -> &Lane {
        &self.values.as_chunks().0[panel * self.rows + row]
    }

    /// As [`Self::lane`], for writing.
    #[inline(always)]
    pub fn lane_mut(&mut self, panel: usize, row: usize) -> &mut Lane {
        &mut self.values.as_chunks_mut().0[panel * self.rows + row]
    }

    /// Copies a row's elements from panel `first` on.
    #[inline(always)]
    pub fn read(&self, first: usize, row: usize, out: &mut [f32]) {
        for (panel, out) in (first..).zip(out.chunks_mut(PANEL)) {
            out.copy_from_slice(&self.lane(panel, row)[..out.len()]);
        }
    }

    /// Keeps the rows `wanted`, in their order, of `panels` panels. Ascending, so that a row never lands on one that is
    /// still to be moved.
    pub fn keep(&mut self, panels: usize, wanted: &[usize]) {
        let lanes: &mut [Lane] = self.values.as_chunks_mut().0;
        for panel in 0..panels {
            for (to, from) in wanted.iter().enumerate() {
                lanes[panel * wanted.len() + to] = lanes[panel * self.rows + from];
            }
        }
        self.resize(wanted.len(), panels);
    }
}

/// A linear layer, or several that share their input.
pub(super) struct Linear {
    inputs: usize,
    panels: usize,
    weights: Weights,
    bias: Option<Vec<Lane>>,
}

/// What the outputs of a panel do not fill is zero.
enum Weights {
    /// As the checkpoint holds them, `[panels, inputs, PANEL]`.
    Exact(Numbers),
    Quantised(Quantised),
}

/// One matrix in Hugging Face's layout `[outputs, inputs]`, with its bias `[outputs]` if it has one.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub weights: &'a [f32],
    pub bias: Option<&'a [f32]>,
    /// Outputs that begin a panel: a head's width, or all outputs.
    pub group: usize,
}

impl Linear {
    /// Packs matrices, rounded to `format` where there is one; their outputs follow one another, each group of them from
    /// a new panel on.
    pub fn new(format: Option<WeightFormat>, inputs: usize, matrices: &[Matrix<'_>]) -> Self {
        let groups = |matrix: &Matrix<'_>| matrix.weights.len() / inputs / matrix.group;
        let panels: usize =
            matrices.iter().map(|matrix| groups(matrix) * matrix.group.div_ceil(PANEL)).sum();
        let has_bias = matrices.iter().any(|matrix| matrix.bias.is_some());
        let mut bias = vec![[0.0; PANEL]; if has_bias { panels } else { 0 }];
        let layouts = format.map(Layout::of).unwrap_or_default();
        let quantised = layouts.into_iter().find_map(|layout| {
            let mut weights = Quantised::new(layout, inputs, panels);
            vectorised(
                Arch::new(),
                #[inline(always)]
                || {
                    place(inputs, matrices, &mut bias, |panel, lane, row| {
                        weights.write(panel, lane, row)
                    })
                },
            )?;
            Some(weights.narrow())
        });
        let weights = quantised.map_or_else(
            || {
                let mut weights = vec![0.0; panels * inputs * PANEL];
                place(inputs, matrices, &mut bias, |panel, lane, row| {
                    let target = &mut weights[panel * inputs * PANEL..][..inputs * PANEL];
                    for (target, &weight) in target.chunks_exact_mut(PANEL).zip(row) {
                        target[lane] = weight;
                    }
                    Some(())
                });
                Weights::Exact(Numbers::exact(weights))
            },
            Weights::Quantised,
        );
        Self { inputs, panels, weights, bias: has_bias.then_some(bias) }
    }

    /// Multiply-adds of one row.
    pub fn cost(&self) -> usize {
        self.inputs * self.panels * PANEL
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Exact(weights) => weights.bytes(),
            Weights::Quantised(weights) => weights.bytes(),
        }
    }

    /// The weights `[inputs]` of an output of a layer whose outputs are one group.
    pub fn output(&self, index: usize, out: &mut [f32]) {
        let (panel, lane) = (index / PANEL, index % PANEL);
        match &self.weights {
            Weights::Exact(weights) => {
                for (k, out) in (panel * self.inputs..).zip(out) {
                    *out = weights.at(k * PANEL + lane);
                }
            }
            Weights::Quantised(weights) => weights.read(panel, lane, out),
        }
    }

    /// `[rows, inputs] -> [panels, rows, PANEL]`; the product replaces what is in `out`.
    pub fn apply(&self, team: &Team, arch: Arch, input: &Packed, out: &mut Panels) {
        out.resize(input.rows, self.panels);
        self.run(team, arch, input, out, false);
    }

    /// As [`Self::apply`], but adds the product to what is in `out`.
    pub fn apply_add(&self, team: &Team, arch: Arch, input: &Packed, out: &mut Panels) {
        self.run(team, arch, input, out, true);
    }

    fn run(&self, team: &Team, arch: Arch, input: &Packed, out: &mut Panels, add: bool) {
        let pieces = if team.len() == 1 { 1 } else { team.len() * PIECES };
        let share = self.panels.div_ceil(pieces).max(1).next_multiple_of(TOGETHER);
        let shares = out.values.chunks_mut(share * input.rows.max(1) * PANEL).enumerate();
        team.each(shares.collect(), |(index, out)| {
            SCRATCH.with_borrow_mut(|(lanes, scales)| {
                let first = index * share;
                match &self.weights {
                    Weights::Exact(weights) => {
                        let scratch = lanes;
                        let linear = self;
                        arch.dispatch(Apply { linear, weights, input, first, out, add, scratch });
                    }
                    Weights::Quantised(weights) => {
                        let instructions = Instructions::best();
                        self.quantised(instructions, weights, scales, input, (first, out, add));
                    }
                }
            });
        });
    }

    /// The product of some quantised panels, from `first` on.
    fn quantised(
        &self,
        instructions: Instructions,
        weights: &Quantised,
        scales: &mut Scales,
        input: &Packed,
        (first, out, add): (usize, &mut [f32], bool),
    ) {
        let (rows, width) = (input.rows, quantised::words(self.inputs));
        let mut product: Product = [[[0.0; PANEL]; TILE]; TOGETHER];
        for (row, count) in blocks(rows) {
            for (index, out) in out.chunks_mut(TOGETHER * rows * PANEL).enumerate() {
                let panel = first + index * TOGETHER;
                let panels = weights.panels(panel, out.len() / (rows * PANEL), scales);
                let mut row = row;
                for height in tile_heights(count) {
                    let words = &input.words[row * width..][..height * width];
                    instructions.multiply(Tile { words, height }, &panels, &mut product);
                    let outs = out.chunks_exact_mut(rows * PANEL);
                    for (panel, (out, product)) in (panel..).zip(outs.zip(&product)) {
                        let bias = self.bias.as_ref().map_or([0.0; PANEL], |bias| bias[panel]);
                        let out = &mut out.as_chunks_mut::<PANEL>().0[row..][..height];
                        for (out, product) in out.iter_mut().zip(product) {
                            for lane in 0..PANEL {
                                let before = if add { out[lane] } else { 0.0 };
                                out[lane] = before + (product[lane] + bias[lane]);
                            }
                        }
                    }
                    row += height;
                }
            }
        }
    }
}

/// Hands over every output's weights with its panel and lane, and places the biases; ends where `write` does.
#[inline(always)]
fn place(
    inputs: usize,
    matrices: &[Matrix<'_>],
    bias: &mut [Lane],
    mut write: impl FnMut(usize, usize, &[f32]) -> Option<()>,
) -> Option<()> {
    let mut panel = 0;
    for matrix in matrices {
        for (group, rows) in matrix.weights.chunks_exact(inputs * matrix.group).enumerate() {
            for (output, row) in rows.chunks_exact(inputs).enumerate() {
                let (panel, lane) = (panel + output / PANEL, output % PANEL);
                write(panel, lane, row)?;
                if let Some(values) = matrix.bias {
                    bias[panel][lane] = values[group * matrix.group + output];
                }
            }
            panel += matrix.group.div_ceil(PANEL);
        }
    }
    Some(())
}

thread_local! {
    /// Panels of weights in 32 bits, and scales.
    static SCRATCH: RefCell<(Vec<Lane>, Scales)> = RefCell::default();
}

/// The product of some panels.
struct Apply<'a> {
    linear: &'a Linear,
    weights: &'a Numbers,
    input: &'a Packed,
    first: usize,
    out: &'a mut [f32],
    add: bool,
    scratch: &'a mut Vec<Lane>,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { linear, weights, input, first, out, add, scratch } = self;
        let (inputs, rows) = (linear.inputs, input.rows);
        for (row, count) in blocks(rows) {
            for (index, out) in out.chunks_mut(TOGETHER * rows * PANEL).enumerate() {
                let panel = first + index * TOGETHER;
                let next = panel + out.len() / (rows * PANEL);
                let weights = weights.lanes(panel * inputs..next * inputs, scratch);
                let (one, other) = weights.split_at(inputs);
                let panels = &[one, other][..next - panel];
                let start = match &linear.bias {
                    // A bias is added once; the residual stream's own numbers come on top below.
                    Some(bias) => Start::Bias(&bias[panel..next]),
                    None => Start::Zero,
                };
                let mut row = row;
                for height in tile_heights(count) {
                    let tile = &input.values[row * inputs..][..height * inputs];
                    if add {
                        let mut product = [0.0; TOGETHER * TILE * PANEL];
                        let (values, next) = (product.as_mut_slice(), TILE * PANEL);
                        let mut target = Output { values, stride: PANEL, next };
                        multiply_packed(simd, height, tile, panels, start, &mut target);
                        let sums = out.chunks_exact_mut(rows * PANEL);
                        for (out, product) in sums.zip(product.chunks_exact(next)) {
                            let out = &mut out[row * PANEL..][..height * PANEL];
                            for (out, product) in out.iter_mut().zip(product) {
                                *out += product;
                            }
                        }
                    } else {
                        let (values, next) = (&mut out[row * PANEL..], rows * PANEL);
                        let mut target = Output { values, stride: PANEL, next };
                        multiply_packed(simd, height, tile, panels, start, &mut target);
                    }
                    row += height;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_model::random::{normal, stream};

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = stream(seed, [0, 0]);
        (0..count).map(|_| normal(&mut rng)).collect()
    }

    fn packed(team: &Team, input: &[f32], reader: &Linear) -> Packed {
        let (mut packed, inputs) = (Packed::default(), reader.inputs);
        packed.fill(team, reader, input.len() / inputs, |row, out| {
            out.copy_from_slice(&input[row * inputs..][..inputs]);
        });
        packed
    }

    #[test]
    fn multiplies_like_the_textbook_for_all_shapes_and_teams() {
        let arch = Arch::new();
        for threads in [1, 3] {
            let team = Team::new(threads).unwrap();
            for (rows, inputs, outputs, group) in
                [(1, 1, 1, 1), (5, 3, 16, 16), (7, 32, 18, 6), (13, 20, 98, 98), (200, 8, 40, 20)]
            {
                let (input, weights) = (noise(rows * inputs, 1), noise(outputs * inputs, 2));
                let bias = noise(outputs, 3);
                let matrix = Matrix { weights: &weights, bias: Some(&bias), group };
                let linear = Linear::new(None, inputs, &[matrix, matrix]);
                let left = packed(&team, &input, &linear);
                let mut out = Panels::default();
                linear.apply(&team, arch, &left, &mut out);
                let check = |out: &Panels, factor: f64| {
                    let columns = (0..2).flat_map(|m| (0..outputs).map(move |c| (m, c)));
                    for (row, (matrix, column)) in
                        (0..rows).flat_map(|r| columns.clone().map(move |c| (r, c)))
                    {
                        let product: f64 = (0..inputs)
                            .map(|k| {
                                f64::from(input[row * inputs + k])
                                    * f64::from(weights[column * inputs + k])
                            })
                            .sum();
                        let expected = (product + f64::from(bias[column])) * factor;
                        let of_group = group.div_ceil(PANEL);
                        let panel = (matrix * (outputs / group) + column / group) * of_group
                            + column % group / PANEL;
                        let found = f64::from(out.lane(panel, row)[column % group % PANEL]);
                        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
                    }
                };
                check(&out, 1.0);
                linear.apply_add(&team, arch, &left, &mut out);
                check(&out, 2.0);
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_every_batch_and_team() {
        let arch = Arch::new();
        let (inputs, outputs, rows) = (50, 37, 211);
        let weights = noise(inputs * outputs, 3);
        let matrix = Matrix { weights: &weights, bias: None, group: outputs };
        let input = noise(rows * inputs, 4);
        let teams = [Team::new(1).unwrap(), Team::new(2).unwrap()];
        for format in [None, Some(WeightFormat::Q8_0), Some(WeightFormat::Q4_0)] {
            let linear = Linear::new(format, inputs, &[matrix]);
            let mut all = Panels::default();
            linear.apply(&teams[0], arch, &packed(&teams[0], &input, &linear), &mut all);
            for (from, to) in [(0, 1), (3, 4), (100, 108), (95, 97), (150, 211)] {
                for team in &teams {
                    let mut some = Panels::default();
                    let part = &input[from * inputs..to * inputs];
                    linear.apply(team, arch, &packed(team, part, &linear), &mut some);
                    for panel in 0..linear.panels {
                        for row in from..to {
                            assert_eq!(some.lane(panel, row - from), all.lane(panel, row));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn sixteen_bits_change_no_bit() {
        let arch = Arch::new();
        let team = Team::new(1).unwrap();
        let (inputs, outputs, rows) = (50, 37, 7);
        let activations = noise(rows * inputs, 6);
        let noise = noise(inputs * outputs, 5);
        let brains: Vec<f32> = noise.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
        let halves: Vec<f32> = noise.iter().map(|&x| half::f16::from_f32(x).to_f32()).collect();
        for weights in [brains, halves] {
            let matrix = Matrix { weights: &weights, bias: None, group: outputs };
            let mut linear = Linear::new(None, inputs, &[matrix]);
            assert_eq!(linear.bytes(), 2 * linear.cost());
            let input = packed(&team, &activations, &linear);
            let (mut narrow, mut wide) = (Panels::default(), Panels::default());
            linear.apply(&team, arch, &input, &mut narrow);
            let mut values = vec![0.0; linear.cost()];
            let Weights::Exact(weights) = &linear.weights else { panic!("quantised") };
            weights.read(0, &mut values);
            linear.weights = Weights::Exact(Numbers::Float32(values));
            linear.apply(&team, arch, &input, &mut wide);
            assert_eq!(narrow.values, wide.values);
        }
    }

    #[test]
    fn quantised_products_are_near_and_have_biases_and_sums() {
        let (arch, team) = (Arch::new(), Team::new(1).unwrap());
        let (inputs, outputs, rows) = (96, 37, 9);
        let (weights, bias) = (noise(inputs * outputs, 7), noise(outputs, 8));
        let matrix = Matrix { weights: &weights, bias: Some(&bias), group: outputs };
        let activations = noise(rows * inputs, 9);
        let product = |format: Option<WeightFormat>| {
            let linear = Linear::new(format, inputs, &[matrix, matrix]);
            let input = packed(&team, &activations, &linear);
            let mut out = Panels::default();
            linear.apply(&team, arch, &input, &mut out);
            let once = out.values.clone();
            linear.apply_add(&team, arch, &input, &mut out);
            for (once, twice) in once.iter().zip(&out.values) {
                assert_eq!(2.0 * once, *twice);
            }
            (once, linear.bytes())
        };
        let (exact, bytes) = product(None);
        for (format, limit, share) in
            [(WeightFormat::Q8_0, 0.02, 0.27), (WeightFormat::Q4_0, 0.15, 0.15)]
        {
            let (found, smaller) = product(Some(format));
            let off: f32 = found.iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum();
            let size: f32 = exact.iter().map(|a| a.powi(2)).sum();
            let off = (off / size).sqrt();
            assert!(off > 0.0 && off < limit, "{format:?}: {off}");
            assert!((smaller as f64) < share * bytes as f64, "{format:?}: {smaller} of {bytes}");
        }
    }

    #[test]
    fn an_output_reads_as_it_was_written() {
        let (inputs, outputs) = (40, 37);
        let weights = noise(inputs * outputs, 10);
        let matrix = Matrix { weights: &weights, bias: None, group: outputs };
        for (format, limit) in
            [(None, 0.0), (Some(WeightFormat::Q8_0), 0.02), (Some(WeightFormat::Q4_0), 0.3)]
        {
            let linear = Linear::new(format, inputs, &[matrix]);
            let mut row = vec![0.0; inputs];
            for (index, expected) in weights.chunks_exact(inputs).enumerate() {
                linear.output(index, &mut row);
                let off = row.iter().zip(expected).map(|(a, b)| (a - b).abs());
                assert!(off.fold(0.0, f32::max) <= limit, "{format:?} {index}");
            }
        }
    }

    #[test]
    fn keeping_rows_moves_them_together() {
        let mut panels = Panels::default();
        panels.resize(4, 2);
        for (panel, row) in (0..2).flat_map(|p| (0..4).map(move |r| (p, r))) {
            *panels.lane_mut(panel, row) = [(panel * 4 + row) as f32; PANEL];
        }
        panels.keep(2, &[1, 3]);
        let firsts = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(p, r)| panels.lane(p, r)[0]);
        assert_eq!((panels.rows(), firsts), (2, [1.0, 3.0, 5.0, 7.0]));
    }
}
