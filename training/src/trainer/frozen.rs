//! Log-probabilities of the learnt tokens under the net that training starts from, computed before it starts.

use super::plan::Plan;
use super::{Device, Job};
use crate::batches::{Cut, Unit, blocks};
use crate::error::Result;
use crate::example::Example;
use crate::net::PolicyValueNet;
use crate::objective::{LogProbs, Member, TensorBatch, log_probs};
use crate::side_by_side::side_by_side;

/// What an objective reads beside the trained net's own log-probabilities.
#[derive(Debug, Default)]
pub(super) struct Frozen {
    wants: LogProbs,
    /// Of each example of the plan; empty for those that nothing reads.
    log_probs: Vec<Box<[f32]>>,
}

impl Frozen {
    /// Computes what the objective reads and the examples do not carry.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn new(job: &Job<'_>, plan: &Plan<'_>) -> Result<Self> {
        let wants = job.objective.log_probs();
        let mut frozen = Self { wants, log_probs: Vec::new() };
        if wants == LogProbs::default() {
            return Ok(frozen);
        }
        frozen.log_probs.resize_with(plan.len(), Box::default);
        let missing = |example: &Example| {
            example.policy_count() > 0
                && (wants.reference || (wants.old && example.old_log_probs.is_empty()))
        };
        let mut wanted: Vec<usize> = Vec::new();
        for index in 0..plan.len() {
            if missing(plan.example(index)?.as_ref()) {
                wanted.push(index);
            }
        }
        if wanted.is_empty() {
            return Ok(frozen);
        }
        tracing::info!(
            examples = wanted.len(),
            "log-probabilities of the net that training starts from"
        );
        wanted.sort_by_key(|&index| plan.length(index));
        let length = |&index: &usize| Unit::one(plan.length(index));
        let units: Vec<Unit> = wanted.iter().map(length).collect();
        let limit = job.config.micro_batch_tokens.unwrap_or(job.config.batch_tokens);
        let cut = Cut { shares: plan.shares(), micro_batch_tokens: Some(limit) };
        let shares = cut.passes(&units);
        let net = job.net(PolicyValueNet::new(job.base))?;
        tch::set_num_threads(1);
        let share = |net: &PolicyValueNet, passes: &[std::ops::Range<usize>]| {
            let mut found = Vec::new();
            for pass in passes {
                let indices = &wanted[pass.clone()];
                let read = indices.iter().map(|&index| plan.example(index));
                let examples = read.collect::<Result<Vec<_>>>()?;
                let examples: Vec<&Example> = examples.iter().map(AsRef::as_ref).collect();
                found.extend(indices.iter().copied().zip(of_pass(net, &examples)?));
            }
            Ok(found)
        };
        let found: Vec<Result<Vec<_>>> =
            if job.compute.threads > 1 && job.compute.device == Device::Cpu {
                let tasks = shares.iter().map(|passes| (net.share(), passes));
                side_by_side(tasks, |(net, passes)| share(&net, passes))
            } else {
                shares.iter().map(|passes| share(&net, passes)).collect()
            };
        for found in found {
            for (index, numbers) in found? {
                frozen.log_probs[index] = numbers;
            }
        }
        Ok(frozen)
    }

    /// Under the policy that wrote the path of the plan's example with this index.
    pub fn old<'a>(&'a self, index: usize, example: &'a Example) -> &'a [f32] {
        match (self.wants.old, example.old_log_probs.as_slice()) {
            (false, _) => &[],
            (true, []) => &self.log_probs[index],
            (true, sampled) => sampled,
        }
    }

    /// Under the net that training starts from.
    pub fn reference(&self, index: usize) -> &[f32] {
        if self.wants.reference { &self.log_probs[index] } else { &[] }
    }
}

/// The log-probabilities of each example's learnt tokens.
fn of_pass(net: &PolicyValueNet, examples: &[&Example]) -> Result<Vec<Box<[f32]>>> {
    let rows: Vec<Vec<Member<'_>>> =
        examples.iter().map(|&example| vec![Member::alone(example)]).collect();
    let lengths: Vec<usize> = examples.iter().map(|example| example.tokens.len()).collect();
    let blocks: Vec<_> = blocks(&lengths).into_iter().map(|block| &rows[block]).collect();
    let batch = TensorBatch::new(&blocks, net.device())?;
    let numbers = tch::no_grad(|| log_probs(net, &batch.hidden_states(net)?, &batch))?;
    let numbers = Vec::<f32>::try_from(&numbers.f_to_device(tch::Device::Cpu)?)?;
    let mut rest = numbers.as_slice();
    let take = |example: &&Example| {
        let (own, later) = rest.split_at(example.policy_count());
        rest = later;
        own.into()
    };
    Ok(examples.iter().map(take).collect())
}
