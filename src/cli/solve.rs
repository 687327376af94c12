use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use espalier_search::{
    Cut, Decoding, Environment, Problem, Terminal as Ending, TreeRecord, decode_with_tree,
};
use serde_json::json;

use super::arguments::{
    PolicyArguments, RecipeArguments, UsageError, print_json, print_line, print_table,
};
use super::terminal::Terminal;
use espalier::environment::AnyEnvironment;
use espalier::interrupt::Work;
use espalier::jsonl;
use espalier::policy::LimitWatch;
use espalier::report::{Canvas, Sketch, Table};

/// Solve one problem and show the chosen steps with their Q-value, value and visits.
///
/// In a terminal a decoding that grows a tree (`mcts:N`) shows it: the path with the greatest Q (★) and the most visited nodes, with bars for
/// visits and colours for Q. `+3` behind a node are three children that are not shown.
#[derive(Debug, Args)]
#[command(after_help = "Example (countdown: the target, then the numbers):\n  \
    espalier solve \"26: 3 5 7\" --checkpoint runs/countdown-s1/rounds/3/checkpoint")]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The problem.
    problem: String,
    #[command(flatten)]
    policy: PolicyArguments,
    /// How to decode.
    #[arg(long, default_value = "mcts:40")]
    decoding: Decoding,
    /// Write the tree of `mcts:N` there, as `search` writes trees: `espalier inspect tree FILE` shows the whole of it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the solution as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let treeless = !matches!(arguments.decoding, Decoding::Mcts(_));
    if arguments.out.is_some() && treeless {
        let decoding = arguments.decoding;
        return Err(UsageError(anyhow!("--out: {decoding} grows no tree; mcts:N does")).into());
    }
    let recipe = arguments.recipe.load()?;
    let (recipe, environment) = arguments.policy.start(recipe, &arguments.recipe)?;
    let problem = environment
        .read_problem(&arguments.problem)
        .map_err(|message| UsageError(anyhow!(message)))?;
    let policy = arguments.policy.load(&environment, &recipe)?;
    let evaluator = LimitWatch::new(policy.evaluator());
    let config = &recipe.evaluation.decode;
    let work = Work::begin();
    let outcome = decode_with_tree(
        arguments.decoding,
        &environment,
        &evaluator,
        &problem,
        config,
        recipe.seed,
        work.cancel(),
    );
    work.check(|| "there is no answer yet".to_owned())?;
    let (outcome, mut tree) =
        outcome.with_context(|| format!("cannot solve {:?}", arguments.problem))?;
    if let (Some(file), Some(tree)) = (&arguments.out, &tree) {
        jsonl::write(file, [tree])?;
    }
    if outcome.cut == Some(Cut::ContextTooLong) && outcome.tokens == 0 {
        bail!("the problem cannot be read: {}", evaluator.context());
    }
    evaluator.warn_of_steps(outcome.steps_truncated);
    let known = !problem.answer.is_empty();
    let graded = |answer: &String| {
        environment.verdict(&problem, answer, environment.reward(&problem, answer))
    };
    let verdict = outcome.answer.as_ref().filter(|_| known).map(graded);
    let right = verdict.flatten();
    let cut = match (&outcome.answer, verdict) {
        (None, _) => outcome.cut,
        (Some(_), Some(None)) => Some(Cut::UndecidedAnswer),
        (Some(_), _) => None,
    };
    if arguments.json {
        return print_json(&json!({
            "schema": "espalier.solution_shown/1",
            "problem": problem,
            "decoding": arguments.decoding.to_string(),
            "answer": outcome.answer,
            "correct": right,
            "cut": cut,
            "steps_truncated": outcome.steps_truncated,
            "steps": outcome.solution,
            "tokens": outcome.tokens,
            "simulations": outcome.simulations,
        }));
    }
    if let (Some(terminal), Some(tree)) = (Terminal::of_output(), &mut tree) {
        if known {
            grade(tree, &environment, &problem);
        }
        print_line(&drawn(tree, terminal, arguments.out.as_deref()))?;
    }
    let mut table = Table::new(["step", "prior", "Q", "value", "visits"]);
    let number = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.3}"));
    for step in &outcome.solution {
        table.push([
            format!("{}{}", step.action, step.observation.trim_end()),
            format!("{:.3}", step.prior),
            number(step.q),
            number(step.value),
            step.visits.map_or("–".into(), |visits| visits.to_string()),
        ]);
    }
    print_table(&table)?;
    let verdict = match (right, &outcome.answer) {
        (Some(true), _) => "right".to_owned(),
        (Some(false), _) => "wrong".to_owned(),
        (None, Some(_)) => match cut {
            Some(cut) => cut.to_string(),
            None => "no right answer is known".to_owned(),
        },
        (None, None) => match cut {
            Some(cut) => format!("none found: {cut}"),
            None => "none found".to_owned(),
        },
    };
    let answer = outcome.answer.as_deref().unwrap_or("–");
    print_line(&format!("answer {answer} ({verdict}), {} sampled tokens", outcome.tokens))
}

/// Grades the answers of a tree that was grown without ground truth.
fn grade(tree: &mut TreeRecord, environment: &AnyEnvironment, problem: &Problem) {
    for node in tree.react.values_mut() {
        if let Some(Ending::Answer(answer)) = &node.terminal {
            let reward = environment.reward(problem, answer);
            node.correct = environment.verdict(problem, answer, reward);
            node.reward = Some(reward);
        }
    }
}

/// The tree in a terminal, and where all of it is.
fn drawn(tree: &TreeRecord, terminal: Terminal, out: Option<&Path>) -> String {
    let Terminal { width, height, colours } = terminal;
    // The steps and the answer stand below.
    let nodes = usize::from(height / 2).max(8);
    let Sketch { text, hidden } = Sketch::new(tree, Canvas { width: width.into(), nodes, colours });
    match (hidden, out) {
        (0, _) => text,
        (_, Some(file)) => {
            format!("{text}\n{hidden} more nodes:\nespalier inspect tree {}", file.display())
        }
        (_, None) => format!("{text}\n{hidden} more nodes: --out FILE keeps the whole tree"),
    }
}
