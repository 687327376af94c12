//! Rewards between right and wrong, and environments that fail.

use espalier_search::testing::{HashedEvaluator, LetterGame, LetterState};
use espalier_search::{
    Cancel, Cut, Cuts, DecodeConfig, Decoding, Environment, MctsConfig, Problem, ProblemError,
    SearchError, StepError, StopConfig, StopReason, Transition, TreeRecord, continue_tree, decode,
    finished_paths, node_paths, search_tree,
};

use crate::script::{Script, problem};

/// The game of letters, in which an answer is worth the share of its letters that stand in their place: 1 for all of them, -1 for
/// none. From a half on it counts as right. An answer of `x` is worth more than there is, one of `v` can be shown neither right nor wrong, after `z`
/// nothing can be said, and the code of a step `u` is not run.
struct Graded;

impl Environment for Graded {
    type State = LetterState;

    fn root(&self, problem: &Problem) -> Result<LetterState, ProblemError> {
        LetterGame::default().root(problem)
    }

    fn context<'a>(&self, state: &'a LetterState) -> &'a str {
        const { &LetterGame { length: None } }.context(state)
    }

    fn step(
        &self,
        state: &LetterState,
        action: &str,
    ) -> Result<Transition<LetterState>, StepError> {
        if action == "z" {
            return Err(StepError::new("the judge has left"));
        }
        let mut transition = LetterGame::default().step(state, action)?;
        if action == "u" {
            transition.terminal = Some(Cut::UnsupportedCode.ending_at("import sympy"));
        }
        Ok(transition)
    }

    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        match answer {
            "x" => return 3.0,
            "v" => return 0.0,
            _ => {}
        }
        let matching = problem.answer.chars().zip(answer.chars()).filter(|(a, b)| a == b).count();
        2.0 * matching as f64 / problem.answer.len() as f64 - 1.0
    }

    fn is_undecided(&self, _: &Problem, answer: &str) -> bool {
        answer == "v"
    }

    fn is_correct(&self, reward: f64) -> bool {
        reward >= 0.5
    }
}

fn grow(script: &Script, config: &MctsConfig) -> Result<TreeRecord, SearchError> {
    search_tree(&Graded, script, &problem("abcd"), config, 0, true, &Cancel::new())
}

/// Answers `abc` (half right, and then some), `ab` (half), `` (nothing), and a broken rule.
fn script() -> Script {
    Script::new(&[
        ("", 0.0, &[("a", 0.5), ("=", 0.2)]),
        ("a", 0.0, &[("b", 0.5), ("!", 0.2)]),
        ("ab", 0.0, &[("c", 0.5), ("=", 0.2)]),
        ("abc", 0.0, &[("=", 0.5), ("d", 0.2)]),
    ])
}

#[test]
fn a_reward_between_right_and_wrong_is_backed_up_recorded_and_the_last_step_s_label() {
    let config = MctsConfig { samples: 2, simulations: 4, ..MctsConfig::default() };
    let tree = grow(&script(), &config).unwrap();
    let graded = |tag: &str| {
        let node = &tree.react[tag];
        (node.reward, node.correct, node.value)
    };
    assert_eq!(graded("0.1"), (Some(-1.0), Some(false), Some(-1.0)));
    assert_eq!(graded("0.0.1"), (None, None, Some(-1.0)));
    assert_eq!(graded("0.0.0.1"), (Some(0.0), Some(false), Some(0.0)));
    assert_eq!(graded("0.0.0.0.0"), (Some(0.5), Some(true), Some(0.5)));
    assert_eq!(graded("0.0.0.0"), (None, None, Some(0.0)));
    // abc: its own 0 and the answer's 0.5.
    assert!((tree.react["0.0.0.0"].q_value - 0.25).abs() < 1e-9);

    let written = serde_json::to_string(&tree).unwrap();
    assert_eq!(serde_json::from_str::<TreeRecord>(&written).unwrap(), tree);

    let solutions = finished_paths(&[tree]).unwrap();
    let label = |path: &str| {
        let is = |steps: &[espalier_search::LabelledStep]| {
            steps.iter().map(|step| step.action.as_str()).collect::<String>() == path
        };
        let solution = solutions.iter().find(|solution| is(&solution.steps)).unwrap();
        (solution.reward, solution.correct, solution.steps.last().unwrap().q)
    };
    assert_eq!(label("abc="), (0.5, true, 0.5));
    assert_eq!(label("ab="), (0.0, false, 0.0));
    assert_eq!(label("="), (-1.0, false, -1.0));
    assert_eq!(label("a!"), (-1.0, false, -1.0));
}

#[test]
fn rewards_are_scaled_by_those_of_right_and_wrong() {
    let config = MctsConfig {
        samples: 2,
        simulations: 4,
        positive_reward: 0.5,
        negative_reward: -0.25,
        ..MctsConfig::default()
    };
    let tree = grow(&script(), &config).unwrap();
    let values = ["0.0.0.0.0", "0.0.0.1", "0.1", "0.0.1"].map(|tag| tree.react[tag].value.unwrap());
    assert_eq!(values, [0.25, 0.0, -0.25, -0.25]);
    // The record keeps the environment's own.
    assert_eq!(tree.react["0.0.0.0.0"].reward, Some(0.5));
}

#[test]
fn a_path_without_a_verdict_is_worth_nothing_and_makes_no_label() {
    let script = Script::new(&[
        ("", 0.5, &[("a", 0.5), ("u", 0.3), ("v", 0.2)]),
        ("a", 0.0, &[("u", 0.5), ("=", 0.2)]),
        ("v", 0.0, &[("=", 0.5), ("!", 0.2)]),
    ]);
    let config =
        MctsConfig { samples: 3, simulations: 6, remove_duplicate: true, ..MctsConfig::default() };
    let mut tree = grow(&script, &config).unwrap();
    for tag in ["0.1", "0.0.0", "0.2.0"] {
        assert_eq!((tree.react[tag].value, tree.react[tag].q_value), (Some(0.0), 0.0), "{tag}");
    }
    let ends = ["0.0.1", "0.2.0"].map(|tag| (tree.react[tag].correct, tree.react[tag].reward));
    assert_eq!(ends, [(Some(false), Some(-0.5)), (None, Some(0.0))]);
    let counts = Cuts { unsupported_code: 2, undecided_answer: 1, ..Cuts::default() };
    assert_eq!(Cuts::in_tree(&tree), counts);
    // Without ground truth no answer has a verdict, and none is counted.
    tree.ground_truth = false;
    assert_eq!(Cuts::in_tree(&tree), Cuts { undecided_answer: 0, ..counts });
    tree.ground_truth = true;
    let words = |solutions: Vec<espalier_search::LabelledSolution>| -> Vec<String> {
        let word = |solution: &espalier_search::LabelledSolution| {
            solution.steps.iter().map(|step| step.action.as_str()).collect()
        };
        solutions.iter().map(word).collect()
    };
    let trees = [tree];
    assert_eq!(words(finished_paths(&trees).unwrap()), ["a=", "v!"]);
    let ways = words(node_paths(&trees, 1).unwrap());
    assert!(ways.iter().all(|way| !way.contains('u') && way != "v="), "{ways:?}");
    for decoding in ["greedy", "sbs:1x1", "maj@2"] {
        let always = Script::new(&[("", 0.5, &[("u", 0.5)])]);
        let (problem, free) = (problem("abcd"), Cancel::new());
        let config = DecodeConfig::default();
        let decoding: Decoding = decoding.parse().unwrap();
        let outcome = decode(decoding, &Graded, &always, &problem, &config, 0, &free).unwrap();
        assert_eq!(outcome.cut, Some(Cut::UnsupportedCode), "{decoding}");
    }
}

#[test]
fn a_search_stops_at_the_first_answer_that_counts_as_right() {
    let stop = StopConfig { solved: true, ..StopConfig::default() };
    let config = MctsConfig { samples: 2, simulations: 40, stop, ..MctsConfig::default() };
    let tree = grow(&script(), &config).unwrap();
    assert_eq!((tree.stop, tree.simulations), (StopReason::Solved, 4));
}

#[test]
fn a_continued_tree_keeps_its_rewards_also_one_from_before_there_were_numbers() {
    let short = MctsConfig { samples: 2, simulations: 4, ..MctsConfig::default() };
    let long = MctsConfig { simulations: 5, ..short.clone() };
    let further = |tree: &TreeRecord| {
        continue_tree(&Graded, &script(), &problem("abcd"), &long, tree, &Cancel::new())
    };
    let tree = grow(&script(), &short).unwrap();
    assert_eq!(further(&tree).unwrap().react["0.0.0.0.0"].reward, Some(0.5));

    let game = LetterGame::default();
    let net = HashedEvaluator::new(3, ["a", "b", "="]);
    let free = Cancel::new();
    let tree = search_tree(&game, &net, &problem("ab"), &short, 0, true, &free).unwrap();
    let mut old = tree.clone();
    old.react.values_mut().for_each(|node| node.reward = None);
    let grow = |tree| continue_tree(&game, &net, &problem("ab"), &long, tree, &free).unwrap();
    assert!(tree.react.values().any(|node| node.reward.is_some()));
    assert_eq!(grow(&old), grow(&tree));
    let labels = |tree| finished_paths(&[tree]).unwrap();
    assert_eq!(labels(old), labels(tree));
}

#[test]
fn a_step_that_cannot_be_taken_fails_its_search_with_the_cause() {
    let script =
        Script::new(&[("", 0.0, &[("a", 0.5), ("b", 0.2)]), ("a", 0.0, &[("z", 0.5), ("=", 0.2)])]);
    let config = MctsConfig { samples: 2, ..MctsConfig::default() };
    let expected = SearchError::Step(StepError::new("the judge has left"));
    assert_eq!(grow(&script, &config), Err(expected.clone()));
    assert!(expected.to_string().contains("the judge has left"));
    for decoding in ["greedy", "maj@2", "bon@2", "sbs:1x2", "mcts:4"] {
        let decoding: Decoding = decoding.parse().unwrap();
        let tree = MctsConfig { samples: 2, ..DecodeConfig::default().tree };
        let config = DecodeConfig { tree, ..DecodeConfig::default() };
        let (problem, free) = (problem("abcd"), Cancel::new());
        let error = decode(decoding, &Graded, &script, &problem, &config, 0, &free).unwrap_err();
        assert_eq!(error, expected, "{decoding}");
    }
}

#[test]
fn a_reward_out_of_range_fails_its_search_with_the_answer() {
    let script = Script::new(&[("", 0.0, &[("x", 0.5)]), ("x", 0.0, &[("=", 0.5)])]);
    let config = MctsConfig { samples: 1, ..MctsConfig::default() };
    let error = grow(&script, &config).unwrap_err();
    assert_eq!(error, SearchError::Reward { answer: "x".to_owned(), reward: 3.0 });
}
