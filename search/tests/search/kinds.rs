//! The kinds of search beside the tree: what their records hold, by hand.

use espalier_search::beam::BeamConfig;
use espalier_search::samples::SamplesConfig;
use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{
    Cancel, Evaluation, Evaluator, EvaluatorError, LabelledSolution, MctsConfig, Request,
    SearchConfig, StopReason, Terminal, TreeRecord, finished_paths,
};

use crate::script::{Script, problem};

fn grow(config: &SearchConfig, evaluator: &dyn Evaluator, ground_truth: bool) -> TreeRecord {
    let (game, problem) = (LetterGame::default(), problem("a"));
    let kind = config.kind::<LetterGame>();
    kind.grow(&game, evaluator, &problem, 11, ground_truth, &Cancel::new()).unwrap()
}

fn kinds() -> [SearchConfig; 3] {
    [
        SearchConfig::Mcts(MctsConfig::default()),
        SearchConfig::Beam(BeamConfig::default()),
        SearchConfig::Samples(SamplesConfig { paths: 64, ..SamplesConfig::default() }),
    ]
}

/// Tag, action, value, Q, visits.
type Row<'a> = (&'a str, &'a str, Option<f64>, f64, u64);

fn nodes(tree: &TreeRecord) -> Vec<Row<'_>> {
    let rows = tree.react.iter().map(|(tag, node)| {
        (tag.as_str(), node.action(), node.value, node.q_value, node.visit_count)
    });
    rows.collect()
}

fn path(solution: &LabelledSolution) -> String {
    solution.steps.iter().map(|step| step.action.as_str()).collect()
}

#[test]
fn samples_are_chains_whose_steps_have_the_reward_of_their_path() {
    // Four paths: "a" and "a" (right), "!" (invalid), "b", which goes on until it is cut.
    let script = Script::new(&[
        ("", 0.2, &[("a", 0.5), ("a", 0.5), ("!", 0.25), ("b", 0.5)]),
        ("a", -0.4, &[("=", 0.9)]),
        ("b", 0.8, &[("c", 0.6)]),
        ("bc", 0.7, &[("d", 0.6)]),
    ]);
    let config = SamplesConfig { paths: 4, max_depth: 3, ..SamplesConfig::default() };
    let tree = grow(&SearchConfig::Samples(config), &script, true);
    let expected = [
        ("0", "", Some(0.2), 0.0, 4),
        ("0.0", "a", Some(-0.4), 1.0, 1),
        ("0.1", "a", Some(-0.4), 1.0, 1),
        ("0.2", "!", Some(-1.0), -1.0, 1),
        ("0.3", "b", Some(0.8), -1.0, 1),
        ("0.0.0", "=", Some(1.0), 1.0, 1),
        ("0.1.0", "=", Some(1.0), 1.0, 1),
        ("0.3.0", "c", Some(0.7), -1.0, 1),
        ("0.3.0.0", "d", Some(-1.0), -1.0, 1),
    ];
    assert_eq!(nodes(&tree), expected);
    let end = |tag: &str| tree.react[tag].terminal.clone();
    assert_eq!(end("0.3.0.0"), Some(Terminal::Invalid("too many steps".to_owned())));
    assert_eq!(tree.react["0.0.0"].correct, Some(true));
    assert_eq!((tree.stop, tree.simulations), (StopReason::Simulations, 4));
    // Each of the eight steps was asked for once and has two tokens; levels asked 1, 3 and 1 times.
    assert_eq!((tree.tokens, tree.evaluations), (16, 5));
    assert_eq!(tree.react.values().map(|node| node.tokens).sum::<usize>(), 16);
    let calls = script.calls.lock().unwrap();
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 1]);
    assert_ne!(calls[1][0].seed, calls[1][1].seed);
    let solutions = finished_paths(&[tree]).unwrap();
    assert_eq!(solutions.iter().map(path).collect::<Vec<_>>(), ["!", "a=", "bcd"]);
    assert!(solutions.iter().all(|s| s.steps.iter().all(|step| step.q == s.reward)));
}

#[test]
fn without_ground_truth_the_value_net_scores_sampled_answers() {
    let script =
        Script::new(&[("", 0.2, &[("a", 0.5)]), ("a", -0.4, &[("=", 0.9)]), ("a=", 0.3, &[])]);
    let config = SamplesConfig { paths: 1, ..SamplesConfig::default() };
    let tree = grow(&SearchConfig::Samples(config), &script, false);
    let end = &tree.react["0.0.0"];
    assert_eq!((end.value, end.q_value, end.correct), (Some(0.3), 0.3, None));
    assert_eq!((tree.answer, tree.evaluations), (None, 3));
}

#[test]
fn a_beam_keeps_what_left_it() {
    // Level 1 of sbs:2x2: "b" (0.5), "a" (0.9), the wrong answer "" (-1), an invalid step; kept are "a" and "b".
    // Level 2: "ad" (0.6), "ac" (0.7), "ba" (-0.1) and the wrong answer "b" (-1); kept are "ac" and "ad".
    // Level 3: "ac" and "ad" answer twice each, wrongly; one of the duplicates is dropped.
    let script = Script::new(&[
        ("", 0.0, &[("b", 0.5), ("a", 0.5), ("=", 0.5), ("!", 0.5)]),
        ("b", 0.5, &[("a", 0.5), ("=", 0.5)]),
        ("a", 0.9, &[("d", 0.5), ("c", 0.5)]),
        ("ad", 0.6, &[("=", 0.5), ("=", 0.5)]),
        ("ac", 0.7, &[("=", 0.5), ("=", 0.5)]),
        ("ba", -0.1, &[]),
    ]);
    let config = BeamConfig { beams: 2, samples: 2, ..BeamConfig::default() };
    let tree = grow(&SearchConfig::Beam(config), &script, true);
    let q = |sum: f64, visits: u64| sum / visits as f64;
    let expected = [
        ("0", "", Some(0.0), q(0.5 + 0.9 - 2.0 + 0.6 + 0.7 - 0.1 - 3.0, 10), 10),
        ("0.0", "b", Some(0.5), q(0.5 - 0.1 - 1.0, 3), 3),
        ("0.1", "a", Some(0.9), q(0.9 + 0.6 + 0.7 - 2.0, 5), 5),
        ("0.2", "=", Some(-1.0), -1.0, 1),
        ("0.3", "!", Some(-1.0), -1.0, 1),
        ("0.1.0", "d", Some(0.6), q(0.6 - 1.0, 2), 2),
        ("0.1.1", "c", Some(0.7), q(0.7 - 1.0, 2), 2),
        ("0.0.0", "a", Some(-0.1), -0.1, 1),
        ("0.0.1", "=", Some(-1.0), -1.0, 1),
        ("0.1.1.0", "=", Some(-1.0), -1.0, 1),
        ("0.1.0.0", "=", Some(-1.0), -1.0, 1),
    ];
    for (found, expected) in nodes(&tree).into_iter().zip(expected) {
        assert_eq!(
            (found.0, found.1, found.2, found.4),
            (expected.0, expected.1, expected.2, expected.4)
        );
        assert!((found.3 - expected.3).abs() < 1e-12, "{found:?} and {expected:?}");
    }
    assert_eq!(tree.react.len(), expected.len());
    // Both answers of level 3 leave the beam, and nothing is left to expand: five nodes were.
    assert_eq!((tree.stop, tree.simulations), (StopReason::Exhausted, 5));
    // Twelve steps of two tokens each, the two dropped ones included.
    assert_eq!(tree.tokens, 24);
    let found = finished_paths(&[tree]).unwrap();
    assert_eq!(found.iter().map(path).collect::<Vec<_>>(), ["=", "!", "b=", "ac=", "ad="]);
}

#[test]
fn every_kind_is_written_with_its_name_and_checks_its_settings() {
    for kind in kinds() {
        kind.settings().validate().unwrap();
        let json = serde_json::to_string(&kind).unwrap();
        assert_eq!(serde_json::from_str::<SearchConfig>(&json).unwrap(), kind);
    }
    for (json, field) in [
        (r#"{"kind": "samples", "paths": 0}"#, "paths"),
        (r#"{"kind": "samples", "temperature": -1}"#, "temperature"),
        (r#"{"kind": "samples", "max_depth": 0}"#, "max_depth"),
        (r#"{"kind": "beam", "beams": 0}"#, "beams"),
        (r#"{"kind": "beam", "samples": 40000}"#, "samples"),
        (r#"{"kind": "beam", "beams": 300, "samples": 300}"#, "samples"),
        (r#"{"kind": "beam", "max_depth": 0}"#, "max_depth"),
        (r#"{"kind": "mcts", "samples": 0}"#, "samples"),
    ] {
        let kind: SearchConfig = serde_json::from_str(json).unwrap();
        assert_eq!(kind.settings().validate().unwrap_err().field, field, "{json}");
    }
    let misspelt = serde_json::from_str::<SearchConfig>(r#"{"kind": "samples", "path": 4}"#);
    assert!(misspelt.unwrap_err().to_string().contains("`paths`"));
    let unknown = serde_json::from_str::<SearchConfig>(r#"{"kind": "sample"}"#).unwrap_err();
    assert!(unknown.to_string().contains("`samples`"), "{unknown}");
}

#[test]
fn a_seed_gives_the_same_record_and_another_another() {
    let net = HashedEvaluator::new(9, ["a", "b", "=", "!"]);
    let (game, problem) = (LetterGame::default(), problem("a"));
    for config in kinds() {
        let kind = config.kind::<LetterGame>();
        let grow = |seed| kind.grow(&game, &net, &problem, seed, true, &Cancel::new()).unwrap();
        let tree = grow(1);
        assert_eq!(tree, grow(1));
        assert_ne!(tree.react, grow(2).react);
        let json = serde_json::to_string(&tree).unwrap();
        assert_eq!(serde_json::from_str::<TreeRecord>(&json).unwrap(), tree);
        assert!(tree.react.keys().all(|tag| tree.path(tag).is_some()));
        assert!(tree.react.values().any(|node| node.correct == Some(true)), "{config:?}");
    }
}

#[test]
fn only_a_tree_can_go_on_and_the_others_say_so_by_name() {
    let net = HashedEvaluator::new(9, ["a", "b", "="]);
    let (game, problem) = (LetterGame::default(), problem("a"));
    for config in kinds() {
        let kind = config.kind::<LetterGame>();
        let record = kind.grow(&game, &net, &problem, 1, true, &Cancel::new()).unwrap();
        let continued = kind.continue_record(&game, &net, &problem, &record, &Cancel::new());
        match &config {
            SearchConfig::Mcts(_) => assert_eq!(continued.unwrap().react, record.react),
            _ => {
                let (error, refusal) =
                    (continued.unwrap_err().to_string(), kind.can_continue().unwrap_err());
                assert!(error.contains(&refusal.to_string()), "{error}");
                assert!(error.contains("cannot be searched further"), "{error}");
            }
        }
    }
}

#[test]
fn a_prompt_that_cannot_be_read_is_an_ended_root() {
    for config in kinds() {
        let tree = grow(&config, &Script::new(&[]), true);
        let root = tree.root().unwrap();
        assert_eq!((root.q_value, root.visit_count, tree.react.len()), (-1.0, 1, 1), "{config:?}");
        assert!(matches!(&root.terminal, Some(Terminal::Invalid(_))), "{config:?}");
    }
}

#[test]
fn a_cancelled_search_says_so_and_keeps_what_it_has() {
    /// Answers the first question, and cancels its caller's handle.
    struct Once<'a>(&'a Cancel);

    impl Evaluator for Once<'_> {
        fn evaluate(
            &self,
            requests: &[Request],
            cancel: &Cancel,
        ) -> Vec<Result<Evaluation, EvaluatorError>> {
            self.0.cancel();
            HashedEvaluator::new(9, ["a", "b"]).evaluate(requests, cancel)
        }
    }

    for config in kinds() {
        let cancel = Cancel::new();
        let kind = config.kind::<LetterGame>();
        let game = LetterGame::default();
        let tree = kind.grow(&game, &Once(&cancel), &problem("a"), 1, true, &cancel).unwrap();
        assert_eq!(tree.stop, StopReason::Cancelled, "{config:?}");
        assert!(tree.react.len() > 1 && tree.evaluations == 1, "{config:?}");
    }
}

#[test]
fn a_failing_evaluator_fails_its_search() {
    struct Broken;

    impl Evaluator for Broken {
        fn evaluate(
            &self,
            requests: &[Request],
            _: &Cancel,
        ) -> Vec<Result<Evaluation, EvaluatorError>> {
            vec![Err(EvaluatorError::Failed("out of order".to_owned())); requests.len()]
        }
    }

    for config in kinds() {
        let kind = config.kind::<LetterGame>();
        let game = LetterGame::default();
        let grown = kind.grow(&game, &Broken, &problem("a"), 1, true, &Cancel::new());
        assert!(grown.unwrap_err().to_string().contains("out of order"));
    }
}
