//! A tree small enough to be worked by hand.

use espalier_search::testing::LetterGame;
use espalier_search::{
    Cancel, Compatibility, MctsConfig, StopReason, Tag, Terminal, TreeRecord, search_tree,
};

use crate::script::{Line, Script, problem};

/// The right answer is "ab". Priors are dyadic or one decimal, so that the arithmetic below stays
/// readable.
const SCRIPT: &[Line] = &[
    ("", 0.2, &[("a", 0.5), ("b", 0.25)]),
    ("a", -0.4, &[("=", 0.9), ("b", 0.5)]),
    ("b", 0.6, &[("=", 0.7), ("!", 0.3)]),
    ("ab", 0.8, &[("=", 0.6), ("c", 0.1)]),
];

fn config() -> MctsConfig {
    MctsConfig { c_puct: 1.0, samples: 2, simulations: 4, ..MctsConfig::default() }
}

fn assert_node(tree: &TreeRecord, tag: &str, visits: u64, q: f64, value: Option<f64>) {
    let node = &tree.react[tag];
    assert_eq!(node.visit_count, visits, "{tag}");
    assert!((node.q_value - q).abs() < 1e-11, "{tag}: {}", node.q_value);
    assert_eq!(node.value, value, "{tag}");
}

#[test]
fn four_simulations_by_hand() {
    // 1. The root is expanded: a (P 0.5) and b (P 0.25) appear, V = 0.2.       root N 1, W 0.2
    // 2. sqrt 1: a scores 0.5, b 0.25. In a the answer "a" is wrong, V = -0.4. a N 2, W -1.4; root
    //    N 3, W -1.2
    // 3. sqrt 3 = 1.732: a scores -0.7 + 0.5 * 1.732 / 3 = -0.411, b 0.433.
    // In b the answer "b" is wrong and "!" invalid, V = 0.6; b is exhausted. b N 3, W -1.4; root N
    // 6, W -2.6
    // 4. b is skipped. In a the answer is skipped, so ab is expanded:
    // "ab" is right, V = 0.8.                          ab N 2, W 1.8; a N 4, W 0.4; root N 8, W
    // -0.8
    let script = Script::new(SCRIPT);
    let game = LetterGame::default();
    let tree =
        search_tree(&game, &script, &problem("ab"), &config(), 7, true, &Cancel::new()).unwrap();
    assert_eq!((tree.simulations, tree.stop), (4, StopReason::Simulations));
    assert_eq!((tree.evaluations, tree.tokens, tree.collisions), (4, 16, 0));
    let tags: Vec<&str> = tree.react.keys().map(Tag::as_str).collect();
    assert_eq!(tags, ["0", "0.0", "0.1", "0.0.0", "0.0.1", "0.1.0", "0.1.1", "0.0.1.0", "0.0.1.1"]);
    assert_node(&tree, "0", 8, -0.1, Some(0.2));
    assert_node(&tree, "0.0", 4, 0.1, Some(-0.4));
    assert_node(&tree, "0.1", 3, -1.4 / 3.0, Some(0.6));
    assert_node(&tree, "0.0.0", 1, -1.0, Some(-1.0));
    assert_node(&tree, "0.0.1", 2, 0.9, Some(0.8));
    assert_node(&tree, "0.0.1.0", 1, 1.0, Some(1.0));
    assert_node(&tree, "0.0.1.1", 0, 0.0, None);
    let end = |tag: &str| (tree.react[tag].terminal.clone(), tree.react[tag].correct);
    assert_eq!(end("0.0.1.0"), (Some(Terminal::Answer("ab".to_owned())), Some(true)));
    assert_eq!(end("0.1.0"), (Some(Terminal::Answer("b".to_owned())), Some(false)));
    assert!(matches!(end("0.1.1"), (Some(Terminal::Invalid(_)), None)));
    assert!((tree.react["0.1.1"].prior - 0.3).abs() < 1e-15);
    assert_eq!(tree.react["0"].text(), "Which word?\n");
    assert_eq!(tree.react["0.0.1.0"].text(), "=\n");
}

#[test]
fn at_inference_the_value_net_scores_answers() {
    // As above, but the answers are valued: "a" ends in the context "a=", "b" in "b=". "!" stays
    // invalid.
    let lines: Vec<Line> =
        [SCRIPT, &[("a=", 0.3, &[]), ("b=", -0.5, &[]), ("ab=", 0.9, &[])]].concat();
    let script = Script::new(&lines);
    let game = LetterGame::default();
    let tree =
        search_tree(&game, &script, &problem("ab"), &config(), 7, false, &Cancel::new()).unwrap();
    // 2. a: W = 0.3 - 0.4. root N 3, W 0.1.
    // 3. a scores -0.05 + 0.5 * 1.732 / 3 = 0.239, b 0.433: b gets -0.5 - 1 + 0.6. root N 6, W
    //    -0.8.
    // 4. a again: ab gets 0.9 + 0.8. a N 4, W 1.6; root N 8, W 0.9.
    assert_node(&tree, "0.0.0", 1, 0.3, Some(0.3));
    assert_node(&tree, "0.1", 3, -0.9 / 3.0, Some(0.6));
    assert_node(&tree, "0.1.1", 1, -1.0, Some(-1.0));
    assert_node(&tree, "0.0", 4, 0.4, Some(-0.4));
    assert_node(&tree, "0", 8, 0.9 / 8.0, Some(0.2));
    assert!(tree.react.values().all(|node| node.correct.is_none()));
    // Four leaves and three answers; the invalid ending is not asked about.
    assert_eq!((tree.evaluations, tree.tokens), (7, 16));
    let calls = script.calls.lock().unwrap();
    let shape: Vec<Vec<usize>> =
        calls.iter().map(|call| call.iter().map(|request| request.samples).collect()).collect();
    assert_eq!(shape, [vec![2], vec![2], vec![0], vec![2], vec![0], vec![2], vec![0]]);
}

#[test]
fn leaf_values_are_backed_up_at_once() {
    let config = MctsConfig { update_leaf_value: true, simulations: 2, ..config() };
    let script = Script::new(SCRIPT);
    let game = LetterGame::default();
    let tree =
        search_tree(&game, &script, &problem("ab"), &config, 7, true, &Cancel::new()).unwrap();
    // 1. a gets -0.4 and b 0.6; the root's own 0.2 is not backed up. root N 2, W 0.2.
    // 2. sqrt 2: a scores -0.4 + 0.5 * 1.414 / 2 = -0.05, b 0.6 + 0.25 * 1.414 / 2 = 0.78.
    //    b: both children end with -1. b N 3, W -1.4; root N 4, W -1.8.
    assert_node(&tree, "0.0", 1, -0.4, Some(-0.4));
    assert_node(&tree, "0.1", 3, -1.4 / 3.0, Some(0.6));
    assert_node(&tree, "0", 4, -0.45, Some(0.2));
}

#[test]
fn what_the_model_cannot_read_ends_there() {
    // "b" is not in the script: too long. The root's first child is expanded, then b ends and backs
    // up -1.
    let lines: &[Line] = &[SCRIPT[0], ("a", 0.0, &[("!", 0.5), ("!", 0.5)])];
    let script = Script::new(lines);
    let game = LetterGame::default();
    let config = MctsConfig { simulations: 40, ..config() };
    let tree =
        search_tree(&game, &script, &problem("ab"), &config, 7, true, &Cancel::new()).unwrap();
    assert_eq!((tree.simulations, tree.stop), (3, StopReason::Exhausted));
    assert_node(&tree, "0.1", 1, -1.0, Some(-1.0));
    assert_eq!(tree.react["0.1"].terminal, Some(Terminal::Invalid("context too long".to_owned())));
    // A root that cannot be read is a finished tree of one node.
    let tree =
        search_tree(&game, &Script::new(&[]), &problem("ab"), &config, 7, true, &Cancel::new())
            .unwrap();
    assert_eq!((tree.simulations, tree.stop), (1, StopReason::Exhausted));
    assert_node(&tree, "0", 1, -1.0, Some(-1.0));
}

#[test]
fn duplicates_merge_and_priors_normalise() {
    let script = Script::new(&[("", 0.0, &[("a", 0.5), (" a ", 0.4), ("b", 0.25)])]);
    let game = LetterGame::default();
    let config = MctsConfig { samples: 3, simulations: 1, ..config() };
    let tree = |config| {
        search_tree(&game, &script, &problem("ab"), &config, 7, true, &Cancel::new()).unwrap()
    };
    assert_eq!(tree(config.clone()).react.len(), 4);
    let merged = tree(MctsConfig { remove_duplicate: true, normalise_prior: true, ..config });
    assert_eq!(merged.react.len(), 3);
    assert_eq!((merged.react["0.0"].action(), merged.tokens), ("a", 6));
    assert!((merged.react["0.0"].prior - 2.0 / 3.0).abs() < 1e-12);
    assert!((merged.react["0.1"].prior - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn a_step_beyond_the_depth_is_invalid_unless_it_answers() {
    let script =
        Script::new(&[("", 0.0, &[("a", 0.5)]), ("a", 0.0, &[("=", 0.5), ("b", 0.5), ("b", 0.5)])]);
    let game = LetterGame::default();
    let config = MctsConfig { samples: 3, max_depth: 1, simulations: 40, ..config() };
    let tree =
        search_tree(&game, &script, &problem("a"), &config, 7, true, &Cancel::new()).unwrap();
    assert_eq!(tree.stop, StopReason::Exhausted);
    assert_eq!(tree.react["0.0.0"].correct, Some(true));
    let too_deep = Some(Terminal::Invalid("too many steps".to_owned()));
    assert_eq!(tree.react["0.0.1"].terminal, too_deep);
}

#[test]
fn the_original_stops_at_a_dead_end_and_the_sane_search_goes_round_it() {
    // Words of two letters end by themselves.
    const SCRIPT: &[Line] = &[
        ("", 0.2, &[("a", 0.9), ("b", 0.25)]),
        ("a", 0.6, &[("b", 0.9), ("c", 0.5)]),
        ("b", -0.2, &[("a", 0.5), ("d", 0.25)]),
    ];
    // 1. The root is expanded: a (P 0.9) and b (P 0.25), V = 0.2.              root N 1, W 0.2
    // 2. sqrt 1: a scores 0.9, b 0.25. In a "ab" is right (+1) and "ac" wrong (-1), V = 0.6.
    //                                                     a N 3, W 0.6; root N 4, W 0.8
    // 3. sqrt 4 = 2: a scores 0.6 / 3 + 0.9 * 2 / 4 = 0.65, b 0.25 * 2 = 0.5. Everything below a has ended: the
    //    original's search is over. The sane one knows a as exhausted and expands b: "ba" and "bd" are wrong,
    //    V = -0.2.                                        b N 3, W -2.2; root N 7, W -1.4
    // 4. The sane one has nothing left.
    let game = LetterGame { length: Some(2) };
    let grow = |compatibility| {
        let config = MctsConfig { compatibility, ..config() };
        search_tree(&game, &Script::new(SCRIPT), &problem("ab"), &config, 7, true, &Cancel::new())
            .unwrap()
    };
    let original = grow(Compatibility::AlphaMath);
    assert_eq!((original.simulations, original.stop), (2, StopReason::DeadEnd));
    assert_node(&original, "0", 4, 0.2, Some(0.2));
    assert_node(&original, "0.0", 3, 0.2, Some(0.6));
    assert_node(&original, "0.0.0", 1, 1.0, Some(1.0));
    assert_node(&original, "0.0.1", 1, -1.0, Some(-1.0));
    assert_node(&original, "0.1", 0, 0.0, None);
    assert_eq!(original.react.len(), 5);
    let sane = grow(Compatibility::None);
    assert_eq!((sane.simulations, sane.stop), (3, StopReason::Exhausted));
    assert_node(&sane, "0", 7, -0.2, Some(0.2));
    assert_node(&sane, "0.1", 3, -2.2 / 3.0, Some(-0.2));
}
