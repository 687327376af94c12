//! Training timed: optimiser steps on made-up examples of one length, and of many.

use std::fmt;

use anyhow::{Context, Result, bail};
use clap::Args;
use espalier_training::{
    Checkpoint, Compute, Device, Dtype, Example, Job, LabelledPath, Objective, PathStep, StepPlace,
    StepTime, TrainConfig, Unlearnt, time_steps,
};
use serde::Serialize;

use super::{oversubscribed, spread};
use crate::recipe::Recipe;
use crate::{provenance, seed};

/// Steps before the ones that count: memory is fetched and buffers are made.
const WARM_UP: usize = 2;
/// Steps of a solution, at whose ends values are learned.
const STEPS: usize = 4;
/// Solutions of a problem.
const GROUP: usize = 8;

/// How much.
#[derive(Debug, Clone, Args)]
pub struct TrainingOptions {
    /// Optimiser steps of each case of `training`, after two that do not count.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub steps: u16,
    /// Tokens of an example of `training`, as far as the model's positions allow.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..))]
    pub example_tokens: u32,
}

/// Which examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingCase {
    /// All of one length.
    Equal,
    /// From a quarter of that length to the whole.
    Mixed,
}

impl fmt::Display for TrainingCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One timed case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Names this form and its version.
    pub schema: &'static str,
    /// Which program.
    pub engine: &'static str,
    /// Which examples.
    pub case: TrainingCase,
    /// Where the net is computed.
    pub device: Device,
    /// Element type of the operands of matrix products.
    pub precision: Dtype,
    /// Tokens a step at most.
    pub batch_tokens: usize,
    /// Tokens of the longest example.
    pub example_tokens: usize,
    /// Cores.
    pub threads: usize,
    /// Threads beyond the machine's cores say nothing about scaling.
    pub oversubscribed: bool,
    /// Tokens of examples, without padding, a second in the median step.
    pub tokens_per_second: f64,
    /// Slowest step.
    pub tokens_per_second_min: f64,
    /// Fastest step.
    pub tokens_per_second_max: f64,
    /// Share of padding in what was computed.
    pub padding: f64,
    /// Share of a step's time in forward passes and losses; the mean of all steps. A GPU works on while the program asks for
    /// more: there the shares are the program's time.
    pub forward_share: f64,
    /// In backward passes.
    pub backward_share: f64,
    /// In adding up gradients, their norm and the update.
    pub optimizer_share: f64,
    /// Where the program comes from.
    pub git_revision: &'static str,
}

/// Times optimiser steps with the recipe's settings and hands over each row as soon as it is there.
///
/// # Errors
/// When a step fails, and those of `take`.
pub fn training(
    net: &Checkpoint,
    recipe: &Recipe,
    compute: Compute,
    options: &TrainingOptions,
    mut take: impl FnMut(Row) -> Result<()>,
) -> Result<()> {
    let longest = (options.example_tokens as usize).min(net.config.max_length());
    for case in [TrainingCase::Equal, TrainingCase::Mixed] {
        let steps = usize::from(options.steps) + WARM_UP;
        let config = TrainConfig { max_steps: Some(steps), ..recipe.training.clone() };
        // An epoch of as many steps at least: its length is nobody's business here.
        let count = steps * config.batch_tokens.div_ceil(longest);
        let objective = recipe.objective.build();
        let vocabulary = net.tokenizer.vocab_size().min(net.config.vocab_size);
        let mut examples = Vec::new();
        while examples.len() < count {
            let length = |index: u64| case.length(longest, index);
            examples.extend(group(objective.as_ref(), vocabulary, &length, examples.len())?);
        }
        let job = Job {
            base: net,
            examples: &examples,
            objective: objective.as_ref(),
            config: &config,
            seed: 1,
            compute,
        };
        let times = time_steps(&job)?;
        let measured = times.get(WARM_UP..).context("no step was timed")?;
        take(row(case, &config, compute, longest, measured))?;
    }
    Ok(())
}

fn row(
    case: TrainingCase,
    config: &TrainConfig,
    Compute { device, threads }: Compute,
    example_tokens: usize,
    times: &[StepTime],
) -> Row {
    let rates = times.iter().map(|time| time.tokens as f64 / time.seconds).collect();
    let [slowest, median, fastest] = spread(rates);
    let sum = |part: &dyn Fn(&StepTime) -> f64| times.iter().map(part).sum::<f64>();
    let seconds = sum(&|time| time.seconds);
    let passes = |time: &StepTime| time.seconds - time.optimizer_seconds;
    let forward_share = sum(&|time| passes(time) * time.forward_of_passes) / seconds;
    let optimizer_share = sum(&|time| time.optimizer_seconds) / seconds;
    Row {
        schema: "espalier.bench.training/1",
        engine: "espalier",
        case,
        device,
        precision: config.precision,
        batch_tokens: config.batch_tokens,
        example_tokens,
        threads,
        oversubscribed: oversubscribed(threads),
        tokens_per_second: median,
        tokens_per_second_min: slowest,
        tokens_per_second_max: fastest,
        padding: 1.0
            - sum(&|time| time.row_tokens as f64) / sum(&|time| time.computed_tokens as f64),
        forward_share,
        backward_share: 1.0 - forward_share - optimizer_share,
        optimizer_share,
        git_revision: provenance::get().git_revision,
    }
}

impl TrainingCase {
    fn length(self, longest: usize, index: u64) -> usize {
        match self {
            Self::Equal => longest,
            Self::Mixed => {
                let shortest = longest / 4;
                shortest + (seed::derive(index, &["length"]) as usize) % (longest - shortest + 1)
            }
        }
    }
}

/// The examples from number `first` on that an objective makes of a problem's solutions, each a prompt of a quarter of its tokens
/// and steps of like lengths. All are right, or every other one where the objective learns nothing from right ones alone.
fn group(
    objective: &dyn Objective,
    vocabulary: usize,
    length: &dyn Fn(u64) -> usize,
    first: usize,
) -> Result<Vec<Example>> {
    let steps = vec![PathStep { q: Some(0.5), ..PathStep::default() }; STEPS];
    let path = |correct: bool| LabelledPath {
        steps: steps.clone(),
        reward: if correct { 1.0 } else { -1.0 },
        correct,
        ..LabelledPath::default()
    };
    let paths = |right: &dyn Fn(usize) -> bool| -> Vec<LabelledPath<'_>> {
        (0..GROUP).map(|number| path(right(number))).collect()
    };
    let (all, half) = (paths(&|_| true), paths(&|number| number % 2 == 0));
    let (paths, targets) = match (objective.targets(&all), objective.targets(&half)) {
        (Ok(targets), _) => (all, targets),
        (_, Ok(targets)) => (half, targets),
        (_, Err(Unlearnt(reason))) => bail!("the objective learns nothing: {reason}"),
    };
    let examples =
        (first as u64..).zip(paths.iter().zip(&targets)).map(|(index, (path, targets))| {
            let length = length(index);
            let prompt = length / 4;
            let token = |at: usize| {
                (seed::derive(index, &["token", &at.to_string()]) as usize) % vocabulary
            };
            let end = |step: usize| prompt + (length - prompt) * step / STEPS;
            let place = |step| StepPlace {
                start: end(step),
                action_end: end(step + 1),
                end: end(step + 1),
            };
            let places: Vec<StepPlace> = (0..STEPS).map(place).collect();
            let tokens = (0..length).map(|at| token(at) as u32).collect();
            let example = Example::from_tokens(tokens, &places, path, targets);
            Example { group: Some((first / GROUP) as u32), ..example }
        });
    Ok(examples.filter(Example::has_targets).collect())
}
