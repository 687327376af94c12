//! Round 0: the policy that the rounds begin with.

use std::path::Path;

use anyhow::{Context, Result, bail};
use espalier_search::{Environment, Problem, Terminal};
use espalier_training::{
    AlphaMath, Checkpoint, ExampleSet, Examples, Job, LabelledPath, PathStep, Tokenizer,
    TrainConfig, Trained,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use super::train::{Summary, fit};
use crate::environment::{AnyEnvironment, Split, WorkedSolution};
use crate::form::Form;
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
        BootstrapKind::Checkpoint => take(environment, recipe, out)?,
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

fn pretrained(recipe: &Recipe) -> Result<Checkpoint> {
    let path = recipe.bootstrap.path.as_deref().context("[bootstrap] needs `path`")?;
    let net = Checkpoint::load(path)
        .with_context(|| format!("[bootstrap] path: no net can be read from {}", path.display()))?;
    of_round_0(net, recipe)
}

/// The net, which says that it is asked as this recipe asks those of round 0.
fn of_round_0(mut net: Checkpoint, recipe: &Recipe) -> Result<Checkpoint> {
    Form::new(&recipe.environment, 0)?.put(&mut net)?;
    Ok(net)
}

/// A copy of the pretrained net, so that the run has all that it needs.
fn take(environment: &AnyEnvironment, recipe: &Recipe, out: &Path) -> Result<Bootstrap> {
    if let Some(told) = asked_otherwise(environment, recipe)? {
        tracing::warn!("{told}");
    }
    let net = pretrained(recipe)?;
    net.save(out)?;
    Ok(Bootstrap::Taken { schema: "espalier.bootstrap/1", parameters: net.parameters.count() })
}

/// What the pretrained net says of how it was trained to be asked, where the run asks it otherwise.
fn asked_otherwise(environment: &AnyEnvironment, recipe: &Recipe) -> Result<Option<String>> {
    let Some(path) = &recipe.bootstrap.path else { return Ok(None) };
    let Some(form) = Form::read(path)? else { return Ok(None) };
    let overruled = form.asked(&recipe.environment, &[])?.overruled;
    // Nets of later rounds may be asked without worked examples; environments without such read no question.
    let prompt = |round| {
        let problem = environment.read_problem("?").ok()?;
        let environment = environment.for_net_of_round(round);
        let root = environment.root(&problem).ok()?;
        Some(environment.context(&root).to_owned())
    };
    let told = if !overruled.is_empty() {
        let keys: Vec<&str> = overruled.iter().map(|change| &*change.key).collect();
        format!("with another [environment] {}", keys.join(", "))
    } else if prompt(form.round) != prompt(0) {
        format!("to be asked as those of round {}", form.round)
    } else {
        return Ok(None);
    };
    Ok(Some(format!(
        "[bootstrap] path: the net of {} was trained {told}; the run asks it as the recipe says for round 0",
        path.display()
    )))
}

/// Trains the pretrained net's policy on worked solutions, without worked examples in their prompts.
fn solutions(environment: &AnyEnvironment, recipe: &Recipe, out: &Path) -> Result<Summary> {
    let net = pretrained(recipe)?;
    let count = match recipe.bootstrap.problems {
        0 => usize::MAX,
        count => count,
    };
    let problems = training_problems(environment, recipe, count)?;
    let objective = likelihood(&recipe.bootstrap);
    let mut examples = ExampleSet::new(&net.tokenizer, &objective, out)?;
    for problem in &problems {
        let solution = environment
            .worked_solution(problem)
            .with_context(|| format!("problem {}", problem.id))?;
        let Some(WorkedSolution { prompt, steps }) = solution else { continue };
        add_solution(&mut examples, &prompt, &steps)?;
    }
    if examples.problems() == 0 {
        bail!(
            "none of {} training problems has a worked solution (metadata.solution) that leads to its answer in this format",
            problems.len()
        );
    }
    tracing::info!("worked solutions of {} of {} problems", examples.problems(), problems.len());
    train_policy(&net, &examples, recipe, "solutions", out)
}

/// Trains a fresh net on random legal lines of the problems, in turn, from which those that solve their
/// problem are left out. It knows the format afterwards and has seen no solution; its value head is as it was initialised.
fn random_lines(environment: &AnyEnvironment, recipe: &Recipe, out: &Path) -> Result<Summary> {
    // The same however many rounds follow: a run may go on with more of them.
    let count = match recipe.bootstrap.problems {
        0 => recipe.rounds.problems,
        count => count,
    };
    let problems = training_problems(environment, recipe, count)?;
    let tokenizer = Tokenizer::fresh(recipe.net.tokens)?;
    let stream = seed::derive(recipe.seed, &["net"]);
    let fresh = of_round_0(Checkpoint::initialise(&recipe.net, tokenizer, stream)?, recipe)?;
    let stream = seed::derive(recipe.seed, &["random lines"]);
    let objective = likelihood(&recipe.bootstrap);
    let mut examples = ExampleSet::new(&fresh.tokenizer, &objective, out)?;
    add_random_lines(&mut examples, environment, &problems, recipe.bootstrap.lines, stream)?;
    train_policy(&fresh, &examples, recipe, "pretrain", out)
}

/// The objective of round 0, whatever the rounds minimise: without labels AlphaMath's is the likelihood of the solutions, and
/// leaves the value head as it is.
fn likelihood(recipe: &BootstrapRecipe) -> AlphaMath {
    AlphaMath { observation_loss: recipe.observation_loss, ..AlphaMath::default() }
}

/// Trains the policy alone.
fn train_policy(
    net: &Checkpoint,
    examples: &ExampleSet<'_>,
    recipe: &Recipe,
    stream: &str,
    out: &Path,
) -> Result<Summary> {
    let BootstrapRecipe { epochs, learning_rate, .. } = recipe.bootstrap;
    let learning_rate = learning_rate.unwrap_or(recipe.training.learning_rate);
    let config = TrainConfig { epochs, max_steps: None, learning_rate, ..recipe.training.clone() };
    let job = Job {
        base: net,
        examples: examples.examples(),
        objective: examples.objective(),
        config: &config,
        seed: seed::derive(recipe.seed, &[stream]),
        compute: recipe.compute.training(),
    };
    let Trained { report, curve } = fit("pretrain", &job, out)?;
    Ok(Summary {
        schema: "espalier.training/1",
        policy_solutions: examples.examples().len(),
        value_solutions: 0,
        unlearnt: None,
        report,
        curve,
    })
}

/// Adds a right solution without labels: steps `(action, observation)`.
fn add_solution(
    examples: &mut ExampleSet<'_>,
    prompt: &str,
    steps: &[(String, String)],
) -> Result<()> {
    let steps = steps.iter().map(|(action, observation)| PathStep {
        action,
        observation,
        ..PathStep::default()
    });
    let path = LabelledPath { prompt, steps: steps.collect(), reward: 1.0, correct: true };
    Ok(examples.add(&[path])?)
}

/// Adds random legal lines of the problems, in turn, without those that solve their problem: `count` examples.
///
/// # Errors
/// When a problem cannot be posed or the tokenizer cannot encode it.
fn add_random_lines(
    examples: &mut ExampleSet<'_>,
    environment: &AnyEnvironment,
    problems: &[Problem],
    count: usize,
    seed: u64,
) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut solved = 0;
    for problem in problems.iter().cycle() {
        let made = examples.examples().len();
        if made == count {
            break;
        }
        let line = random_line(environment, problem, &mut rng)?;
        if line.steps.is_empty() {
            bail!("problem {}: there are no random legal steps to learn from", problem.id);
        }
        if line.solved {
            solved += 1;
            // Problems that every line solves would keep this going for ever.
            if solved > 100 * (made + 10) {
                bail!(
                    "random lines solve nearly every problem: these problems are too easy to learn from"
                );
            }
            continue;
        }
        add_solution(examples, &line.prompt, &line.steps)?;
    }
    Ok(())
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
    fn a_net_that_was_trained_to_be_asked_otherwise_is_told_of_with_the_keys() {
        const SHOT: &str = "shots = [{question = \"1 + 1?\", solution = \"#### 2\"}]\n";
        let folder = tempfile::tempdir().unwrap();
        let environment =
            |text: &str| toml::from_str(&format!("kind = \"program\"\n{text}")).unwrap();
        let told = |trained: &str, round: usize, now: &str| {
            let form = Form::new(&environment(trained), round).unwrap();
            let form = serde_json::to_vec(&form).unwrap();
            std::fs::write(folder.path().join("espalier.json"), form).unwrap();
            let mut recipe = Recipe { environment: environment(now), ..Recipe::default() };
            recipe.bootstrap.path = Some(folder.path().to_owned());
            let world = recipe.environment.without_steps().unwrap();
            asked_otherwise(&world, &recipe).unwrap()
        };
        let plain = "format = \"plain\"\nmax_depth = 3\n";
        assert_eq!(told(plain, 1, "format = \"plain\"\nmax_depth = 9"), None);
        let message = told(plain, 1, "format = \"react\"").unwrap();
        for part in ["[bootstrap] path", "[environment] format", folder.path().to_str().unwrap()] {
            assert!(message.contains(part), "{message}");
        }
        // The keys are the same, and the worked examples are shown to round 0 alone.
        let shot = [SHOT, "shots_until_round = 1\n", plain].concat();
        assert_eq!(told(&shot, 0, &shot), None);
        let message = told(&shot, 2, &shot).unwrap();
        assert!(message.contains("as those of round 2"), "{message}");
    }

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
