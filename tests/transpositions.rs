//! Countdown states that several ways lead to.

use std::collections::BTreeSet;

use espalier::environment::EnvironmentKind;
use espalier::environment::countdown::{Countdown, parse_problem};
use espalier_search::testing::AnswerEach;
use espalier_search::{
    Cancel, Evaluation, EvaluatorError, MctsConfig, Proposal, Request, StopReason, Terminal,
    TreeRecord, search_tree,
};

/// Proposes every legal move, all equally likely.
fn every_move(request: &Request) -> Result<Evaluation, EvaluatorError> {
    let state = Countdown::default().read_context(&request.context).unwrap();
    let actions = Countdown::default().legal_actions(&state).unwrap();
    let proposal = |index: usize| {
        // Where fewer are legal than samples are asked for, the last one is proposed again.
        let action = actions[index.min(actions.len() - 1)].as_str().into();
        Proposal { action, log_prob: -2.0, tokens: 2, truncated: false, sampled: None }
    };
    Ok(Evaluation { proposals: (0..request.samples).map(proposal).collect(), value: 0.0 })
}

fn answers(tree: &TreeRecord) -> BTreeSet<String> {
    let answer = |terminal: &Terminal| match terminal {
        Terminal::Answer(answer) => Some(answer.clone()),
        Terminal::Invalid(_) => None,
    };
    tree.react.values().filter_map(|node| answer(node.terminal.as_ref()?)).collect()
}

#[test]
fn shared_states_save_evaluations_and_lose_no_answer() {
    let problem = parse_problem("24: 2 3 4 6").unwrap();
    let grow = |transpositions| {
        let config = MctsConfig {
            samples: 60,
            simulations: 100_000,
            remove_duplicate: true,
            transpositions,
            ..MctsConfig::default()
        };
        let net = AnswerEach(every_move);
        search_tree(&Countdown::default(), &net, &problem, &config, 1, true, &Cancel::new())
            .unwrap()
    };
    let (apart, shared) = (grow(false), grow(true));
    assert_eq!((apart.stop, shared.stop), (StopReason::Exhausted, StopReason::Exhausted));
    assert_eq!(answers(&apart), answers(&shared));
    assert!(answers(&apart).contains("24"));
    let (many, few) = (apart.evaluations, shared.evaluations);
    assert!(2 * few < many, "{few} evaluations instead of {many}");
}
