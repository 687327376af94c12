//! The training stages: round 0 on random legal steps, later rounds on labels.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, bail};
use espalier_search::{LabelledSolution, Problem, Terminal};
use espalier_training::{
    Checkpoint, Compute, Example, ExampleStep, PolicyTargets, StepMetrics, Tokenizer, TrainConfig,
    TrainReport,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use crate::environment::Domain;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::seed;

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

/// Round 0: trains a fresh net on random legal lines of the problems, in turn, from which those that solve their
/// problem are left out. It knows the format afterwards and has seen no solution; its value head is as it was initialised.
///
/// # Errors
/// When the recipe's net cannot be made, or files cannot be written.
pub fn pretrain<E: Domain>(
    environment: &E,
    recipe: &Recipe,
    problems: &[Problem],
    out: &Path,
) -> Result<Summary> {
    let tokenizer = Tokenizer::characters()?;
    let stream = seed::derive(recipe.seed, &["net"]);
    let fresh = Checkpoint::initialise(&recipe.net, tokenizer, stream)?;
    let stream = seed::derive(recipe.seed, &["random lines"]);
    let (tokenizer, lines) = (&fresh.tokenizer, recipe.bootstrap.lines);
    let examples =
        random_examples(environment, tokenizer, problems, lines, &recipe.training, stream)?;
    let config =
        TrainConfig { epochs: recipe.bootstrap.epochs, max_steps: None, ..recipe.training.clone() };
    let stream = seed::derive(recipe.seed, &["pretrain"]);
    let (report, curve) =
        fit("pretrain", &fresh, &examples, &config, stream, recipe.compute.training(), out)?;
    Ok(Summary {
        schema: "espalier.training/1",
        policy_solutions: examples.len(),
        value_solutions: 0,
        report,
        curve,
    })
}

/// Random legal lines of the problems, in turn, without those that solve their problem: `count` examples with policy
/// targets alone.
fn random_examples<E: Domain>(
    environment: &E,
    tokenizer: &Tokenizer,
    problems: &[Problem],
    count: usize,
    config: &TrainConfig,
    seed: u64,
) -> Result<Vec<Example>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut examples = Vec::with_capacity(count);
    let mut solved = 0;
    for problem in problems.iter().cycle() {
        if examples.len() == count {
            break;
        }
        let line = random_line(environment, problem, &mut rng)?;
        if line.solved {
            solved += 1;
            // Problems that every line solves would keep this going for ever.
            if solved > 100 * (examples.len() + 10) {
                bail!(
                    "random lines solve nearly every problem: these problems are too easy to learn from"
                );
            }
            continue;
        }
        let steps: Vec<ExampleStep<'_>> = line
            .steps
            .iter()
            .map(|(action, observation)| ExampleStep { action, observation, q: None })
            .collect();
        let targets = policy_targets(config);
        examples.push(Example::from_solution(tokenizer, &line.prompt, &steps, targets)?);
    }
    Ok(examples)
}

fn policy_targets(config: &TrainConfig) -> PolicyTargets {
    if config.observation_loss { PolicyTargets::Steps } else { PolicyTargets::Actions }
}

struct Line {
    prompt: String,
    steps: Vec<(String, String)>,
    solved: bool,
}

fn random_line<E: Domain>(
    environment: &E,
    problem: &Problem,
    rng: &mut ChaCha8Rng,
) -> Result<Line> {
    let mut state = environment.root(problem)?;
    let prompt = environment.context(&state).to_owned();
    let mut line = Line { prompt, steps: Vec::new(), solved: false };
    while let Some(action) = environment.random_action(&state, rng) {
        let transition = environment.step(&state, &action);
        line.steps.push((action, transition.observation));
        if let Some(terminal) = transition.terminal {
            line.solved =
                matches!(terminal, Terminal::Answer(answer) if environment.grade(problem, &answer));
            break;
        }
        state = transition.state;
    }
    Ok(line)
}

fn fit(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::countdown::{Countdown, parse_problem};

    #[test]
    fn random_lines_are_legal_and_solutions_are_recognised() {
        let environment = Countdown::default();
        let problem = parse_problem("9: 4 5").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let lines: Vec<Line> =
            (0..60).map(|_| random_line(&environment, &problem, &mut rng).unwrap()).collect();
        for line in &lines {
            assert_eq!((line.prompt.as_str(), line.steps.len()), ("9:4 5\n", 1));
            assert_eq!(line.solved, line.steps[0].1 == "=9|9\n", "{:?}", line.steps);
        }
        assert!(lines.iter().any(|line| line.solved) && lines.iter().any(|line| !line.solved));
    }
}
