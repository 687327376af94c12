//! A reward between right and wrong, from an environment through tree, label and trainer into a value head.

use std::fs;

use espalier_search::testing::{HashedEvaluator, LetterGame, LetterState};
use espalier_search::{
    Cancel, Environment, MctsConfig, Problem, ProblemError, StepError, Transition, TreeRecord,
    search_tree,
};
use serde_json::{Value, json};

use crate::program::{TINY, run, text};

/// The game of letters, in which an answer is worth the share of its letters that stand in their place: 1 for all of them, -1 for
/// none.
struct Graded(LetterGame);

impl Environment for Graded {
    type State = LetterState;

    fn root(&self, problem: &Problem) -> Result<LetterState, ProblemError> {
        self.0.root(problem)
    }

    fn context<'a>(&self, state: &'a LetterState) -> &'a str {
        self.0.context(state)
    }

    fn step(
        &self,
        state: &LetterState,
        action: &str,
    ) -> Result<Transition<LetterState>, StepError> {
        self.0.step(state, action)
    }

    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        let matching = problem.answer.chars().zip(answer.chars()).filter(|(a, b)| a == b).count();
        2.0 * matching as f64 / problem.answer.len() as f64 - 1.0
    }
}

fn tree() -> TreeRecord {
    let problem = LetterGame::problem("letters", "abab");
    let net = HashedEvaluator::new(3, ["a", "b"]);
    let config = MctsConfig {
        simulations: 60,
        samples: 12,
        remove_duplicate: true,
        ..MctsConfig::default()
    };
    let game = Graded(LetterGame { length: Some(4) });
    search_tree(&game, &net, &problem, &config, 1, true, &Cancel::new()).unwrap()
}

#[test]
fn a_value_head_learns_rewards_between_right_and_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [trees, labels, texts, base, net] =
        ["trees.jsonl", "labels.jsonl", "texts.jsonl", "base", "net"].map(path);
    let with = |arguments: &[&str]| run(&[arguments, &["--config", TINY]].concat());
    fs::write(&trees, format!("{}\n", json!(tree()))).unwrap();
    let all = ["--set", "labels.paths.max_correct=99", "--set", "labels.paths.max_incorrect=99"];
    let harvest = ["harvest", "--trees", text(&trees), "--out", text(&labels)];
    with(&[&harvest[..], &all].concat());

    let read = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    let solutions: Vec<Value> = fs::read_to_string(&labels).unwrap().lines().map(read).collect();
    let reward = |solution: &Value| solution["reward"].as_f64().unwrap();
    let between = solutions.iter().filter(|solution| reward(solution).abs() < 1.0).count();
    assert!(solutions.len() >= 12 && between >= 8, "{between} of {}", solutions.len());
    let mut rows = String::new();
    for solution in &solutions {
        let steps = solution["steps"].as_array().unwrap();
        assert_eq!(steps.last().unwrap()["q"], solution["reward"]);
        assert_eq!(solution["correct"], reward(solution) > 0.0);
        let part = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
        let text: String =
            steps.iter().map(|step| part(step, "action") + &part(step, "observation")).collect();
        rows += &format!("{}\n", json!({ "context": solution["prompt"], "text": text }));
    }
    fs::write(&texts, rows).unwrap();

    with(&["pretrain", "--out", text(&base), "--set", "bootstrap.lines=50"]);
    let train = ["train", "--checkpoint", text(&base), "--out", text(&net)];
    let long = ["--labels", text(&labels), "--set", "training.epochs=500"];
    with(&[&train[..], &long].concat());
    let scores = with(&["score", text(&texts), "--checkpoint", text(&net), "--json"]);
    let mut error = 0.0;
    for (line, solution) in scores.lines().zip(&solutions) {
        error += (read(line)["value"].as_f64().unwrap() - reward(solution)).abs();
    }
    // Learnt as right or wrong alone, most of them would be off by a half or by one.
    let mean = error / solutions.len() as f64;
    assert!(mean < 0.2, "values are off by {mean} on average");
}
