//! Feed-forward layers on a device: a gated one, or a mixture of experts.

use espalier_model::config::architecture::{Activation, Experts as Facts};
use espalier_torch::error::Result;
use tch::{Kind, Tensor};

use super::weights::Linear;

/// What stands behind a block's second norm.
pub(super) enum FeedForward {
    Plain(Gated),
    Experts(Box<Experts>),
}

/// `down(activation(gate(x)) * up(x))`.
pub(super) struct Gated {
    gate_up: Linear,
    down: Linear,
}

/// A mixture of [`Gated`] layers.
pub(super) struct Experts {
    per_token: usize,
    normalised: bool,
    /// fp32, `[experts, width]`.
    router: Tensor,
    experts: Vec<Gated>,
    /// The one that reads every row, and fp32 `[1, width]` whose score's sigmoid its result is multiplied by.
    shared: Option<(Gated, Tensor)>,
}

impl FeedForward {
    /// The layer of a block. `linear` gives matrices of one input, and `float` one in fp32, by the last parts of their names.
    pub fn new(
        experts: Option<&Facts>,
        linear: impl Fn(&[&str]) -> Result<Linear>,
        float: impl Fn(&str) -> Result<Tensor>,
    ) -> Result<Self> {
        let gated = |module: &str| -> Result<Gated> {
            let [gate, up, down] =
                ["gate_proj", "up_proj", "down_proj"].map(|part| format!("{module}.{part}"));
            Ok(Gated { gate_up: linear(&[&gate, &up])?, down: linear(&[&down])? })
        };
        let Some(facts) = experts else {
            return Ok(Self::Plain(gated("mlp")?));
        };
        let expert = |expert| gated(&format!("mlp.experts.{expert}"));
        let shared = |_| -> Result<(Gated, Tensor)> {
            Ok((gated("mlp.shared_expert")?, float("mlp.shared_expert_gate")?))
        };
        Ok(Self::Experts(Box::new(Experts {
            per_token: facts.per_token,
            normalised: facts.normalised,
            router: float("mlp.gate")?,
            experts: (0..facts.count).map(expert).collect::<Result<_>>()?,
            shared: facts.shared.map(shared).transpose()?,
        })))
    }

    /// Multiply-adds of one row.
    pub fn cost(&self) -> usize {
        match self {
            Self::Plain(gated) => gated.cost(),
            Self::Experts(experts) => {
                let each = experts.experts.first().map_or(0, Gated::cost);
                let shared = experts.shared.as_ref();
                let shared = shared.map_or(0, |(gated, gate)| gated.cost() + gate.numel());
                experts.per_token * each + experts.router.numel() + shared
            }
        }
    }

    /// `[rows, width] -> [rows, width]` of rows in fp32; matrices are multiplied in `kind`.
    pub fn apply(&self, normed: &Tensor, activation: Activation, kind: Kind) -> Result<Tensor> {
        match self {
            Self::Plain(gated) => gated.apply(&normed.f_to_kind(kind)?, activation),
            Self::Experts(experts) => experts.apply(normed, activation, kind),
        }
    }
}

impl Gated {
    fn cost(&self) -> usize {
        self.gate_up.cost() + self.down.cost()
    }

    fn apply(&self, normed: &Tensor, activation: Activation) -> Result<Tensor> {
        let gate_up = self.gate_up.apply(normed)?.f_chunk(2, 1)?;
        let gate = match activation {
            Activation::Silu => gate_up[0].f_silu()?,
            Activation::GeluTanh => gate_up[0].f_gelu("tanh")?,
        };
        self.down.apply(&gate.f_mul(&gate_up[1])?)
    }
}

impl Experts {
    fn apply(&self, normed: &Tensor, activation: Activation, kind: Kind) -> Result<Tensor> {
        let scores = normed.f_linear(&self.router, None::<Tensor>)?;
        let (mut weights, chosen) =
            scores.f_softmax(-1, Kind::Float)?.f_topk(self.per_token as i64, -1, true, true)?;
        if self.normalised {
            let sum = weights.f_sum_dim_intlist([-1i64].as_slice(), true, Kind::Float)?;
            weights = weights.f_div(&sum)?;
        }
        let rounded = normed.f_to_kind(kind)?;
        let mut mixed = normed.f_zeros_like()?;
        for (expert, gated) in self.experts.iter().enumerate() {
            // The rows that it reads, and which of their choices it is.
            let places = chosen.f_eq(expert as i64)?.f_nonzero_numpy()?;
            let [rows, place] = places.as_slice() else { continue };
            if rows.numel() == 0 {
                continue;
            }
            let output = gated.apply(&rounded.f_index_select(0, rows)?, activation)?;
            let weight = weights.f_index(&[Some(rows), Some(place)])?.f_unsqueeze(1)?;
            let output = output.f_to_kind(Kind::Float)?.f_mul(&weight)?;
            let _ = mixed.f_index_add_(0, rows, &output)?;
        }
        if let Some((gated, gate)) = &self.shared {
            let gate = normed.f_linear(gate, None::<Tensor>)?.f_sigmoid()?;
            let output = gated.apply(&rounded, activation)?.f_to_kind(Kind::Float)?;
            let _ = mixed.f_add_(&output.f_mul(&gate)?)?;
        }
        Ok(mixed)
    }
}
