//! `mcts:N`: a tree without ground truth, then a walk down it.

use super::outcome::{Candidate, Outcome, SolutionStep};
use crate::{
    AnswerRule, DecodeConfig, Environment, Evaluator, NodeRecord, Problem, SearchError, Terminal,
    TreeRecord, search_tree,
};

pub(super) fn decode<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    problem: &Problem,
    simulations: u64,
    config: &DecodeConfig,
    seed: u64,
) -> Result<Outcome, SearchError> {
    let tree = config.mcts(simulations);
    let record = search_tree(environment, evaluator, problem, &tree, seed, false)?;
    Ok(read_answer(&record, config.answer_rule))
}

/// Walks from the root: at each level to the child that `rule` puts first among those at or below
/// which there is an answer. Ties go to the first child.
pub(super) fn read_answer(record: &TreeRecord, rule: AnswerRule) -> Outcome {
    let mut outcome = Outcome {
        tokens: record.tokens,
        evaluations: record.evaluations,
        simulations: record.simulations,
        ..Outcome::default()
    };
    // Tags of every node at or below which there is an answer.
    let mut leads = std::collections::HashSet::new();
    for (tag, node) in &record.react {
        if let Some(Terminal::Answer(answer)) = &node.terminal {
            outcome.candidates.push(Candidate { answer: answer.clone(), score: score(node, rule) });
            leads.insert(tag.as_str());
            leads.extend(tag.match_indices('.').map(|(end, _)| &tag[..end]));
        }
    }
    let mut tag = TreeRecord::ROOT.to_owned();
    loop {
        let children: Vec<(String, &NodeRecord)> =
            record.children(&tag).filter(|(child, _)| leads.contains(child.as_str())).collect();
        let Some(best) = super::first_best(children.iter().map(|(_, node)| score(node, rule)))
        else {
            return outcome;
        };
        let (child, node) = &children[best];
        outcome.solution.push(SolutionStep {
            action: node.action.clone(),
            observation: node.observation.clone(),
            prior: node.prior,
            value: node.value,
            q: Some(node.q_value),
            visits: Some(node.visit_count),
        });
        if let Some(Terminal::Answer(answer)) = &node.terminal {
            outcome.answer = Some(answer.clone());
        }
        tag = child.clone();
    }
}

fn score(node: &NodeRecord, rule: AnswerRule) -> f64 {
    match rule {
        AnswerRule::QValue => node.q_value,
        AnswerRule::Value => node.value.unwrap_or(-1.0),
        AnswerRule::Visits => node.visit_count as f64,
    }
}
