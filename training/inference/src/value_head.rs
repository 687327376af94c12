//! The value head, which is read on the host whatever computes the net.

use espalier_model::parameters::{Parameters, VALUE_BIAS, VALUE_WEIGHT};

/// One linear unit over a final state.
pub(super) struct ValueHead {
    weight: Vec<f32>,
    bias: f32,
}

impl ValueHead {
    pub fn new(parameters: &Parameters) -> Self {
        let weight = parameters.values(VALUE_WEIGHT).to_vec();
        Self { weight, bias: parameters.values(VALUE_BIAS)[0] }
    }

    /// The value in [-1, 1] of a final state.
    pub fn value(&self, state: &[f32]) -> f32 {
        let terms = state.iter().zip(&self.weight).map(|(x, weight)| x * weight);
        (terms.sum::<f32>() + self.bias).tanh()
    }
}
