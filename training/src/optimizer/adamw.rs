//! AdamW (Loshchilov & Hutter, arXiv 1711.05101) with a state that can be saved and resumed bit for bit.

use std::collections::BTreeMap;

use espalier_model::parameters::Parameter;
use espalier_torch::tensor::from_tensor;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::net::{Gradients, PolicyValueNet};
use crate::side_by_side::side_by_side;

use super::state::restore;

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
    runs: Vec<Run>,
    /// Updates so far.
    steps: usize,
}

/// Tensors that are updated together, and their moments, one tensor behind the other.
#[derive(Debug)]
struct Run {
    /// Number, name and shape of each, as of [`PolicyValueNet::trainable`].
    members: Vec<(usize, String, Vec<i64>)>,
    /// Matrices are decayed.
    decays: bool,
    first: Tensor,
    second: Tensor,
}

const FIRST: &str = "exp_avg.";
const SECOND: &str = "exp_avg_sq.";

impl Run {
    /// The name of each member, and its part of one of the moments.
    fn parts<'a>(&'a self, moment: &'a Tensor) -> impl Iterator<Item = Result<(&'a str, Tensor)>> {
        let mut start = 0;
        self.members.iter().map(move |(_, name, shape)| {
            let length = shape.iter().product();
            let part = moment.f_narrow(0, start, length)?.f_view(shape.as_slice())?;
            start += length;
            Ok((name.as_str(), part))
        })
    }
}

impl AdamW {
    /// Over the tensors that are chosen by their place in [`PolicyValueNet::trainable`].
    pub fn new(config: AdamWConfig, net: &PolicyValueNet, chosen: impl Fn(usize) -> bool) -> Self {
        Self::in_runs(config, net, net.device() != Device::Cpu, chosen)
    }

    fn in_runs(
        config: AdamWConfig,
        net: &PolicyValueNet,
        joined: bool,
        chosen: impl Fn(usize) -> bool,
    ) -> Self {
        let tensors: Vec<(&str, &Tensor)> = net.trainable().collect();
        let run = |members: Vec<usize>| {
            let length = members.iter().map(|&index| tensors[index].1.numel() as i64).sum();
            let zeros = || Tensor::zeros([length], (Kind::Float, net.device()));
            let decays = members.iter().any(|&index| tensors[index].1.dim() >= 2);
            let member =
                |index: usize| (index, tensors[index].0.to_owned(), tensors[index].1.size());
            let members = members.into_iter().map(member).collect();
            Run { members, decays, first: zeros(), second: zeros() }
        };
        let all = tensors.iter().map(|(_, tensor)| *tensor).enumerate();
        let runs = runs(all.filter(|(index, _)| chosen(*index)), joined);
        Self { config, runs: runs.into_iter().map(run).collect(), steps: 0 }
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
        let tensors: Vec<Tensor> = net.trainable().map(|(_, tensor)| tensor.detach()).collect();
        let mut slots = Vec::with_capacity(self.runs.len());
        for Run { members, decays, first, second } in &self.runs {
            let gradient = |&(index, ..): &(usize, _, _)| match &gradients[index] {
                Some(gradient) => gradient.f_contiguous(),
                None => tensors[index].f_zeros_like(),
            };
            let gradients = members.iter().map(gradient).collect::<Result<Vec<_>, _>>()?;
            let parameters = members.iter().map(|&(index, ..)| &tensors[index]);
            let decay = if *decays { 1.0 - learning_rate * weight_decay } else { 1.0 };
            let [first, second] = [first, second].map(Tensor::shallow_clone);
            let tensors = vec![joined(parameters)?, joined(&gradients)?, first, second];
            slots.push(Slot { tensors, decay });
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
        for (run, slot) in self.runs.iter().zip(&slots) {
            // One alone was updated where it is.
            if run.members.len() > 1 {
                for ((index, ..), part) in run.members.iter().zip(run.parts(&slot.tensors[0])) {
                    tensors[*index].shallow_clone().f_copy_(&part?.1)?;
                }
            }
        }
        Ok(())
    }

    /// The state: `exp_avg.NAME` and `exp_avg_sq.NAME`.
    pub fn tensors(&self) -> Result<BTreeMap<String, Parameter>> {
        let mut tensors = BTreeMap::new();
        for run in &self.runs {
            for (prefix, moment) in [(FIRST, &run.first), (SECOND, &run.second)] {
                for part in run.parts(moment) {
                    let (name, part) = part?;
                    tensors.insert(format!("{prefix}{name}"), from_tensor(&part)?);
                }
            }
        }
        Ok(tensors)
    }

    /// Puts a saved state back.
    pub fn restore(
        &mut self,
        mut tensors: BTreeMap<String, Parameter>,
        steps: usize,
    ) -> Result<()> {
        for run in &self.runs {
            for (prefix, moment) in [(FIRST, &run.first), (SECOND, &run.second)] {
                for part in run.parts(moment) {
                    let (name, mut part) = part?;
                    let name = format!("{prefix}{name}");
                    restore(&mut tensors, name, &mut part)?;
                }
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
    let device = gradients.iter().flatten().next().map_or(Device::Cpu, Tensor::device);
    sum_in_runs(gradients, others, threads, device != Device::Cpu)
}

fn sum_in_runs(
    gradients: &mut Gradients,
    others: &[Gradients],
    threads: usize,
    join: bool,
) -> Result<f64> {
    let shares: Vec<&Gradients> = std::iter::once(&*gradients).chain(others).collect();
    let found = |index: usize| shares.iter().find_map(|share| share[index].as_ref());
    let present = (0..gradients.len()).filter_map(|index| Some((index, found(index)?)));
    let (mut slots, mut sums) = (Vec::new(), Vec::new());
    for run in runs(present, join) {
        let like: Vec<&Tensor> = run.iter().filter_map(|&index| found(index)).collect();
        let mut tensors = Vec::with_capacity(shares.len());
        for share in &shares {
            if run.iter().all(|&index| share[index].is_none()) {
                continue;
            }
            let part = |(&index, like): (&usize, &&Tensor)| match &share[index] {
                Some(gradient) => gradient.f_contiguous(),
                None => like.f_zeros_like(),
            };
            let parts = run.iter().zip(&like).map(part).collect::<Result<Vec<_>, _>>()?;
            tensors.push(joined(&parts)?);
        }
        let mut start = 0;
        for (&index, like) in run.iter().zip(like) {
            let length = like.numel() as i64;
            sums.push((index, tensors[0].f_narrow(0, start, length)?.f_view_as(like)?));
            start += length;
        }
        slots.push(Slot { tensors, decay: 1.0 });
    }
    drop(shares);
    for (index, sum) in sums {
        gradients[index] = Some(sum);
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

/// On a GPU what counts for a small tensor is how often something is asked for: those of fewer numbers are joined, into
/// runs of so many.
const SMALL: usize = 1 << 22;
const RUN: usize = 1 << 25;

/// Parts tensors, given with their numbers, into runs that are worked on together: each alone, or small ones of one kind
/// joined.
fn runs<'a>(tensors: impl Iterator<Item = (usize, &'a Tensor)>, join: bool) -> Vec<Vec<usize>> {
    let mut runs: Vec<Vec<usize>> = Vec::new();
    // The last run of matrices and that of other tensors, and how much more they take.
    let mut open: [(usize, usize); 2] = [(0, 0); 2];
    for (index, tensor) in tensors {
        let (kind, length) = (usize::from(tensor.dim() >= 2), tensor.numel());
        let (run, room) = &mut open[kind];
        if join && length < SMALL && length <= *room {
            runs[*run].push(index);
            *room -= length;
            continue;
        }
        if join && length < SMALL {
            (*run, *room) = (runs.len(), RUN - length);
        }
        runs.push(vec![index]);
    }
    runs
}

/// Contiguous tensors as one of a single dimension: a view of one alone, and a copy of several.
fn joined<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<Tensor> {
    let flat = tensors.into_iter().map(|tensor| Ok(tensor.f_view([-1])?));
    match &flat.collect::<Result<Vec<_>>>()?[..] {
        [alone] => Ok(alone.shallow_clone()),
        several => Ok(Tensor::f_cat(several, 0)?),
    }
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
    let tasks = chunks.chunks(share).map(|own| (slots.iter().map(Slot::share).collect(), own));
    let results = side_by_side(tasks, |(slots, own): (Vec<Slot>, _)| run(&slots, own));
    Ok(results.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, NetConfig, Tokenizer, Tokens};

    const CONFIG: AdamWConfig =
        AdamWConfig { betas: [0.9, 0.99], epsilon: 1e-3, weight_decay: 0.1 };

    fn net() -> PolicyValueNet {
        let net = NetConfig { layers: 1, width: 8, intermediate: 8, ..NetConfig::default() };
        let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
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
            let mut optimizer = AdamW::new(CONFIG, &net, |_| true);
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
        let mut optimizers =
            [AdamW::new(CONFIG, &one, |_| true), AdamW::new(CONFIG, &other, |_| true)];
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
        let mut first = AdamW::new(CONFIG, &one, |_| true);
        first.step(&one, &constant(&one, 1.0), 0.01, 1.0, 1).unwrap();
        let mut second = AdamW::new(CONFIG, &other, |_| true);
        second.step(&other, &constant(&other, 1.0), 0.01, 1.0, 1).unwrap();
        let mut restored = AdamW::new(CONFIG, &other, |_| true);
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
        let mut optimizers =
            [AdamW::new(CONFIG, &one, |_| true), AdamW::new(CONFIG, &other, |_| true)];
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
        let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
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

    #[test]
    fn tensors_that_are_joined_are_updated_as_each_alone() {
        let nets = [wide(), wide()];
        let mut optimizers =
            [false, true].map(|join| AdamW::in_runs(CONFIG, &nets[0], join, |_| true));
        assert!(optimizers[0].runs.iter().all(|run| run.members.len() == 1));
        // Matrices, and norms with the biases.
        assert_eq!(optimizers[1].runs.len(), 2);
        let gradients = |shift: f64| -> Gradients {
            let scaled = |(index, (_, tensor)): (usize, (&str, &Tensor))| {
                // Neither share has a gradient of the third, and one of them none of the fourth.
                let missing = index == 2 || (index == 3 && shift > 0.0);
                (!missing).then(|| (tensor.detach() * 3.0) + shift)
            };
            nets[0].trainable().enumerate().map(scaled).collect()
        };
        for _ in 0..2 {
            let mut norms = Vec::new();
            let all = [gradients(-0.3), gradients(0.4)];
            for (join, (net, optimizer)) in
                [false, true].into_iter().zip(nets.iter().zip(&mut optimizers))
            {
                let [mut sum, other] = all.each_ref().map(|share| {
                    share.iter().map(|part| part.as_ref().map(Tensor::copy)).collect::<Gradients>()
                });
                norms.push(sum_in_runs(&mut sum, &[other], 1, join).unwrap());
                assert!(sum[2].is_none() && sum[3].is_some());
                optimizer.step(net, &sum, 0.01, 0.7, 1).unwrap();
            }
            assert!((norms[0] - norms[1]).abs() < 1e-6 * norms[0], "{norms:?}");
            let [one, other] = nets.each_ref().map(|net| net.parameters().unwrap());
            for ((name, one), (_, other)) in one.iter().zip(other.iter()) {
                for (one, other) in one.values.iter().zip(&other.values) {
                    assert!((one - other).abs() < 1e-6, "{name}: {one} {other}");
                }
            }
            // Saved and restored in either form.
            let [alone, joined] = &mut optimizers;
            let state = alone.tensors().unwrap();
            joined.restore(state, alone.steps).unwrap();
            assert_eq!(joined.tensors().unwrap(), alone.tensors().unwrap());
        }
    }
}
