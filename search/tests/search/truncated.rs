//! Steps that the policy's limit of tokens cuts off.

use espalier_search::testing::{AnswerEach, LetterGame};
use espalier_search::{
    Cancel, Cut, Cuts, DecodeConfig, Decoding, Evaluation, EvaluatorError, MctsConfig, Proposal,
    Request, TreeRecord, continue_tree, decode, finished_paths, search_tree,
};

use crate::script::problem;

/// Writes "a", then what breaks the rules, then the answer; is cut off in all but the last.
fn talkative(request: &Request) -> Result<Evaluation, EvaluatorError> {
    let step = |action: &str, truncated| Proposal {
        action: action.into(),
        log_prob: -1.0,
        tokens: 2,
        truncated,
        sampled: None,
    };
    let steps = match request.context.lines().count() {
        1 => vec![step("a", true)],
        _ => vec![step("!", true), step("=", false)],
    };
    let proposals = steps.into_iter().cycle().take(request.samples).collect();
    Ok(Evaluation { proposals, value: 0.0 })
}

#[test]
fn a_path_goes_on_after_half_a_step_and_one_that_breaks_the_rules_ends_at_the_limit() {
    let (game, policy) = (LetterGame::default(), AnswerEach(talkative));
    let (problem, free) = (problem("ab"), Cancel::new());
    let config = |simulations| MctsConfig {
        samples: 2,
        simulations,
        remove_duplicate: true,
        ..MctsConfig::default()
    };
    let grow = |simulations| {
        search_tree(&game, &policy, &problem, &config(simulations), 0, true, &free).unwrap()
    };
    let tree = grow(2);
    let ends: Vec<_> = tree.react.values().map(|node| (node.truncated, &node.terminal)).collect();
    let limit = tree.react["0.0.0"].terminal.as_ref().and_then(Cut::of);
    assert_eq!(limit, Some(Cut::StepTooLong), "{ends:?}");
    let flags: Vec<bool> = ends.iter().map(|(truncated, _)| *truncated).collect();
    assert_eq!(flags, [false, true, true, false]);
    assert_eq!(ends[1].1, &None);
    assert_eq!(Cuts::in_tree(&tree), Cuts { step_too_long: 1, ..Cuts::default() });
    // It counts as wrong, as a path of too many steps does.
    assert_eq!(tree.react["0.0.0"].value, Some(-1.0));
    assert_eq!(finished_paths(std::slice::from_ref(&tree)).unwrap().len(), 2);
    let written = serde_json::to_string(&tree).unwrap();
    assert_eq!(written.matches("truncated").count(), 2);
    assert_eq!(serde_json::from_str::<TreeRecord>(&written).unwrap(), tree);
    let further = continue_tree(&game, &policy, &problem, &config(2), &grow(1), &free).unwrap();
    assert_eq!(further, tree);
}

#[test]
fn every_decoding_counts_them() {
    let only_half = |request: &Request| {
        let mut answer = talkative(request)?;
        if let Some(half) = answer.proposals.first().cloned() {
            answer.proposals = vec![half; request.samples];
        }
        Ok(answer)
    };
    let (game, policy) = (LetterGame::default(), AnswerEach(only_half));
    for name in ["greedy", "maj@2", "bon@2", "sbs:1x2", "dvts:2x2", "mcts:3"] {
        let decoding: Decoding = name.parse().unwrap();
        let (problem, config, free) = (problem("ab"), DecodeConfig::default(), Cancel::new());
        let outcome = decode(decoding, &game, &policy, &problem, &config, 0, &free).unwrap();
        assert_eq!((outcome.answer, outcome.cut), (None, Some(Cut::StepTooLong)), "{name}");
        assert!(outcome.steps_truncated >= 2, "{name}: {}", outcome.steps_truncated);
    }
}
