//! Feed-forward layers: a gated one, or a mixture of experts.

use espalier_model::config::architecture::{Activation, Experts as Facts};
use pulp::Arch;

use super::config::WeightFormat;
use super::elementwise::{exp, exponentiate, geglu, maximum, swiglu, vectorised};
use super::kernel::PANEL;
use super::linear::{Linear, Matrix, Packed, Panels};
use super::team::Team;

/// What stands behind a block's second norm.
pub(super) enum FeedForward {
    Plain(Box<Gated>),
    Experts(Box<Experts>),
}

/// `down(activation(gate(x)) * up(x))`.
pub(super) struct Gated {
    inner: usize,
    pub gate_up: Linear,
    pub down: Linear,
}

/// A mixture of [`Gated`] layers.
pub(super) struct Experts {
    per_token: usize,
    normalised: bool,
    /// Scores of the experts.
    router: Linear,
    experts: Vec<Gated>,
    /// The one that reads every row, and the score whose sigmoid its result is multiplied by.
    shared: Option<(Gated, Linear)>,
}

/// Buffers of a mixture.
#[derive(Default)]
pub(super) struct Mixture {
    /// What the layer reads, `[rows, width]`.
    rows: Vec<f32>,
    packed: Packed,
    scores: Panels,
    shared_scores: Panels,
    gate_up: Panels,
    /// The result of one expert, for the rows that it read.
    part: Panels,
}

/// Rows, each with what an expert's result for it is multiplied by.
type Weighted = Vec<(usize, f32)>;

impl FeedForward {
    /// The layer of a block. `matrix` gives a matrix of it by the last parts of its name.
    pub fn new<'a>(
        format: Option<WeightFormat>,
        (width, inner): (usize, usize),
        experts: Option<&Facts>,
        matrix: impl Fn(&str, usize) -> Matrix<'a>,
    ) -> Self {
        let gated = |module: &str, inner: usize| {
            let part = |part: &str, group| matrix(&format!("{module}.{part}"), group);
            Gated {
                inner,
                gate_up: Linear::new(
                    format,
                    width,
                    &[part("gate_proj", inner), part("up_proj", inner)],
                ),
                down: Linear::new(format, inner, &[part("down_proj", width)]),
            }
        };
        let Some(facts) = experts else {
            return Self::Plain(Box::new(gated("mlp", inner)));
        };
        let expert = |expert| gated(&format!("mlp.experts.{expert}"), facts.inner);
        let shared = |inner| {
            let gate = Linear::new(None, width, &[matrix("mlp.shared_expert_gate", 1)]);
            (gated("mlp.shared_expert", inner), gate)
        };
        Self::Experts(Box::new(Experts {
            per_token: facts.per_token,
            normalised: facts.normalised,
            // Few numbers, by which all others are chosen.
            router: Linear::new(None, width, &[matrix("mlp.gate", facts.count)]),
            experts: (0..facts.count).map(expert).collect(),
            shared: facts.shared.map(shared),
        }))
    }

    /// Multiply-adds of one row.
    pub fn cost(&self) -> usize {
        match self {
            Self::Plain(gated) => gated.sum(Linear::cost),
            Self::Experts(experts) => {
                let each = experts.experts.first().map_or(0, |gated| gated.sum(Linear::cost));
                experts.per_token * each + experts.always(Linear::cost)
            }
        }
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Plain(gated) => gated.sum(Linear::bytes),
            Self::Experts(experts) => {
                let all = experts.experts.iter().map(|gated| gated.sum(Linear::bytes));
                all.sum::<usize>() + experts.always(Linear::bytes)
            }
        }
    }
}

impl Gated {
    fn sum(&self, of: impl Fn(&Linear) -> usize) -> usize {
        of(&self.gate_up) + of(&self.down)
    }

    /// Replaces packed rows by what the gate lets through, for [`Self::down`].
    pub fn open(
        &self,
        (team, arch): (&Team, Arch),
        activation: Activation,
        packed: &mut Packed,
        gate_up: &mut Panels,
    ) {
        self.gate_up.apply(team, arch, packed, gate_up);
        let (gate_up, up) = (&*gate_up, self.inner.div_ceil(PANEL));
        packed.fill(team, &self.down, gate_up.rows(), |row, out| {
            vectorised(
                arch,
                #[inline(always)]
                || match activation {
                    Activation::Silu => gate_row(gate_up, (row, up), out, swiglu),
                    Activation::GeluTanh => gate_row(gate_up, (row, up), out, geglu),
                },
            );
        });
    }
}

impl Experts {
    /// What is taken of the matrices that every row goes through.
    fn always(&self, of: impl Fn(&Linear) -> usize + Copy) -> usize {
        let shared = self.shared.as_ref();
        of(&self.router) + shared.map_or(0, |(gated, gate)| gated.sum(of) + of(gate))
    }

    /// The mixture of every row into `out`, in place of what is there; `row(index, values)` reads one. A row's experts are
    /// added in their order, so that its bits do not depend on the others.
    pub fn apply(
        &self,
        (team, arch): (&Team, Arch),
        activation: Activation,
        (count, width): (usize, usize),
        row: impl Fn(usize, &mut [f32]) + Sync,
        (work, out): (&mut Mixture, &mut Panels),
    ) {
        let Mixture { rows, packed, scores, shared_scores, gate_up, part } = work;
        rows.resize(count * width, 0.0);
        team.each(rows.chunks_exact_mut(width).enumerate().collect(), |(index, out)| {
            row(index, out);
        });
        let all: Weighted = (0..count).map(|row| (row, 1.0)).collect();
        let pack = |packed: &mut Packed, reader: &Linear, chosen: &Weighted| {
            packed.fill(team, reader, chosen.len(), |index, out| {
                out.copy_from_slice(&rows[chosen[index].0 * width..][..width]);
            });
        };
        pack(packed, &self.router, &all);
        self.router.apply(team, arch, packed, scores);
        if let Some((_, gate)) = &self.shared {
            gate.apply(team, arch, packed, shared_scores);
        }
        let panels = width.div_ceil(PANEL);
        out.resize(count, panels);
        for (panel, row) in (0..panels).flat_map(|panel| (0..count).map(move |row| (panel, row))) {
            out.lane_mut(panel, row).fill(0.0);
        }
        let mut apply = |gated: &Gated, chosen: &Weighted| {
            pack(packed, &gated.gate_up, chosen);
            gated.open((team, arch), activation, packed, gate_up);
            gated.down.apply(team, arch, packed, part);
            for panel in 0..panels {
                for (index, &(row, weight)) in chosen.iter().enumerate() {
                    let lane = out.lane_mut(panel, row);
                    lane.iter_mut()
                        .zip(part.lane(panel, index))
                        .for_each(|(x, y)| *x += weight * y);
                }
            }
        };
        let chosen = self.choose(arch, scores);
        for (gated, chosen) in self.experts.iter().zip(&chosen) {
            if !chosen.is_empty() {
                apply(gated, chosen);
            }
        }
        if let Some((gated, _)) = &self.shared {
            let weight = |row| 1.0 / (1.0 + exp(-shared_scores.lane(0, row)[0]));
            apply(gated, &(0..count).map(|row| (row, weight(row))).collect());
        }
    }

    /// The rows of each expert.
    fn choose(&self, arch: Arch, scores: &Panels) -> Vec<Weighted> {
        let count = self.experts.len();
        let mut chosen: Vec<Weighted> = vec![Vec::new(); count];
        let (mut weights, mut order) = (vec![0.0; count], Vec::new());
        for row in 0..scores.rows() {
            scores.read(0, row, &mut weights);
            vectorised(
                arch,
                #[inline(always)]
                || {
                    let maximum = maximum(&weights);
                    let sum = exponentiate(&mut weights, maximum, 1.0);
                    weights.iter_mut().for_each(|weight| *weight /= sum);
                },
            );
            order.clear();
            order.extend(0..count);
            let likelier = |one: &usize, other: &usize| {
                weights[*other].total_cmp(&weights[*one]).then(one.cmp(other))
            };
            order.select_nth_unstable_by(self.per_token - 1, likelier);
            let order = &mut order[..self.per_token];
            order.sort_unstable();
            let sum: f32 = match self.normalised {
                true => order.iter().map(|&expert| weights[expert]).sum(),
                false => 1.0,
            };
            for &mut expert in order {
                chosen[expert].push((row, weights[expert] / sum));
            }
        }
        chosen
    }
}

/// Gates a row: `activation(gate) * up`, panel by panel.
#[inline(always)]
fn gate_row(
    gate_up: &Panels,
    (row, up): (usize, usize),
    out: &mut [f32],
    activate: impl Fn(&mut [f32], &[f32]),
) {
    for (panel, gate) in out.chunks_mut(PANEL).enumerate() {
        gate.copy_from_slice(&gate_up.lane(panel, row)[..gate.len()]);
        activate(gate, gate_up.lane(up + panel, row));
    }
}
