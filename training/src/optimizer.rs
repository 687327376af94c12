//! AdamW (Loshchilov & Hutter, arXiv 1711.05101) with a state that can be saved and resumed bit for bit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::net::{Gradients, from_tensor, to_tensor};
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

    /// One update of every tensor from its gradient, in the order of [`PolicyValueNet::trainable`], scaled by `scale`, on
    /// `threads` threads, whose number changes no bit. Gradients are overwritten.
    /// A tensor that the loss did not touch has gradient 0, whether libtorch made it one or not: an optimiser that was
    /// resumed must not see the difference.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn step(
        &mut self,
        net: &PolicyValueNet,
        gradients: &Gradients,
        learning_rate: f64,
        scale: f64,
        threads: usize,
    ) -> Result<()> {
        self.steps += 1;
        let [beta1, beta2] = self.config.betas;
        let correction = |beta: f64| 1.0 - beta.powi(self.steps as i32);
        let root_correction = correction(beta2).sqrt();
        let AdamWConfig { epsilon, weight_decay, .. } = self.config;
        // lr m / c1 / (sqrt(v / c2) + eps) = m / ((sqrt(v) + eps sqrt(c2)) c1 / (lr sqrt(c2)))
        let epsilon = epsilon * root_correction;
        let divisor = -correction(beta1) / (learning_rate * root_correction);
        let mut slots = Vec::new();
        for ((name, tensor), gradient) in net.trainable().zip(gradients) {
            let Some(moments) = self.moments.get(name) else {
                continue;
            };
            let gradient = match gradient {
                Some(gradient) => gradient.f_contiguous()?,
                None => tensor.f_zeros_like()?,
            };
            let decay = if tensor.dim() >= 2 { 1.0 - learning_rate * weight_decay } else { 1.0 };
            let Moments { first, second } = moments;
            slots.push(Slot::new([&tensor.detach(), &gradient, first, second], decay)?);
        }
        in_chunks(&slots, threads, |tensors, decay| {
            let [parameter, gradient, first, second] = tensors else { return Ok(None) };
            if scale != 1.0 {
                let _ = gradient.f_mul_scalar_(scale)?;
            }
            if decay != 1.0 {
                let _ = parameter.f_mul_scalar_(decay)?;
            }
            let _ = first.f_lerp_(gradient, 1.0 - beta1)?;
            let _ = second.f_lerp_(&gradient.f_square()?, 1.0 - beta2)?;
            let mut denominator = second.f_sqrt()?;
            let _ = denominator.f_add_scalar_(epsilon)?.f_mul_scalar_(divisor)?;
            let _ = parameter.f_addcdiv_(first, &denominator)?;
            Ok(None)
        })?;
        Ok(())
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
                *slot = to_tensor(&tensor).f_to_device(slot.device())?;
            }
        }
        self.steps = steps;
        Ok(())
    }
}

/// Adds the gradients of further shares to the first's, and gives the Euclidean norm of the sum; on `threads` threads,
/// whose number changes no bit.
///
/// # Errors
/// When libtorch refuses, as when memory runs out.
pub(crate) fn sum_and_norm(
    gradients: &mut Gradients,
    others: &[Gradients],
    threads: usize,
) -> Result<f64> {
    let mut slots = Vec::new();
    for (index, sum) in gradients.iter_mut().enumerate() {
        let mut parts = Vec::with_capacity(1 + others.len());
        for gradient in std::iter::once(&*sum).chain(others.iter().map(|other| &other[index])) {
            parts.extend(gradient.as_ref().map(Tensor::f_contiguous).transpose()?);
        }
        if let Some(first) = parts.first() {
            *sum = Some(first.shallow_clone());
            slots.push(Slot::new(&parts, 1.0)?);
        }
    }
    let squares = in_chunks(&slots, threads, |parts, _| {
        let Some((sum, others)) = parts.split_first_mut() else { return Ok(None) };
        for other in others {
            let _ = sum.f_add_(other)?;
        }
        Ok(Some(sum.f_dot(sum)?))
    })?;
    if squares.is_empty() {
        return Ok(0.0);
    }
    // Read together: a GPU is waited for once.
    let square = Tensor::f_stack(&squares, 0)?.f_sum(Kind::Double)?;
    Ok(f64::try_from(&square)?.sqrt())
}

/// Numbers of a tensor that are worked on together: an operation after the other over a whole tensor would fetch it from
/// memory each time, and so many, of five tensors, stay in a core's cache.
const CHUNK: i64 = 1 << 15;

/// Flat tensors of equal length that are worked on together.
struct Slot {
    tensors: Vec<Tensor>,
    /// What the first one is multiplied by.
    decay: f64,
}

impl Slot {
    fn new<'a>(tensors: impl IntoIterator<Item = &'a Tensor>, decay: f64) -> Result<Self> {
        let flat = tensors.into_iter().map(|tensor| Ok(tensor.f_view([-1])?));
        Ok(Self { tensors: flat.collect::<Result<_>>()?, decay })
    }

    fn share(&self) -> Self {
        let tensors = self.tensors.iter().map(Tensor::shallow_clone);
        Self { tensors: tensors.collect(), decay: self.decay }
    }

    fn length(&self) -> i64 {
        self.tensors.first().map_or(0, |tensor| tensor.numel() as i64)
    }

    /// On a GPU in one piece: there what counts is how often it is asked for something.
    fn chunk(&self) -> i64 {
        match self.tensors.first().map(Tensor::device) {
            Some(Device::Cpu) | None => CHUNK,
            Some(_) => self.length().max(1),
        }
    }
}

/// Does work on all chunks of all slots on some threads, and gives its results in their order.
fn in_chunks(
    slots: &[Slot],
    threads: usize,
    work: impl Fn(&mut [Tensor], f64) -> Result<Option<Tensor>> + Sync,
) -> Result<Vec<Tensor>> {
    let chunks: Vec<(usize, i64)> = slots
        .iter()
        .enumerate()
        .flat_map(|(index, slot)| {
            let starts = (0..slot.length()).step_by(slot.chunk() as usize);
            starts.map(move |start| (index, start))
        })
        .collect();
    let run = |slots: &[Slot], chunks: &[(usize, i64)]| {
        tch::no_grad(|| {
            let mut results = Vec::new();
            for &(index, start) in chunks {
                let slot = &slots[index];
                let length = slot.chunk().min(slot.length() - start);
                let chunk = slot.tensors.iter().map(|tensor| tensor.f_narrow(0, start, length));
                let mut chunk = chunk.collect::<Result<Vec<_>, _>>()?;
                results.extend(work(&mut chunk, slot.decay)?);
            }
            Result::Ok(results)
        })
    };
    let share = chunks.len().div_ceil(threads.max(1)).max(1);
    if chunks.len() <= share {
        return run(slots, &chunks);
    }
    let mut results: Vec<Result<Vec<Tensor>>> =
        chunks.chunks(share).map(|_| Ok(Vec::new())).collect();
    std::thread::scope(|scope| {
        for (result, chunks) in results.iter_mut().zip(chunks.chunks(share)) {
            let (slots, run) = (slots.iter().map(Slot::share).collect::<Vec<_>>(), &run);
            scope.spawn(move || *result = run(&slots, chunks));
        }
    });
    Ok(results.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
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
                optimizer.step(&net, &constant(&net, gradient), 0.01, 0.5, 1).unwrap();
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
            optimizers[0].step(&one, &constant(&one, gradient), 0.01, 1.0, 1).unwrap();
            let none = constant(&other, gradient).into_iter();
            let none: Vec<_> = none.map(|tensor| tensor.filter(|_| gradient != 0.0)).collect();
            optimizers[1].step(&other, &none, 0.01, 1.0, 1).unwrap();
        }
        assert_eq!(one.parameters().unwrap(), other.parameters().unwrap());
    }

    #[test]
    fn a_restored_state_goes_on_as_the_saved_one() {
        let (one, other) = (net(), net());
        let mut first = AdamW::new(CONFIG, &one);
        first.step(&one, &constant(&one, 1.0), 0.01, 1.0, 1).unwrap();
        let mut second = AdamW::new(CONFIG, &other);
        second.step(&other, &constant(&other, 1.0), 0.01, 1.0, 1).unwrap();
        let mut restored = AdamW::new(CONFIG, &other);
        restored.restore(second.tensors().unwrap(), 1).unwrap();
        first.step(&one, &constant(&one, -0.3), 0.01, 1.0, 1).unwrap();
        restored.step(&other, &constant(&other, -0.3), 0.01, 1.0, 1).unwrap();
        assert_eq!(one.parameters().unwrap(), other.parameters().unwrap());

        let mut damaged = second.tensors().unwrap();
        damaged.remove("exp_avg_sq.model.norm.weight");
        let error = restored.restore(damaged, 1).unwrap_err().to_string();
        assert!(error.contains("exp_avg_sq.model.norm.weight"), "{error}");
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (one, other) = (wide(), wide());
        let mut optimizers = [AdamW::new(CONFIG, &one), AdamW::new(CONFIG, &other)];
        let mut norms = Vec::new();
        for (net, (optimizer, threads)) in
            [&one, &other].into_iter().zip(optimizers.iter_mut().zip([1, 3]))
        {
            let (mut gradients, more) = (constant(net, 0.25), constant(net, -0.5));
            norms.push(sum_and_norm(&mut gradients, &[more], threads).unwrap());
            optimizer.step(net, &gradients, 0.01, 0.7, threads).unwrap();
        }
        assert_eq!(norms[0].to_bits(), norms[1].to_bits());
        let count = one.parameters().unwrap().count() as f64;
        assert!((norms[0] - 0.25 * count.sqrt()).abs() < 1e-3 * norms[0], "{norms:?}");
        assert_eq!(one.parameters().unwrap(), other.parameters().unwrap());
    }

    /// More than two chunks in a matrix, and a last one that is not whole.
    fn wide() -> PolicyValueNet {
        let net = NetConfig { layers: 1, width: 200, intermediate: 401, ..NetConfig::default() };
        let tokenizer = Tokenizer::characters().unwrap();
        PolicyValueNet::new(&Checkpoint::initialise(&net, tokenizer, 1).unwrap())
    }

    #[test]
    fn the_norm_is_over_all_gradients_and_shares_together() {
        let mut gradients =
            vec![Some(Tensor::from_slice(&[3f32, 0.0])), None, Some(Tensor::from_slice(&[1f32]))];
        let more =
            vec![None, Some(Tensor::from_slice(&[12f32])), Some(Tensor::from_slice(&[3f32]))];
        assert!((sum_and_norm(&mut gradients, &[more], 2).unwrap() - 13.0).abs() < 1e-6);
        assert_eq!(gradients[2], Some(Tensor::from_slice(&[4f32])));
    }
}
