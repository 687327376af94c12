//! Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for matrices: momentum whose singular values are made alike. Updates have the
//! size of AdamW's, so that one learning rate and weight decay serve both (Liu et al., arXiv 2502.16982, Eq. 4).

use std::collections::BTreeMap;

use espalier_model::parameters::Parameter;
use espalier_torch::tensor::from_tensor;
use tch::Tensor;

use crate::error::Result;
use crate::net::{Gradients, PolicyValueNet};
use crate::side_by_side::side_by_side;

use super::state::restore;

const MOMENTUM: f64 = 0.95;
/// Root mean square of AdamW's updates, which Muon's are given.
const UPDATE: f64 = 0.2;
/// Coefficients of the Newton-Schulz iteration, and how often it is done.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
const ITERATIONS: usize = 5;

const BUFFER: &str = "momentum.";

/// Muon over the matrices of a net's blocks.
#[derive(Debug)]
pub(super) struct Muon {
    weight_decay: f64,
    matrices: Vec<Matrix>,
}

#[derive(Debug)]
struct Matrix {
    /// Its place in [`PolicyValueNet::trainable`].
    index: usize,
    name: String,
    momentum: Tensor,
}

impl Muon {
    pub fn new(weight_decay: f64, net: &PolicyValueNet) -> Self {
        let all = net.trainable().enumerate();
        let matrices =
            all.filter(|(_, (name, tensor))| name.contains("layers.") && tensor.dim() == 2);
        let matrix = |(index, (name, tensor)): (usize, (&str, &Tensor))| Matrix {
            index,
            name: name.to_owned(),
            momentum: tensor.detach().zeros_like(),
        };
        Self { weight_decay, matrices: matrices.map(matrix).collect() }
    }

    /// Whether a tensor, by its place, is one of the matrices.
    pub fn has(&self, index: usize) -> bool {
        self.matrices.iter().any(|matrix| matrix.index == index)
    }

    pub fn step(
        &self,
        net: &PolicyValueNet,
        gradients: &Gradients,
        learning_rate: f64,
        scale: f64,
        threads: usize,
    ) -> Result<()> {
        let parameters: Vec<Tensor> = net.trainable().map(|(_, tensor)| tensor.detach()).collect();
        let decay = 1.0 - learning_rate * self.weight_decay;
        // One matrix after the other, dealt out to threads: their shapes take turns.
        let tasks = self.matrices.iter().map(|matrix| {
            let gradient = gradients[matrix.index].as_ref().map(Tensor::shallow_clone);
            (parameters[matrix.index].shallow_clone(), matrix.momentum.shallow_clone(), gradient)
        });
        let mut shares: Vec<Vec<_>> = (0..threads.max(1)).map(|_| Vec::new()).collect();
        for (number, task) in tasks.enumerate() {
            shares[number % threads.max(1)].push(task);
        }
        let run = |tasks: Vec<(Tensor, Tensor, Option<Tensor>)>| {
            tch::no_grad(|| {
                for (mut parameter, mut momentum, gradient) in tasks {
                    let _ = momentum.f_mul_scalar_(MOMENTUM)?;
                    let mut update = momentum.shallow_clone();
                    if let Some(gradient) = gradient {
                        let gradient = gradient.f_mul_scalar(scale)?;
                        let _ = momentum.f_add_(&gradient)?;
                        // Nesterov's.
                        update = momentum.f_mul_scalar(MOMENTUM)?.f_add(&gradient)?;
                    }
                    let (rows, columns) = update.size2()?;
                    let size = UPDATE * (rows.max(columns) as f64).sqrt();
                    let update = orthogonal(&update)?.f_mul_scalar(-learning_rate * size)?;
                    let _ = parameter.f_mul_scalar_(decay)?.f_add_(&update)?;
                }
                Result::Ok(())
            })
        };
        side_by_side(shares, run).into_iter().collect()
    }

    /// The state: `momentum.NAME`.
    pub fn tensors(&self) -> Result<BTreeMap<String, Parameter>> {
        let named = |matrix: &Matrix| {
            Ok((format!("{BUFFER}{}", matrix.name), from_tensor(&matrix.momentum)?))
        };
        self.matrices.iter().map(named).collect()
    }

    pub fn restore(&self, tensors: &mut BTreeMap<String, Parameter>) -> Result<()> {
        self.matrices.iter().try_for_each(|matrix| {
            let name = format!("{BUFFER}{}", matrix.name);
            restore(tensors, name, &mut matrix.momentum.shallow_clone())
        })
    }
}

/// Nearly the orthogonal matrix that is nearest to a matrix: its singular values become about 1.
fn orthogonal(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.size2()?;
    let wide = if rows > columns { matrix.f_tr()? } else { matrix.shallow_clone() };
    let norm = wide.f_norm()?.f_add_scalar(1e-7)?;
    let mut x = wide.f_div(&norm)?;
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..ITERATIONS {
        let square = x.f_matmul(&x.f_tr()?)?;
        let polynomial =
            square.f_mul_scalar(b)?.f_add(&square.f_matmul(&square)?.f_mul_scalar(c)?)?;
        x = x.f_mul_scalar(a)?.f_add(&polynomial.f_matmul(&x)?)?;
    }
    if rows > columns { Ok(x.f_tr()?) } else { Ok(x) }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn singular_values_become_alike_and_directions_stay() {
        tch::manual_seed(1);
        for shape in [[6, 6], [4, 16], [16, 4]] {
            let matrix = Tensor::randn(shape, (Kind::Double, Device::Cpu));
            let found = orthogonal(&matrix).unwrap();
            assert_eq!(found.size(), shape);
            let (u, s, v) = found.svd(true, true);
            let values = Vec::<f64>::try_from(&s).unwrap();
            assert!(values.iter().all(|value| (0.4..1.4).contains(value)), "{values:?}");
            // The nearest orthogonal matrix to the input and to the output are one.
            let (other_u, _, other_v) = matrix.svd(true, true);
            let off = (u.matmul(&v.tr()) - other_u.matmul(&other_v.tr())).abs().max();
            assert!(off.double_value(&[]) < 1e-6, "{shape:?}: {off:?}");
        }
    }
}
