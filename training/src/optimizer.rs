//! AdamW (Loshchilov & Hutter, arXiv 1711.05101) with a state that can be saved and resumed bit for bit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::net::{from_tensor, to_tensor};
use crate::parameters::Parameter;
use crate::{Error, PolicyValueNet, Result};

/// Settings of AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdamWConfig {
    pub betas: [f64; 2],
    pub epsilon: f64,
    /// Decoupled decay, for matrices only: norms and biases are not pulled to 0.
    pub weight_decay: f64,
}

/// AdamW over named tensors.
#[derive(Debug)]
pub(crate) struct AdamW {
    config: AdamWConfig,
    moments: BTreeMap<String, Moments>,
    /// Updates so far.
    steps: usize,
}

#[derive(Debug)]
struct Moments {
    first: Tensor,
    second: Tensor,
}

const FIRST: &str = "exp_avg.";
const SECOND: &str = "exp_avg_sq.";

impl AdamW {
    pub fn new(config: AdamWConfig, net: &PolicyValueNet) -> Self {
        let zeros = |tensor: &Tensor| Tensor::zeros_like(&tensor.detach());
        let moments = net.trainable().map(|(name, tensor)| {
            (name.to_owned(), Moments { first: zeros(tensor), second: zeros(tensor) })
        });
        Self { config, moments: moments.collect(), steps: 0 }
    }

    /// One update of every tensor from its gradient, in the order of [`PolicyValueNet::trainable`], scaled by `scale`.
    /// A tensor that the loss did not touch has gradient 0, whether libtorch made it one or not: an optimiser that was
    /// resumed must not see the difference.
    pub fn step(
        &mut self,
        net: &PolicyValueNet,
        gradients: &[Option<Tensor>],
        learning_rate: f64,
        scale: f64,
    ) {
        self.steps += 1;
        let [beta1, beta2] = self.config.betas;
        let correction = |beta: f64| 1.0 - beta.powi(self.steps as i32);
        let step_size = learning_rate / correction(beta1);
        let root_correction = correction(beta2).sqrt();
        tch::no_grad(|| {
            for ((name, tensor), gradient) in net.trainable().zip(gradients) {
                let Some(moments) = self.moments.get_mut(name) else {
                    continue;
                };
                let Moments { first, second } = moments;
                let mut parameter = tensor.shallow_clone();
                let gradient = match gradient {
                    Some(gradient) => gradient * scale,
                    None => tensor.zeros_like(),
                };
                if tensor.dim() >= 2 && self.config.weight_decay > 0.0 {
                    let _ = parameter.g_mul_scalar_(1.0 - learning_rate * self.config.weight_decay);
                }
                let _ = first.g_mul_scalar_(beta1).g_add_(&(&gradient * (1.0 - beta1)));
                let _ = second.g_mul_scalar_(beta2).g_add_(&(gradient.square() * (1.0 - beta2)));
                let denominator = second.sqrt() / root_correction + self.config.epsilon;
                let _ = parameter.g_sub_(&(&*first / denominator * step_size));
            }
        });
    }

    /// The state: `exp_avg.NAME` and `exp_avg_sq.NAME`.
    pub fn tensors(&self) -> Result<BTreeMap<String, Parameter>> {
        let mut tensors = BTreeMap::new();
        for (name, Moments { first, second }) in &self.moments {
            tensors.insert(format!("{FIRST}{name}"), from_tensor(first)?);
            tensors.insert(format!("{SECOND}{name}"), from_tensor(second)?);
        }
        Ok(tensors)
    }

    /// Puts a saved state back.
    pub fn restore(
        &mut self,
        mut tensors: BTreeMap<String, Parameter>,
        steps: usize,
    ) -> Result<()> {
        for (name, moments) in &mut self.moments {
            for (prefix, slot) in [(FIRST, &mut moments.first), (SECOND, &mut moments.second)] {
                let name = format!("{prefix}{name}");
                let expected: Vec<usize> = slot.size().iter().map(|&size| size as usize).collect();
                let Some(tensor) = tensors.remove(&name) else {
                    return Err(Error::MissingTensor { name, expected });
                };
                if tensor.shape != expected {
                    return Err(Error::Shape { name, expected, found: tensor.shape });
                }
                *slot = to_tensor(&tensor);
            }
        }
        self.steps = steps;
        Ok(())
    }
}

/// Euclidean norm of all gradients together.
pub(crate) fn gradient_norm(gradients: &[Option<Tensor>]) -> f64 {
    let square = |tensor: &Tensor| tensor.square().sum(Kind::Double).double_value(&[]);
    gradients.iter().flatten().map(square).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, NetConfig, Tokenizer};

    const CONFIG: AdamWConfig =
        AdamWConfig { betas: [0.9, 0.99], epsilon: 1e-3, weight_decay: 0.1 };

    fn net() -> PolicyValueNet {
        let net = NetConfig { layers: 1, width: 8, intermediate: 8, ..NetConfig::default() };
        let tokenizer = Tokenizer::characters().unwrap();
        PolicyValueNet::new(&Checkpoint::initialise(&net, tokenizer, 1).unwrap())
    }

    fn first_of(net: &PolicyValueNet, name: &str) -> f64 {
        let (_, tensor) = net.trainable().find(|(other, _)| *other == name).unwrap();
        tensor.view([-1]).double_value(&[0])
    }

    fn constant(net: &PolicyValueNet, gradient: f64) -> Vec<Option<Tensor>> {
        net.trainable().map(|(_, tensor)| Some(tensor.detach().full_like(gradient))).collect()
    }

    #[test]
    fn updates_are_the_paper_s() {
        let net = net();
        let matrix = "model.layers.0.mlp.up_proj.weight";
        let norm = "model.norm.weight";
        // Algorithm 2 of the paper by hand, for one number; norms are not decayed.
        for (name, decay) in [(matrix, 0.1), (norm, 0.0)] {
            let mut optimizer = AdamW::new(CONFIG, &net);
            let (mut x, mut m, mut v) = (first_of(&net, name), 0.0, 0.0);
            for (step, gradient) in [(1, 0.5), (2, -2.0), (3, 0.25)] {
                let g = gradient * 0.5;
                (m, v) = (0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g);
                let m_hat = m / (1.0 - 0.9f64.powi(step));
                let v_hat = v / (1.0 - 0.99f64.powi(step));
                x -= 0.01 * decay * x + 0.01 * m_hat / (v_hat.sqrt() + 1e-3);
                optimizer.step(&net, &constant(&net, gradient), 0.01, 0.5);
                let found = first_of(&net, name);
                assert!((found - x).abs() < 1e-6, "{name}, step {step}: {found} {x}");
            }
        }
    }

    #[test]
    fn a_tensor_without_gradient_counts_as_gradient_zero() {
        let (one, other) = (net(), net());
        let mut optimizers = [AdamW::new(CONFIG, &one), AdamW::new(CONFIG, &other)];
        for gradient in [1.0, 0.0] {
            optimizers[0].step(&one, &constant(&one, gradient), 0.01, 1.0);
            let none = constant(&other, gradient).into_iter();
            let none: Vec<_> = none.map(|tensor| tensor.filter(|_| gradient != 0.0)).collect();
            optimizers[1].step(&other, &none, 0.01, 1.0);
        }
        assert_eq!(one.parameters().unwrap(), other.parameters().unwrap());
    }

    #[test]
    fn a_restored_state_goes_on_as_the_saved_one() {
        let (one, other) = (net(), net());
        let mut first = AdamW::new(CONFIG, &one);
        first.step(&one, &constant(&one, 1.0), 0.01, 1.0);
        let mut second = AdamW::new(CONFIG, &other);
        second.step(&other, &constant(&other, 1.0), 0.01, 1.0);
        let mut restored = AdamW::new(CONFIG, &other);
        restored.restore(second.tensors().unwrap(), 1).unwrap();
        first.step(&one, &constant(&one, -0.3), 0.01, 1.0);
        restored.step(&other, &constant(&other, -0.3), 0.01, 1.0);
        assert_eq!(one.parameters().unwrap(), other.parameters().unwrap());

        let mut damaged = second.tensors().unwrap();
        damaged.remove("exp_avg_sq.model.norm.weight");
        let error = restored.restore(damaged, 1).unwrap_err().to_string();
        assert!(error.contains("exp_avg_sq.model.norm.weight"), "{error}");
    }

    #[test]
    fn the_norm_is_over_all_gradients_together() {
        let some =
            [Some(Tensor::from_slice(&[3f32, 0.0])), None, Some(Tensor::from_slice(&[4f32]))];
        assert!((gradient_norm(&some) - 5.0).abs() < 1e-9);
    }
}
