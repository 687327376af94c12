//! `mcts:N`: a tree without ground truth, then a walk down it.

use super::decoding::{Call, Decode, Form, Named};
use super::outcome::{Candidate, Outcome, SolutionStep};
use crate::cut::Cut;
use crate::environment::{Environment, Terminal};
use crate::error::SearchError;
use crate::evaluator::EvaluatorError;
use crate::mcts::{AnswerRule, search_tree};
use crate::selection::first_best;
use crate::snapshot::{NodeRecord, StopReason, Tag, TreeRecord};

/// A tree grown without ground truth, then a walk down it ([`best_path`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mcts {
    /// Simulations, >= 1.
    pub simulations: u64,
}

impl Named for Mcts {
    const FORM: Form = Form { name: "mcts", separator: ':', sizes: &["N"], example: &[40] };

    fn read(sizes: &[usize]) -> Self {
        Self { simulations: sizes[0] as u64 }
    }

    fn sizes(&self) -> Vec<usize> {
        // Read from 32 bits.
        vec![self.simulations as usize]
    }
}

impl<E: Environment> Decode<E> for Mcts {
    fn decode(&self, call: &Call<'_, E>) -> Result<Outcome, SearchError> {
        Ok(self.decode_with_tree(call)?.0)
    }

    fn decode_with_tree(
        &self,
        call: &Call<'_, E>,
    ) -> Result<(Outcome, Option<TreeRecord>), SearchError> {
        let Call { environment, evaluator, problem, config, seed, cancel } = *call;
        let tree = config.mcts(self.simulations);
        let record = search_tree(environment, evaluator, problem, &tree, seed, false, cancel)?;
        if record.stop == StopReason::Cancelled {
            return Err(EvaluatorError::Cancelled.into());
        }
        Ok((read_answer(&record, config.tree.answer_rule), Some(record)))
    }
}

/// The answer at the end of [`best_path`] with the steps that lead to it.
fn read_answer(record: &TreeRecord, rule: AnswerRule) -> Outcome {
    let mut outcome = Outcome {
        tokens: record.tokens,
        evaluations: record.evaluations,
        simulations: record.simulations,
        steps_truncated: record.steps_truncated(),
        cut: Cut::in_tree(record),
        ..Outcome::default()
    };
    for node in record.react.values() {
        if let Some(Terminal::Answer(answer)) = &node.terminal {
            outcome.candidates.push(Candidate { answer: answer.clone(), score: score(node, rule) });
        }
    }
    for (_, node) in best_path(record, rule) {
        outcome.solution.push(SolutionStep {
            action: node.action().to_owned(),
            observation: node.observation().to_owned(),
            prior: node.prior,
            value: node.value,
            q: Some(node.q_value),
            visits: Some(node.visit_count),
        });
        if let Some(Terminal::Answer(answer)) = &node.terminal {
            outcome.answer = Some(answer.clone());
        }
    }
    outcome
}

/// Walks from the root: at each level to the child that `rule` puts first among those at or below
/// which there is an answer. Ties go to the first child. Gives the nodes below the root with their
/// tags, the answer last; none when the tree has no answer.
#[must_use]
pub fn best_path(record: &TreeRecord, rule: AnswerRule) -> Vec<(Tag, &NodeRecord)> {
    // Tags of every node at or below which there is an answer.
    let mut leads = std::collections::HashSet::new();
    for (tag, node) in &record.react {
        if let Some(Terminal::Answer(_)) = &node.terminal {
            leads.insert(tag.as_str());
            leads.extend(tag.match_indices('.').map(|(end, _)| &tag[..end]));
        }
    }
    let mut path: Vec<(Tag, &NodeRecord)> = Vec::new();
    loop {
        let tag = path.last().map_or(TreeRecord::ROOT, |(tag, _)| tag);
        let mut children: Vec<(Tag, &NodeRecord)> =
            record.children(tag).filter(|(child, _)| leads.contains(child.as_str())).collect();
        let Some(best) = first_best(children.iter().map(|(_, node)| score(node, rule))) else {
            return path;
        };
        path.push(children.swap_remove(best));
    }
}

fn score(node: &NodeRecord, rule: AnswerRule) -> f64 {
    match rule {
        AnswerRule::QValue => node.q_value,
        AnswerRule::Value => node.value.unwrap_or(-1.0),
        AnswerRule::Visits => node.visit_count as f64,
    }
}
