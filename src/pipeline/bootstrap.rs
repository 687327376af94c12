//! Round 0: the policy that the rounds begin with.

use std::path::Path;

use anyhow::{Context, Result, bail};
use espalier_search::{Environment, Problem, Terminal};
use espalier_training::{Checkpoint, Example, ExampleStep, PolicyTargets, Tokenizer, TrainConfig};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use super::train::{Summary, fit, policy_targets};
use crate::environment::{AnyEnvironment, Split, WorkedSolution};
use crate::recipe::{BootstrapKind, BootstrapRecipe, Recipe};
use crate::{problems, seed};

/// How round 0 came about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BootstrapSummary {
    /// What was done.
    pub kind: BootstrapKind,
    /// How.
    #[serde(flatten)]
    pub bootstrap: Bootstrap,
}

/// What round 0 was made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Bootstrap {
    /// A net was trained.
    Trained(Box<Summary>),
    /// A pretrained net was taken as it is.
    Taken {
        /// Names this form and its version.
        schema: &'static str,
        /// Numbers in the net, the value head's included.
        parameters: usize,
    },
}

/// Makes round 0's checkpoint as the recipe says.
///
/// # Errors
/// When problems or the pretrained net cannot be read, the recipe's net cannot be made, there is nothing to learn from, or files cannot
/// be written.
pub fn pretrain(
    environment: &AnyEnvironment,
    recipe: &Recipe,
    out: &Path,
) -> Result<BootstrapSummary> {
    let kind = recipe.bootstrap.kind;
    let trained = |summary: Summary| Bootstrap::Trained(Box::new(summary));
    let bootstrap = match kind {
        BootstrapKind::RandomLines => trained(random_lines(environment, recipe, out)?),
        BootstrapKind::Checkpoint => take(&recipe.bootstrap, out)?,
        BootstrapKind::Solutions => trained(solutions(environment, recipe, out)?),
    };
    Ok(BootstrapSummary { kind, bootstrap })
}

fn training_problems(
    environment: &AnyEnvironment,
    recipe: &Recipe,
    count: usize,
) -> Result<Vec<Problem>> {
    problems::draw(environment, &recipe.problems, Split::Train, 0, count, recipe.seed)
}

fn pretrained(recipe: &BootstrapRecipe) -> Result<Checkpoint> {
    let path = recipe.path.as_deref().context("[bootstrap] needs `path`")?;
    Checkpoint::load(path)
        .with_context(|| format!("[bootstrap] path: no net can be read from {}", path.display()))
}

/// A copy of the pretrained net, so that the run has all that it needs.
fn take(recipe: &BootstrapRecipe, out: &Path) -> Result<Bootstrap> {
    let net = pretrained(recipe)?;
    net.save(out)?;
    Ok(Bootstrap::Taken { schema: "espalier.bootstrap/1", parameters: net.parameters.count() })
}

/// Trains the pretrained net's policy on worked solutions, without worked examples in their prompts.
fn solutions(environment: &AnyEnvironment, recipe: &Recipe, out: &Path) -> Result<Summary> {
    let net = pretrained(&recipe.bootstrap)?;
    let count = match recipe.bootstrap.problems {
        0 => usize::MAX,
        count => count,
    };
    let problems = training_problems(environment, recipe, count)?;
    let targets = policy_targets(&recipe.training);
    let mut examples = Vec::new();
    for problem in &problems {
        let solution = environment
            .worked_solution(problem)
            .with_context(|| format!("problem {}", problem.id))?;
        let Some(WorkedSolution { prompt, steps }) = solution else { continue };
        examples.push(policy_example(&net.tokenizer, &prompt, &steps, targets)?);
    }
    if examples.is_empty() {
        bail!(
            "none of {} training problems has a worked solution (metadata.solution) that leads to its answer in this format",
            problems.len()
        );
    }
    tracing::info!("worked solutions of {} of {} problems", examples.len(), problems.len());
    train_policy(&net, &examples, recipe, "solutions", out)
}

/// Trains a fresh net on random legal lines of the problems, in turn, from which those that solve their
/// problem are left out. It knows the format afterwards and has seen no solution; its value head is as it was initialised.
fn random_lines(environment: &AnyEnvironment, recipe: &Recipe, out: &Path) -> Result<Summary> {
    let count = recipe.rounds.problems * recipe.rounds.count.max(1);
    let problems = training_problems(environment, recipe, count)?;
    let tokenizer = Tokenizer::characters()?;
    let stream = seed::derive(recipe.seed, &["net"]);
    let fresh = Checkpoint::initialise(&recipe.net, tokenizer, stream)?;
    let stream = seed::derive(recipe.seed, &["random lines"]);
    let (tokenizer, lines) = (&fresh.tokenizer, recipe.bootstrap.lines);
    let examples =
        random_examples(environment, tokenizer, &problems, lines, &recipe.training, stream)?;
    train_policy(&fresh, &examples, recipe, "pretrain", out)
}

/// Trains the policy alone; the value head stays as it is.
fn train_policy(
    net: &Checkpoint,
    examples: &[Example],
    recipe: &Recipe,
    stream: &str,
    out: &Path,
) -> Result<Summary> {
    let BootstrapRecipe { epochs, learning_rate, .. } = recipe.bootstrap;
    let learning_rate = learning_rate.unwrap_or(recipe.training.learning_rate);
    let config = TrainConfig { epochs, max_steps: None, learning_rate, ..recipe.training.clone() };
    let stream = seed::derive(recipe.seed, &[stream]);
    let compute = recipe.compute.training();
    let (report, curve) = fit("pretrain", net, examples, &config, stream, compute, out)?;
    Ok(Summary {
        schema: "espalier.training/1",
        policy_solutions: examples.len(),
        value_solutions: 0,
        report,
        curve,
    })
}

/// Steps `(action, observation)` to be learnt by the policy alone.
fn policy_example(
    tokenizer: &Tokenizer,
    prompt: &str,
    steps: &[(String, String)],
    targets: PolicyTargets,
) -> Result<Example> {
    let steps: Vec<ExampleStep<'_>> = steps
        .iter()
        .map(|(action, observation)| ExampleStep { action, observation, q: None })
        .collect();
    Ok(Example::from_solution(tokenizer, prompt, &steps, targets)?)
}

/// Random legal lines of the problems, in turn, without those that solve their problem: `count` examples with policy
/// targets alone.
///
/// # Errors
/// When a problem cannot be posed or the tokenizer cannot encode it.
fn random_examples(
    environment: &AnyEnvironment,
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
        if line.steps.is_empty() {
            bail!("problem {}: there are no random legal steps to learn from", problem.id);
        }
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
        let targets = policy_targets(config);
        examples.push(policy_example(tokenizer, &line.prompt, &line.steps, targets)?);
    }
    Ok(examples)
}

struct Line {
    prompt: String,
    steps: Vec<(String, String)>,
    solved: bool,
}

fn random_line(
    environment: &AnyEnvironment,
    problem: &Problem,
    rng: &mut ChaCha8Rng,
) -> Result<Line> {
    let mut state = environment.root(problem)?;
    let prompt = environment.context(&state).to_owned();
    let mut line = Line { prompt, steps: Vec::new(), solved: false };
    while let Some(action) = environment.random_action(&state, rng) {
        let transition = environment.step(&state, &action)?;
        line.steps.push((action, transition.observation.into_owned()));
        if let Some(terminal) = transition.terminal {
            line.solved = matches!(terminal, Terminal::Answer(answer)
                if environment.is_correct(environment.reward(problem, &answer)));
            break;
        }
        state = transition.state;
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::countdown::{Countdown, parse_problem};

    #[test]
    fn random_lines_are_legal_and_solutions_are_recognised() {
        let environment = Countdown::default().into();
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
