//! The training stage of a round: policy and value net on labels.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use espalier_model::checkpoint::Source;
use espalier_search::LabelledSolution;
use espalier_training::{
    Checkpoint, Error, ExampleSet, Examples, Job, LabelledPath, PathStep, Sampled, StepMetrics,
    TrainReport, Trained,
};
use serde::Serialize;

use crate::form::Form;
use crate::interrupt::Work;
use crate::jsonl::{self, Rows};
use crate::progress::Progress;
use crate::recipe::Recipe;

/// What a training stage did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Names this form and its version.
    pub schema: &'static str,
    /// Solutions from which the policy learnt.
    pub policy_solutions: usize,
    /// Solutions whose values the value head learnt.
    pub value_solutions: usize,
    /// How many problems taught nothing, and why; absent when all taught something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlearnt: Option<String>,
    /// The trainer's own report.
    pub report: TrainReport,
    /// The learning curve, thinned.
    pub curve: Vec<StepMetrics>,
}

/// Trains the net `base` by the recipe's objective on files of labels and writes the checkpoint to `out`. A run that was killed
/// goes on from its last saved state. The net says of itself that it is of this form. The solutions of a problem that follow one another in a file are one group.
///
/// Where the policy has nothing to learn but the value head has, that alone is trained, and a warning says so.
///
/// # Errors
/// When there are no labels, the objective learns nothing from them, they do not fit the net, or files cannot be read or
/// written.
pub fn train(
    base: Source<'_>,
    labels: &[PathBuf],
    recipe: &Recipe,
    seed: u64,
    form: &Form,
    out: &Path,
) -> Result<Summary> {
    let mut base = Checkpoint::open(base)?;
    form.put(&mut base)?;
    let objective = recipe.objective.build();
    let mut set = ExampleSet::new(&base.tokenizer, objective.as_ref(), out)?;
    for file in labels {
        let rows = Rows::<LabelledSolution>::open(file)?.rows();
        for problem in jsonl::groups(rows, |a, b| a.problem_id == b.problem_id) {
            let problem = problem?;
            let read =
                |solution: &&LabelledSolution| objective.learns_values() || !solution.values_only;
            let paths: Vec<LabelledPath<'_>> = problem.iter().filter(read).map(path).collect();
            if paths.is_empty() {
                continue;
            }
            set.add(&paths)
                .with_context(|| format!("a solution of problem {}", problem[0].problem_id))?;
        }
    }
    if set.problems() == 0 {
        bail!("there are no labelled solutions to train on");
    }
    let (kind, unlearnt) = (recipe.objective.kind(), set.unlearnt());
    let examples = set.examples();
    let [policy_solutions, value_solutions] = set.learnt();
    let problems = set.problems();
    match (&unlearnt, policy_solutions, value_solutions) {
        (Some(reasons), 0, 0) => {
            bail!("objective {kind} learns nothing from {problems} problems: {reasons}");
        }
        (_, 0, _) => tracing::warn!(
            "no right solution among {}: the value head alone is trained",
            examples.len()
        ),
        (Some(reasons), ..) => {
            tracing::warn!("objective {kind}, of {problems} problems: {reasons}");
        }
        (None, ..) => {}
    }
    let job = Job {
        base: &base,
        examples,
        objective: objective.as_ref(),
        config: &recipe.training,
        seed,
        compute: recipe.compute.training(),
    };
    let Trained { report, curve } = fit("train", &job, out)?;
    Ok(Summary {
        schema: "espalier.training/1",
        policy_solutions,
        value_solutions,
        unlearnt,
        report,
        curve,
    })
}

/// A labelled solution as objectives read it.
fn path(solution: &LabelledSolution) -> LabelledPath<'_> {
    let steps = solution.steps.iter().map(|step| PathStep {
        action: &step.action,
        observation: &step.observation,
        q: Some(step.q as f32),
        q_weight: step.weight.map(|weight| weight as f32),
        sampled: step
            .sampled
            .as_deref()
            .map(|sampled| Sampled { tokens: &sampled.ids, log_probs: &sampled.log_probs }),
    });
    LabelledPath {
        prompt: &solution.prompt,
        steps: steps.collect(),
        reward: solution.reward,
        correct: solution.correct,
    }
}

pub(super) fn fit(label: &str, job: &Job<'_>, out: &Path) -> Result<Trained> {
    let work = Work::begin();
    let mut progress = None;
    let mut watch = |step: &StepMetrics| {
        let progress =
            progress.get_or_insert_with(|| Progress::new(label, step.total_steps, step.step - 1));
        progress.advance(|| format!("steps, loss {:.4}", step.loss));
        if work.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let trained = espalier_training::train(job, out, &mut watch);
    work.check(|| match &trained {
        Err(Error::Stopped { step }) => {
            format!("training is kept at step {step}; the same command goes on")
        }
        _ => "the same command goes on".to_owned(),
    })?;
    let trained = trained?;
    let dropped = trained.report.dropped_too_long;
    if dropped > 0 {
        tracing::warn!(
            "{} of {} solutions are longer than the net reads and were left out",
            dropped,
            job.examples.len()
        );
    }
    Ok(trained)
}
