//! The tokens of sampled steps from the net that wrote them to the examples that a net learns from, by way of the program's files.

use std::fs;
use std::path::Path;

use espalier::search::{LabelledSolution, LabelledStep, SampledTokens, TreeRecord};
use espalier::training::{
    Example, LabelledPath, PathStep, PathTargets, PolicyTargets, Sampled, Tokenizer,
};
use serde::de::DeserializeOwned;

use crate::program::{TINY, run, text};

fn read<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The step's whole log-probability, from its prior.
fn log_prob(prior: f64, tokens: usize) -> f64 {
    prior.ln() * tokens as f64
}

fn assert_tokens(tokenizer: &Tokenizer, action: &str, prior: f64, sampled: Option<&SampledTokens>) {
    let sampled = sampled.unwrap_or_else(|| panic!("{action:?} has no tokens"));
    let count = sampled.ids.len();
    assert!(
        (sampled.log_prob() - log_prob(prior, count)).abs() < 1e-5 * count as f64,
        "{action:?}"
    );
    // The delimiter stands at its end, unless the step was cut off.
    let written = tokenizer.decode(&sampled.ids);
    let end = written.strip_prefix(action).unwrap_or_else(|| panic!("{written:?}, {action:?}"));
    assert!(["", "=", "\n"].contains(&end), "{written:?}");
}

/// The path of a labelled solution as an objective that keeps to what was sampled reads it.
fn example(tokenizer: &Tokenizer, solution: &LabelledSolution) -> Example {
    fn step(step: &LabelledStep) -> PathStep<'_> {
        let sampled = step.sampled.as_deref();
        PathStep {
            action: step.action.as_str(),
            observation: step.observation.as_str(),
            sampled: sampled.map(|it| Sampled { tokens: &it.ids, log_probs: &it.log_probs }),
            ..PathStep::default()
        }
    }
    let steps = solution.steps.iter().map(step).collect();
    let path = LabelledPath { prompt: &solution.prompt, steps, ..LabelledPath::default() };
    let targets = PathTargets::uniform(&path, PolicyTargets::Actions, 1.0);
    Example::from_path(tokenizer, &path, &targets).unwrap()
}

#[test]
fn tokens_reach_the_examples_and_change_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let with = |arguments: &[&str]| run(&[arguments, &["--config", TINY]].concat());
    let (problems, base) = (path("problems.jsonl"), path("base"));
    with(&["generate", "--split", "train", "--count", "30", "--out", text(&problems)]);
    with(&["pretrain", "--out", text(&base), "--set", "bootstrap.lines=10000"]);
    let tokenizer = Tokenizer::load(&base).unwrap();
    let grow = |name: &str, keep: &str| {
        let (trees, labels) = (path(name), path(&format!("{name}-labels")));
        let setting = format!("search.keep_tokens={keep}");
        let search = ["search", "--checkpoint", text(&base), "--problems", text(&problems)];
        with(&[&search[..], &["--out", text(&trees), "--set", &setting]].concat());
        with(&["harvest", "--trees", text(&trees), "--out", text(&labels)]);
        (trees, labels)
    };
    let (plain, plain_labels) = grow("plain", "false");
    let (kept, kept_labels) = grow("kept", "true");

    let mut trees: Vec<TreeRecord> = read(&kept);
    for (tag, node) in
        trees.iter_mut().flat_map(|tree| &mut tree.react).filter(|(tag, _)| *tag != "0")
    {
        assert_tokens(&tokenizer, node.action(), node.prior, node.sampled.as_deref());
        assert_eq!(node.sampled.as_ref().unwrap().ids.len(), node.tokens, "{tag}");
        node.sampled = None;
    }
    assert_eq!(trees, read::<TreeRecord>(&plain));
    assert!(!fs::read_to_string(&plain).unwrap().contains("sampled"));

    let mut solutions: Vec<LabelledSolution> = read(&kept_labels);
    let mut aligned = 0;
    for solution in &solutions {
        for step in &solution.steps {
            assert_tokens(&tokenizer, &step.action, step.prior, step.sampled.as_deref());
        }
        let example = example(&tokenizer, solution);
        let learnt = example.learnt().map(|(position, _)| example.tokens[position]);
        let sampled = || solution.steps.iter().map(|step| step.sampled.as_deref().unwrap());
        if example.old_log_probs.is_empty() {
            // A token that ended the text before its time, a step that was cut off, or one after which the environment went on otherwise.
            let fits = |(step, it): (&LabelledStep, &SampledTokens)| {
                let written = tokenizer.decode(&it.ids);
                let whole = format!("{}{}", step.action, step.observation);
                whole.starts_with(&written) && written.ends_with(['=', '\n'])
            };
            assert!(!solution.steps.iter().zip(sampled()).all(fits), "{solution:?}");
            continue;
        }
        aligned += 1;
        assert!(learnt.eq(sampled().flat_map(|it| it.ids.iter().copied())));
        let sum: f64 = example.old_log_probs.iter().copied().map(f64::from).sum();
        let steps = solution.steps.iter().zip(sampled());
        let expected: f64 = steps.map(|(step, it)| log_prob(step.prior, it.ids.len())).sum();
        assert!((sum - expected).abs() < 1e-4, "{sum} and {expected}");
    }
    assert!(aligned > solutions.len() / 2, "{aligned} of {}", solutions.len());
    solutions
        .iter_mut()
        .flat_map(|solution| &mut solution.steps)
        .for_each(|step| step.sampled = None);
    assert_eq!(solutions, read::<LabelledSolution>(&plain_labels));
}
