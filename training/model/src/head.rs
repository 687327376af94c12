//! What reads a number off a net's final states: the value head, and the heads of reward models.

use crate::parameters::{Parameter, Parameters, VALUE_BIAS, VALUE_WEIGHT};

/// One or two linear layers over a normalised final state, and what their results mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// A layer before the last, whose results below 0 become 0.
    hidden: Option<Linear>,
    output: Linear,
    reading: Reading,
}

/// A linear layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// `[out, in]`, row by row.
    weight: Vec<f32>,
    /// `[out]`; empty for none.
    bias: Vec<f32>,
    input: usize,
}

/// What a head's results mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// The first, as `tanh(x)`: AlphaMath's value head (arXiv 2405.03553).
    Tanh,
    /// Logits of classes, of which these together say that a step is good: `2 p - 1`.
    Classes(Vec<usize>),
    /// The first is the logit of a good step: `2 sigmoid(x) - 1`.
    Logit,
}

impl Linear {
    /// A layer whose shapes were checked: weight `[out, in]`, bias `[out]`.
    #[must_use]
    pub fn new(weight: &Parameter, bias: Option<&Parameter>) -> Self {
        let input = weight.shape.last().copied().unwrap_or_default().max(1);
        let bias = bias.map(|bias| bias.values.clone()).unwrap_or_default();
        Self { weight: weight.values.clone(), bias, input }
    }

    /// One that gives these rows' logits.
    pub(crate) fn of_rows(rows: &[&[f32]]) -> Self {
        let input = rows.first().map_or(1, |row| row.len());
        Self { weight: rows.concat(), bias: Vec::new(), input }
    }

    fn apply(&self, state: &[f32]) -> Vec<f32> {
        let row = |(index, row): (usize, &[f32])| {
            let terms = state.iter().zip(row).map(|(x, weight)| x * weight);
            terms.sum::<f32>() + self.bias.get(index).copied().unwrap_or_default()
        };
        self.weight.chunks_exact(self.input).enumerate().map(row).collect()
    }
}

impl Head {
    /// A head whose layers fit each other.
    pub(crate) fn new(hidden: Option<Linear>, output: Linear, reading: Reading) -> Self {
        Self { hidden, output, reading }
    }

    /// A net's own value head.
    #[must_use]
    pub fn of_value(parameters: &Parameters) -> Self {
        let weight = parameters.values(VALUE_WEIGHT).to_vec();
        let bias = parameters.values(VALUE_BIAS).to_vec();
        let input = weight.len().max(1);
        Self { hidden: None, output: Linear { weight, bias, input }, reading: Reading::Tanh }
    }

    /// The value in [-1, 1] of a final state `[D]`.
    #[must_use]
    pub fn value(&self, state: &[f32]) -> f32 {
        let inner = self.hidden.as_ref().map(|hidden| {
            let mut inner = hidden.apply(state);
            inner.iter_mut().for_each(|x| *x = x.max(0.0));
            inner
        });
        self.reading.value(&self.output.apply(inner.as_deref().unwrap_or(state)))
    }
}

impl Reading {
    /// The value in [-1, 1] of a head's results; not a number where they are none.
    #[must_use]
    pub fn value(&self, results: &[f32]) -> f32 {
        let first = results.first().copied().unwrap_or(f32::NAN);
        match self {
            Self::Tanh => first.tanh(),
            // 2 sigmoid(x) - 1.
            Self::Logit => (first / 2.0).tanh(),
            Self::Classes(good) => {
                let largest = results.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let shares = results.iter().map(|x| (x - largest).exp());
                let of =
                    |index: &usize| results.get(*index).map_or(f32::NAN, |x| (x - largest).exp());
                2.0 * good.iter().map(of).sum::<f32>() / shares.sum::<f32>() - 1.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(shape: &[usize], values: &[f32]) -> Parameter {
        Parameter { shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn results_become_values() {
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(Reading::Tanh.value(&[0.3]), 0.3f32.tanh());
        let p = 1.0 / (1.0 + (-1.7f32).exp());
        near(Reading::Logit.value(&[1.7]), 2.0 * p - 1.0);
        // Two classes are a logit: the difference of theirs.
        near(Reading::Classes(vec![1]).value(&[-0.7, 1.0]), 2.0 * p - 1.0);
        near(Reading::Classes(vec![0]).value(&[-0.7, 1.0]), 1.0 - 2.0 * p);
        // Nothing overflows, and classes add up.
        near(Reading::Classes(vec![1, 2]).value(&[200.0, 200.0, 200.0]), 1.0 / 3.0);
        assert!(Reading::Logit.value(&[]).is_nan());
    }

    #[test]
    fn a_hidden_layer_cuts_what_is_below_zero() {
        let hidden = Linear::new(
            &parameter(&[2, 2], &[1.0, 0.0, 0.0, -1.0]),
            Some(&parameter(&[2], &[0.5, 0.0])),
        );
        let output = Linear::new(&parameter(&[1, 2], &[1.0, 10.0]), None);
        let head = Head::new(Some(hidden), output, Reading::Tanh);
        assert_eq!(head.value(&[0.25, 3.0]), 0.75f32.tanh());
    }
}
