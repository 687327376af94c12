//! Each decoding on a game small enough to follow.

use espalier_search::testing::{AnswerEach, HashedEvaluator, LetterGame, LetterState};
use espalier_search::{
    AnswerRule, Cancel, DecodeConfig, Decoding, Environment, Evaluation, Evaluator, EvaluatorError,
    MctsConfig, Outcome, Problem, ProblemError, Proposal, Request, Sampling, SearchError,
    StepError, Transition, choose, decode, decoding, sample_solutions,
};

use crate::script::{Script, context, problem};

fn run(script: &Script, decoding: &str, config: &DecodeConfig) -> Outcome {
    let decoding: Decoding = decoding.parse().unwrap();
    // An answer that no path gives: whoever graded by it would be found out.
    decode(decoding, &LetterGame::default(), script, &problem("?"), config, 11, &Cancel::new())
        .unwrap()
}

fn actions(outcome: &Outcome) -> String {
    outcome.solution.iter().map(|step| step.action.as_str()).collect()
}

fn scores(outcome: &Outcome) -> Vec<(&str, f64)> {
    outcome.candidates.iter().map(|c| (c.answer.as_str(), c.score)).collect()
}

#[test]
fn greedy_takes_one_path_at_temperature_0() {
    let script = Script::new(&[("", 0.5, &[("a", 0.5)]), ("a", 0.25, &[("=", 0.75)])]);
    let outcome = run(&script, "greedy", &DecodeConfig::default());
    assert_eq!(outcome.answer.as_deref(), Some("a"));
    assert_eq!((outcome.tokens, outcome.evaluations, outcome.simulations), (4, 2, 0));
    assert_eq!(actions(&outcome), "a=");
    let [first, last] = &outcome.solution[..] else { panic!() };
    assert_eq!((first.value, first.q, first.observation.as_str()), (Some(0.25), None, "\n"));
    assert!((last.prior - 0.75).abs() < 1e-12 && last.value.is_none());
    let calls = script.calls.lock().unwrap();
    assert!(calls.iter().flatten().all(|request| request.temperature == 0.0));
}

#[test]
fn a_path_without_an_answer_gives_none() {
    let invalid = Script::new(&[("", 0.0, &[("!", 0.5)])]);
    let outcome = run(&invalid, "greedy", &DecodeConfig::default());
    assert_eq!((outcome.answer.as_deref(), actions(&outcome).as_str()), (None, "!"));
    assert!(outcome.candidates.is_empty());
    let unreadable = Script::new(&[("", 0.0, &[("a", 0.5)])]);
    for decoding in ["greedy", "maj@3", "bon@2", "sbs:1x2", "dvts:2x2"] {
        let outcome = run(&unreadable, decoding, &DecodeConfig::default());
        assert_eq!((outcome.answer, outcome.candidates.len()), (None, 0), "{decoding}");
    }
    let nothing = Script::new(&[]);
    for decoding in ["greedy", "maj@3", "bon@2", "sbs:2x2", "dvts:2x2", "mcts:9"] {
        let outcome = run(&nothing, decoding, &DecodeConfig::default());
        assert_eq!((outcome.answer, outcome.tokens), (None, 0), "{decoding}");
    }
}

#[test]
fn no_path_is_longer_than_max_depth() {
    let net = HashedEvaluator::new(1, ["a", "b"]);
    let tree = MctsConfig { max_depth: 3, ..DecodeConfig::default().tree };
    let config = DecodeConfig { tree, ..DecodeConfig::default() };
    for (decoding, evaluations) in [("greedy", 3), ("maj@4", 9), ("sbs:1x2", 9)] {
        let config = DecodeConfig { remove_duplicate: false, ..config.clone() };
        let decoding: Decoding = decoding.parse().unwrap();
        let game = LetterGame::default();
        let outcome =
            decode(decoding, &game, &net, &problem("?"), &config, 1, &Cancel::new()).unwrap();
        assert_eq!((outcome.answer, outcome.evaluations), (None, evaluations), "{decoding}");
    }
}

#[test]
fn majority_counts_answers_and_breaks_ties_by_the_first() {
    // Five first steps; the paths then answer "b", "a", "a", "b" and break a rule.
    let script = Script::new(&[
        ("", 0.0, &[("b", 0.5), ("a", 0.5), ("a", 0.5), ("b", 0.5), ("!", 0.5)]),
        ("a", 0.0, &[("=", 0.5)]),
        ("b", 0.0, &[("=", 0.5)]),
    ]);
    let outcome = run(&script, "maj@5", &DecodeConfig::default());
    assert_eq!(outcome.answer.as_deref(), Some("b"));
    assert_eq!(scores(&outcome), [("b", 0.4), ("a", 0.4), ("a", 0.4), ("b", 0.4)]);
    assert_eq!(actions(&outcome), "b=");
    let outcome = run(&script, "maj@3", &DecodeConfig::default());
    assert_eq!(outcome.answer.as_deref(), Some("a"));
    // One request for all first steps, then one batch over the open paths.
    let calls = script.calls.lock().unwrap();
    assert_eq!(calls[..2].iter().map(Vec::len).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(calls[0][0].samples, 5);
    let seeds: std::collections::HashSet<u64> = calls[1].iter().map(|r| r.seed).collect();
    assert_eq!(seeds.len(), 4, "paths at the same text must not sample alike");
}

/// The letter game for people who do not tell `a` from `c`.
struct Blurred(LetterGame);

impl Environment for Blurred {
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
        self.0.reward(problem, answer)
    }

    fn answer_groups(&self, answers: &[&str]) -> Vec<usize> {
        answers.iter().map(|answer| usize::from(*answer == "b")).collect()
    }
}

#[test]
fn the_environment_says_which_answers_are_one_vote() {
    let script = Script::new(&[
        ("", 0.0, &[("b", 0.5), ("c", 0.5), ("b", 0.5), ("a", 0.5), ("a", 0.5)]),
        ("a", 0.0, &[("=", 0.5)]),
        ("b", 0.0, &[("=", 0.5)]),
        ("c", 0.0, &[("=", 0.5)]),
    ]);
    let config = DecodeConfig::default();
    let game = Blurred(LetterGame::default());
    let outcome = decode(
        "maj@5".parse().unwrap(),
        &game,
        &script,
        &problem("?"),
        &config,
        11,
        &Cancel::new(),
    );
    let outcome = outcome.unwrap();
    assert_eq!(outcome.answer.as_deref(), Some("c"));
    assert_eq!(scores(&outcome), [("b", 0.4), ("c", 0.6), ("b", 0.4), ("a", 0.6), ("a", 0.6)]);
    assert_eq!(run(&script, "maj@5", &config).answer.as_deref(), Some("b"));
    assert_eq!(LetterGame::default().answer_groups(&["a", "b", " a ", "c"]), [0, 1, 0, 2]);
}

#[test]
fn best_of_n_goes_by_the_value_of_the_final_state() {
    let script = Script::new(&[
        ("", 0.0, &[("a", 0.5), ("b", 0.5), ("b", 0.5), ("!", 0.5)]),
        ("a", 0.9, &[("=", 0.5)]),
        ("b", -0.9, &[("=", 0.5)]),
        ("a=", 0.1, &[]),
        ("b=", 0.6, &[]),
    ]);
    let outcome = run(&script, "bon@4", &DecodeConfig::default());
    assert_eq!(outcome.answer.as_deref(), Some("b"));
    assert_eq!(scores(&outcome), [("a", 0.1), ("b", 0.6), ("b", 0.6)]);
    assert_eq!(outcome.solution.last().unwrap().value, Some(0.6));
    let calls = script.calls.lock().unwrap();
    let last = calls.last().unwrap();
    assert!(calls.len() == 3 && last.iter().all(|request| request.samples == 0));
}

#[test]
fn a_finished_beam_gives_up_its_place() {
    // Level 1 keeps "a" (0.9) and the answer "" (0.8), not "b" (0.5). One place is left: level 2
    // keeps "ac" (0.7), not "ad" (0.6). Level 3 answers "ac" with 0.2, so the first answer stays
    // best.
    let script = Script::new(&[
        ("", 0.0, &[("b", 0.5), ("a", 0.5), ("=", 0.5), ("!", 0.5)]),
        ("b", 0.5, &[]),
        ("a", 0.9, &[("d", 0.5), ("c", 0.5)]),
        ("=", 0.8, &[]),
        ("ad", 0.6, &[]),
        ("ac", 0.7, &[("=", 0.5), ("=", 0.5)]),
        ("ac=", 0.2, &[]),
    ]);
    let outcome = run(&script, "sbs:2x2", &DecodeConfig::default());
    assert_eq!(scores(&outcome), [("", 0.8), ("ac", 0.2)]);
    assert_eq!((outcome.answer.as_deref(), actions(&outcome).as_str()), (Some(""), "="));
    let calls = script.calls.lock().unwrap();
    let asked: Vec<Vec<(String, usize)>> = calls
        .iter()
        .map(|call| call.iter().map(|r| (r.context.to_string(), r.samples)).collect())
        .collect();
    let at = |word: &str, samples: usize| (context(word), samples);
    let expected = [
        vec![at("", 4)],
        vec![at("b", 0), at("a", 0), at("=", 0)],
        vec![at("a", 2)],
        vec![at("ad", 0), at("ac", 0)],
        vec![at("ac", 2)],
        // The duplicate was dropped.
        vec![at("ac=", 0)],
    ];
    assert_eq!(asked, expected);
}

#[test]
fn each_subtree_keeps_its_own_best_step() {
    // Two subtrees of two samples. The root answers both requests with "b" (0.5) and "a" (0.9): both take "a", where a
    // beam would take both. Level 2 samples "c" (0.2) and "=" (0.7) from each: both answer "a".
    let script = Script::new(&[
        ("", 0.0, &[("b", 0.5), ("a", 0.5)]),
        ("b", 0.5, &[("=", 0.5)]),
        ("a", 0.9, &[("c", 0.5), ("=", 0.5)]),
        ("ac", 0.2, &[]),
        ("a=", 0.7, &[]),
    ]);
    let outcome = run(&script, "dvts:2x2", &DecodeConfig::default());
    assert_eq!(scores(&outcome), [("a", 0.7), ("a", 0.7)]);
    assert_eq!((outcome.answer.as_deref(), actions(&outcome).as_str()), (Some("a"), "a="));
    // Two levels of two subtrees with two samples of two tokens, and a value for each of the eight children.
    assert_eq!((outcome.tokens, outcome.evaluations, outcome.simulations), (16, 4 + 8, 0));
    let calls = script.calls.lock().unwrap();
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [2, 4, 2, 4]);
    assert_ne!(calls[0][0].seed, calls[0][1].seed, "subtrees must not sample alike");
    // The duplicate costs its tokens and no value.
    let twice = Script::new(&[("", 0.0, &[("=", 0.5), (" =", 0.5)]), ("=", 0.3, &[])]);
    let outcome = run(&twice, "dvts:1x2", &DecodeConfig::default());
    assert_eq!((outcome.answer.as_deref(), outcome.tokens, outcome.evaluations), (Some(""), 4, 2));
}

#[test]
fn a_subtree_without_a_valid_step_ends_and_the_others_go_on() {
    // The first request is the first subtree's: its one step breaks the rules, and the others answer at once.
    let game = LetterGame::default();
    let first = std::sync::atomic::AtomicBool::new(true);
    let net = AnswerEach(|request: &Request| {
        let dies = request.samples > 0 && first.swap(false, std::sync::atomic::Ordering::Relaxed);
        let action = if dies { "!" } else { "=" };
        let proposal = Proposal {
            action: action.into(),
            log_prob: -1.0,
            tokens: 2,
            truncated: false,
            sampled: None,
        };
        Ok(Evaluation { proposals: vec![proposal; request.samples], value: 0.5 })
    });
    let config = DecodeConfig::default();
    let decoding = "dvts:3x2".parse().unwrap();
    let outcome = decode(decoding, &game, &net, &problem("?"), &config, 1, &Cancel::new()).unwrap();
    assert_eq!(scores(&outcome), [("", 0.5), ("", 0.5)]);
    assert_eq!((outcome.tokens, outcome.evaluations), (12, 5));
}

#[test]
fn a_tree_is_read_by_the_rule() {
    // By hand, c_puct 1.25, three samples each:
    // 1. the root opens a, b and c;
    // 2. b (1.25 * 0.6 * 1 = 0.75): three answers "b" of value -0.2, V = 0.5; Q(b) = -0.1 / 4;
    // 3. a (1.25 * 0.5 * 2.24 = 1.4): an answer "a" of value 0.9, two invalid steps, V = -0.3; Q(a)
    //    = -1.4 / 4;
    // 4. a and b are exhausted, so c: Q(c) = 0.99, the highest, and no answer below it.
    let script = Script::new(&[
        ("", 0.0, &[("a", 0.5), ("b", 0.6), ("c", 0.1)]),
        ("a", -0.3, &[("=", 0.5), ("!", 0.5), ("!", 0.5)]),
        ("b", 0.5, &[("=", 0.5), ("=", 0.5), ("=", 0.5)]),
        ("a=", 0.9, &[]),
        ("b=", -0.2, &[]),
        ("c", 0.99, &[("d", 0.5), ("d", 0.5), ("d", 0.5)]),
    ]);
    let read = |rule, simulations| {
        let tree = MctsConfig { samples: 3, answer_rule: rule, ..DecodeConfig::default().tree };
        let config = DecodeConfig { tree, ..DecodeConfig::default() };
        run(&script, &format!("mcts:{simulations}"), &config)
    };
    let outcome = read(AnswerRule::QValue, 4);
    assert_eq!((outcome.answer.as_deref(), actions(&outcome).as_str()), (Some("b"), "b="));
    assert_eq!((outcome.simulations, outcome.candidates.len()), (4, 4));
    let step = &outcome.solution[0];
    assert!((step.q.unwrap() + 0.025).abs() < 1e-9);
    assert_eq!((step.visits, step.value), (Some(4), Some(0.5)));
    let outcome = read(AnswerRule::Value, 4);
    assert_eq!(outcome.answer.as_deref(), Some("b"));
    // Both have four visits: the first child wins.
    let outcome = read(AnswerRule::Visits, 4);
    assert_eq!(outcome.answer.as_deref(), Some("a"));
    // Before anything but the root is expanded there is no answer.
    assert_eq!(read(AnswerRule::QValue, 1).answer, None);
}

#[test]
fn a_seed_gives_the_same_outcome() {
    let net = HashedEvaluator::new(9, ["a", "b", "c", "=", "!"]);
    let game = LetterGame { length: Some(5) };
    for text in ["greedy", "maj@5", "bon@5", "sbs:3x5", "dvts:3x5", "mcts:40"] {
        let decoding: Decoding = text.parse().unwrap();
        let run = |seed, answer| {
            decode(
                decoding,
                &game,
                &net,
                &problem(answer),
                &DecodeConfig::default(),
                seed,
                &Cancel::new(),
            )
            .unwrap()
        };
        let outcome = run(1, "ab");
        // The right answer is not read.
        assert_eq!(outcome, run(1, "abc"), "{text}");
        assert_eq!(outcome.answer.is_some(), !outcome.candidates.is_empty(), "{text}");
        if text != "greedy" {
            assert_ne!(outcome, run(2, "ab"), "{text}");
        }
        let words = outcome.solution.iter().map(|step| step.action.as_str());
        let path: String = words.collect();
        if let Some(answer) = outcome.answer {
            assert_eq!(path.trim_end_matches('='), answer, "{text}");
        }
    }
}

#[test]
fn a_cancelled_decoding_is_no_outcome() {
    /// Answers the first question, and cancels its caller's handle.
    struct Once<'a>(&'a Cancel);

    impl Evaluator for Once<'_> {
        fn evaluate(
            &self,
            requests: &[Request],
            cancel: &Cancel,
        ) -> Vec<Result<Evaluation, EvaluatorError>> {
            assert!(!cancel.is_cancelled(), "what is cancelled is not asked");
            self.0.cancel();
            HashedEvaluator::new(9, ["a", "b"]).evaluate(requests, cancel)
        }
    }

    let (game, config) = (LetterGame { length: Some(5) }, DecodeConfig::default());
    for text in ["greedy", "maj@5", "bon@5", "sbs:3x5", "dvts:3x5", "mcts:40"] {
        let cancel = Cancel::new();
        let decoding = text.parse().unwrap();
        let outcome = decode(decoding, &game, &Once(&cancel), &problem("?"), &config, 1, &cancel);
        assert_eq!(outcome, Err(SearchError::Evaluator(EvaluatorError::Cancelled)), "{text}");
    }
}

#[test]
fn settings_and_failures_are_told() {
    let net = HashedEvaluator::new(9, ["a"]);
    let tree = MctsConfig { samples: 0, ..MctsConfig::default() };
    let config = DecodeConfig { tree, ..DecodeConfig::default() };
    let game = LetterGame::default();
    let error =
        decode(decoding::Greedy.into(), &game, &net, &problem("?"), &config, 0, &Cancel::new())
            .unwrap_err();
    assert!(error.to_string().contains("samples = 0"), "{error}");
    let mut empty = problem("?");
    empty.question.clear();
    assert!(game.root(&empty).is_err());
    let config = DecodeConfig::default();
    for text in ["greedy", "mcts:4"] {
        let error = decode(text.parse().unwrap(), &game, &net, &empty, &config, 0, &Cancel::new())
            .unwrap_err();
        assert_eq!(error.to_string(), "problem letters: the question is empty");
    }
}

#[test]
fn fewer_samples_are_the_first_of_more_and_each_choice_reads_its_own_prefix() {
    let net = HashedEvaluator::new(3, ["a", "b", "="]);
    let (game, config) = (LetterGame::default(), DecodeConfig::default());
    let sample = |count, values| {
        let sampling = Sampling { count, values, config: &config, seed: 11 };
        sample_solutions(&game, &net, &problem("?"), sampling, &Cancel::new()).unwrap()
    };
    let all = sample(16, true);
    assert_eq!(sample(5, true), all[..5]);
    let finished = all.iter().filter(|sample| sample.answer.is_some()).count();
    assert!(finished > 1 && all.iter().any(|sample| sample.steps.len() > 1));
    assert_eq!(all.iter().filter(|sample| sample.value.is_some()).count(), finished);
    assert!(sample(5, false).iter().all(|sample| sample.value.is_none()));
    for decoding in ["maj@5", "bon@5", "maj@16", "bon@16"] {
        let decoding: Decoding = decoding.parse().unwrap();
        let alone =
            decode(decoding, &game, &net, &problem("?"), &config, 11, &Cancel::new()).unwrap();
        let choice = choose(decoding, &game, &all).unwrap();
        let chosen = choice.sample.map(|sample| &all[sample]);
        assert_eq!(chosen.and_then(|chosen| chosen.answer.as_deref()), alone.answer.as_deref());
        assert_eq!(choice.candidates, alone.candidates, "{decoding}");
        let prefix = &all[..decoding.samples().unwrap()];
        assert_eq!(prefix.iter().map(|sample| sample.tokens).sum::<u64>(), alone.tokens);
    }
    assert!(choose(decoding::Greedy.into(), &game, &all).is_none());
}
