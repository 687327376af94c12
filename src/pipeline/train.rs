//! The training stage of a round: policy and value net on labels.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, bail};
use espalier_search::LabelledSolution;
use espalier_training::{
    Checkpoint, Compute, Example, ExampleStep, PolicyTargets, StepMetrics, TrainConfig, TrainReport,
};
use serde::Serialize;

use crate::progress::Progress;

/// Steps between two points of the learning curve in the metrics.
const CURVE_EVERY: usize = 50;

/// What a training stage did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Names this form and its version.
    pub schema: &'static str,
    /// Solutions whose steps the policy learnt.
    pub policy_solutions: usize,
    /// Solutions whose values the value head learnt.
    pub value_solutions: usize,
    /// The trainer's own report.
    pub report: TrainReport,
    /// The learning curve, thinned.
    pub curve: Vec<StepMetrics>,
}

/// Trains `base` on labels and writes the checkpoint to `out`. A run that was killed goes on from its last saved state.
///
/// Without one right solution the policy has nothing to learn: the value head alone is trained, and a warning says so.
///
/// # Errors
/// When there are no labels, they do not fit the net, or files cannot be read or written.
pub fn train(
    base: &Path,
    solutions: &[LabelledSolution],
    config: &TrainConfig,
    seed: u64,
    compute: Compute,
    out: &Path,
) -> Result<Summary> {
    let base = Checkpoint::load(base)?;
    let mut examples = Vec::with_capacity(solutions.len());
    let mut right = 0;
    for solution in solutions {
        let steps: Vec<ExampleStep<'_>> = solution
            .steps
            .iter()
            .map(|step| ExampleStep {
                action: &step.action,
                observation: &step.observation,
                q: Some(step.q as f32),
            })
            .collect();
        let targets = if solution.correct { policy_targets(config) } else { PolicyTargets::None };
        right += usize::from(solution.correct);
        examples.push(
            Example::from_solution(&base.tokenizer, &solution.prompt, &steps, targets)
                .with_context(|| format!("a solution of problem {}", solution.problem_id))?,
        );
    }
    if examples.is_empty() {
        bail!("there are no labelled solutions to train on");
    }
    if right == 0 {
        tracing::warn!(
            "no right solution among {}: the value head alone is trained",
            examples.len()
        );
    }
    let (report, curve) = fit("train", &base, &examples, config, seed, compute, out)?;
    Ok(Summary {
        schema: "espalier.training/1",
        policy_solutions: right,
        value_solutions: examples.len(),
        report,
        curve,
    })
}

pub(super) fn policy_targets(config: &TrainConfig) -> PolicyTargets {
    if config.observation_loss { PolicyTargets::Steps } else { PolicyTargets::Actions }
}

pub(super) fn fit(
    label: &str,
    base: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
    seed: u64,
    compute: Compute,
    out: &Path,
) -> Result<(TrainReport, Vec<StepMetrics>)> {
    let mut progress = None;
    let mut curve = Vec::new();
    let mut watch = |step: &StepMetrics| {
        let progress =
            progress.get_or_insert_with(|| Progress::new(label, step.total_steps, step.step - 1));
        progress.advance(|| format!("steps, loss {:.4}", step.loss));
        if step.step % CURVE_EVERY == 1 || step.step == step.total_steps {
            curve.push(step.clone());
        }
        ControlFlow::Continue(())
    };
    let report = espalier_training::train(base, examples, config, seed, compute, out, &mut watch)?;
    if report.dropped_too_long > 0 {
        tracing::warn!(
            "{} of {} solutions are longer than the net reads and were left out",
            report.dropped_too_long,
            examples.len()
        );
    }
    Ok((report, curve))
}
