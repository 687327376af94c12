//! Every setting of a search, on the letter game: what it must change and what it must not.

use espalier_search::testing::{AnswerEach, HashedEvaluator, LetterGame};
use espalier_search::{
    AnswerRule, Cancel, Evaluator, EvaluatorError, InFlightRule, MctsConfig, Request, StopConfig,
    StopReason, Tag, TreeRecord, best_path, continue_tree, search_tree,
};
use proptest::prelude::*;

use crate::script::problem;

fn grow(config: &MctsConfig, seed: u64) -> TreeRecord {
    let net = HashedEvaluator::new(seed, ["a", "b", "c", "d", "="]);
    search_tree(&LetterGame::default(), &net, &problem("ab"), config, seed, true, &Cancel::new())
        .unwrap()
}

fn config(json: &str) -> MctsConfig {
    serde_json::from_str(json).unwrap()
}

/// Visits add up over every parent and its children, and no Q leaves the range of rewards.
fn assert_sums(tree: &TreeRecord) {
    for (tag, node) in &tree.react {
        let below: Vec<_> = tree.children(tag).map(|(_, child)| child).collect();
        let own = u64::from(!below.is_empty() || node.terminal.is_some());
        let visits: u64 = below.iter().map(|child| child.visit_count).sum();
        assert_eq!(node.visit_count, own + visits, "visits of {tag}");
        assert!(node.q_value.abs() <= 1.0);
    }
}

#[test]
fn every_rule_searches_and_is_reproducible() {
    let plain = grow(&MctsConfig::default(), 4);
    let settings = [
        r#"{"selection": {"rule": "uct"}}"#,
        r#"{"selection": {"rule": "gumbel"}}"#,
        r#"{"selection": {"rule": "regularised_policy"}}"#,
        r#"{"selection": {"c_puct_base": 5}}"#,
        r#"{"selection": {"first_play_urgency": -1}}"#,
        r#"{"selection": {"first_play_reduction": 0.3}}"#,
        r#"{"selection": {"normalise_q": true}}"#,
        r#"{"selection": {"unpruning": {"coefficient": 1, "exponent": 0.3}}}"#,
        r#"{"selection": {"root_noise": {"alpha": 0.1, "fraction": 0.9}}}"#,
        r#"{"leaf_batch": 4}"#,
        r#"{"leaf_batch": 4, "in_flight": "wu_uct"}"#,
    ];
    let mut seen = vec![plain.react.clone()];
    for json in settings {
        let tree = grow(&config(json), 4);
        assert_sums(&tree);
        assert_eq!(tree, grow(&config(json), 4), "{json}");
        assert!(!seen.contains(&tree.react), "{json} changes nothing");
        seen.push(tree.react);
    }
}

#[test]
fn plain_puct_is_the_general_rule_without_additions() {
    // Unpruning to every child adds nothing, and takes the other way through the code.
    let wide = config(r#"{"selection": {"unpruning": {"coefficient": 99, "exponent": 0}}}"#);
    for seed in 0..20 {
        assert_eq!(grow(&MctsConfig::default(), seed).react, grow(&wide, seed).react);
    }
}

#[test]
fn noise_shows_in_selection_and_not_in_the_record() {
    let noisy = grow(&config(r#"{"selection": {"root_noise": {}}}"#), 4);
    let plain = grow(&MctsConfig::default(), 4);
    let priors = |tree: &TreeRecord| -> Vec<f64> {
        tree.children("0").map(|(_, child)| child.prior).collect()
    };
    assert_eq!(priors(&noisy), priors(&plain));
    assert_ne!(noisy.react, plain.react);
}

#[test]
fn sequential_halving_shares_out_the_root() {
    // Five children, 33 simulations: the root's own, then 32 over 4 considered children in two phases.
    let halving = r#"{"simulations": 33, "max_depth": 30, "selection": {"rule": "gumbel",
        "gumbel": {"considered": 4, "noise": 0, "c_scale": 0}}}"#;
    let net = HashedEvaluator::new(9, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    let game = LetterGame::default();
    let tree = search_tree(&game, &net, &problem("zz"), &config(halving), 9, true, &Cancel::new())
        .unwrap();
    let expansions = |tag: &str| {
        let below = tree.react.keys().filter(|other| other.starts_with(&format!("{tag}.")));
        below.filter(|other| other.ends_with(".0")).count()
    };
    let mut counts: Vec<usize> = (0..5).map(|child| expansions(&format!("0.{child}"))).collect();
    let mut by_prior: Vec<(f64, usize)> =
        tree.children("0").map(|(_, node)| node.prior).zip(counts.iter().copied()).collect();
    by_prior.sort_by(|a, b| b.0.total_cmp(&a.0));
    counts.sort_unstable();
    assert_eq!(counts, [0, 4, 4, 12, 12]);
    // Without noise and weight of values the likeliest two stay to the end.
    assert_eq!((by_prior[0].1, by_prior[1].1, by_prior[4].1), (12, 12, 0));
}

#[test]
fn each_limit_stops_with_its_reason_and_keeps_the_tree() {
    let limits = [
        (StopConfig { tokens: Some(40), ..StopConfig::default() }, StopReason::Tokens),
        (StopConfig { memory_mib: Some(0.01), ..StopConfig::default() }, StopReason::Memory),
        (StopConfig { seconds: Some(1e-9), ..StopConfig::default() }, StopReason::Time),
        (StopConfig { solved: true, ..StopConfig::default() }, StopReason::Solved),
    ];
    let free = MctsConfig { simulations: 400, ..MctsConfig::default() };
    let is_solved = |tree: &TreeRecord| tree.react.values().any(|node| node.correct == Some(true));
    let seed = (0..100).find(|seed| is_solved(&grow(&free, *seed))).unwrap();
    let whole = grow(&free, seed);
    for (stop, reason) in limits {
        let tree = grow(&MctsConfig { stop, ..free.clone() }, seed);
        assert_eq!(tree.stop, reason);
        assert!(tree.simulations < whole.simulations);
        assert_sums(&tree);
        assert!(tree.react.keys().eq(whole.react.keys().take(tree.react.len())), "{reason:?}");
        assert!(is_solved(&tree) || reason != StopReason::Solved);
    }
}

#[test]
fn merged_roots_share_the_simulations() {
    let roots = MctsConfig { simulations: 41, roots: 4, ..MctsConfig::default() };
    let tree = grow(&roots, 6);
    assert_eq!((tree.simulations, tree.seed), (41, 6));
    assert_eq!(tree, grow(&roots, 6));
    let root = tree.root().unwrap();
    let visits: u64 = tree.children("0").map(|(_, child)| child.visit_count).sum();
    // Each of the four roots backed up its own value once.
    assert_eq!(root.visit_count, visits + 4);
    let mut texts: Vec<&str> = tree.children("0").map(|(_, child)| child.text()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), tree.children("0").count());
}

/// The answer that the walk reads off a tree.
fn answer(tree: &TreeRecord, rule: AnswerRule) -> Option<Tag> {
    best_path(tree, rule).last().map(|(tag, _)| tag.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_settled_answer_is_the_one_that_a_whole_search_gives(
        seed: u64,
        simulations in 5..60_u64,
        rule in prop::sample::select(vec![AnswerRule::QValue, AnswerRule::Value, AnswerRule::Visits]),
        transpositions: bool,
    ) {
        let free =
            MctsConfig { simulations, answer_rule: rule, transpositions, max_depth: 3, ..MctsConfig::default() };
        let stop = StopConfig { settled: true, ..StopConfig::default() };
        let whole = grow(&free, seed);
        let early = grow(&MctsConfig { stop, ..free }, seed);
        if early.stop == StopReason::Settled {
            prop_assert!(early.simulations < simulations);
            prop_assert!(answer(&early, rule).is_some());
        }
        prop_assert_eq!(answer(&early, rule), answer(&whole, rule));
    }

    #[test]
    fn a_continued_tree_is_one_longer_search(
        seed: u64,
        (first, more) in (1..60_u64, 0..60_u64),
        (remove_duplicate, update_leaf_value, normalise_prior) in any::<(bool, bool, bool)>(),
        (transpositions, noise, ground_truth) in any::<(bool, bool, bool)>(),
        leaf_batch in 1..2_usize,
    ) {
        let noise = if noise { r#"{"root_noise": {}}"# } else { "{}" };
        let long = MctsConfig {
            simulations: first + more,
            max_depth: 5,
            remove_duplicate,
            update_leaf_value: update_leaf_value && !transpositions,
            normalise_prior,
            transpositions,
            leaf_batch,
            selection: serde_json::from_str(noise).unwrap(),
            ..MctsConfig::default()
        };
        let short = MctsConfig { simulations: first, ..long.clone() };
        let net = short_sighted(HashedEvaluator::new(seed, ["a", "b", "c", "d", "=", "!"]));
        let game = LetterGame::default();
        let search = |config: &MctsConfig| {
            search_tree(&game, &net, &problem("ab"), config, seed, ground_truth, &Cancel::new()).unwrap()
        };
        // Through JSON, as a file would have it.
        let json = serde_json::to_string(&search(&short)).unwrap();
        let record: TreeRecord = serde_json::from_str(&json).unwrap();
        let continued = continue_tree(&game, &net, &problem("ab"), &long, &record, &Cancel::new()).unwrap();
        prop_assert_eq!(continued, search(&long));
    }

    #[test]
    fn parallel_settings_keep_the_sums(
        seed: u64,
        (workers, leaf_batch) in (1..=8_usize, 1..=6_usize),
        wu_uct: bool,
        rule in prop::sample::select(vec!["puct", "uct", "gumbel", "regularised_policy"]),
    ) {
        let json = format!(r#"{{"selection": {{"rule": "{rule}", "unpruning": {{}}}}}}"#);
        let in_flight = if wu_uct { InFlightRule::WuUct } else { InFlightRule::VirtualLoss };
        let tree = grow(
            &MctsConfig { simulations: 90, workers, leaf_batch, in_flight, ..config(&json) },
            seed,
        );
        assert_sums(&tree);
        let expanded = tree.react.keys().filter(|tag| tag.ends_with(".0")).count() as u64;
        prop_assert_eq!(expanded, tree.simulations);
        let done = tree.simulations == 90 && tree.stop == StopReason::Simulations;
        prop_assert!(done || tree.stop == StopReason::Exhausted);
    }
}

/// Reads at most 18 characters, so that some contexts turn out too long.
fn short_sighted(inner: HashedEvaluator) -> impl Evaluator {
    AnswerEach(move |request: &Request| {
        let tokens = request.context.len();
        if tokens > 18 {
            return Err(EvaluatorError::ContextTooLong { tokens, limit: 18 });
        }
        inner.evaluate(std::slice::from_ref(request), &Cancel::new()).remove(0)
    })
}

#[test]
fn a_tree_that_cannot_go_on_says_where_and_why() {
    let config = MctsConfig { simulations: 20, ..MctsConfig::default() };
    let tree = grow(&config, 3);
    let net = HashedEvaluator::new(3, ["a", "b", "c", "d", "="]);
    let game = LetterGame::default();
    let refuse = |tree: &TreeRecord, config: &MctsConfig| {
        let error =
            continue_tree(&game, &net, &problem("ab"), config, tree, &Cancel::new()).unwrap_err();
        error.to_string()
    };
    let longer = MctsConfig { simulations: 40, ..config.clone() };
    let mut damaged = tree.clone();
    damaged.react[5].visit_count += 1;
    assert!(refuse(&damaged, &longer).contains("visits and Q"), "{}", refuse(&damaged, &longer));
    let mut foreign = tree.clone();
    foreign.question = "Which number?".to_owned();
    assert!(refuse(&foreign, &longer).contains("of problem"));
    let mut torn = tree.clone();
    let tag = torn.react.keys().find(|tag| tag.matches('.').count() == 1).unwrap().clone();
    torn.react.shift_remove(&tag);
    assert!(refuse(&torn, &longer).contains("no such child"), "{}", refuse(&torn, &longer));
    let shorter = MctsConfig { simulations: 10, ..config.clone() };
    assert!(refuse(&tree, &shorter).contains("20 simulations, and 10 in all"));
    let halving =
        MctsConfig { selection: serde_json::from_str(r#"{"rule": "gumbel"}"#).unwrap(), ..longer };
    assert!(refuse(&tree, &halving).contains("cannot go on"));
}
