//! `dvts:NxM`: diverse verifier tree search (Beeching, Tunstall and Rush 2024, "Scaling test-time compute with open models").

use super::decoding::{Call, Decode, Form, Named};
use super::outcome::Outcome;
use crate::beam::{best_first, take_steps};
use crate::environment::Environment;
use crate::error::SearchError;
use crate::growth::{Ask, Growth, Number, ROOT, Sampling};
use crate::mcts::MctsConfig;
use crate::seed::derive_seed;

/// Independent greedy step searches, and the answer of the one whose final state the value net rates highest.
///
/// Each of `subtrees` grows one partial solution: a level samples `samples` steps from it and keeps the valid one of highest
/// value, the first of equals. A subtree ends with an answer, or without one when none of its steps is valid or
/// `max_depth` levels are done. Where a step-level beam of the same budget lets one good prefix crowd out the others, each
/// subtree keeps its own, so that solutions stay diverse. A level asks the policy for `samples` steps a subtree that is
/// still open, and the value net once for each valid child; duplicates that `remove_duplicate` drops are sampled and
/// counted, and not valued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dvts {
    /// Subtrees (N), >= 1.
    pub subtrees: usize,
    /// Steps sampled from each at every level (M), >= 1.
    pub samples: usize,
}

impl Named for Dvts {
    const FORM: Form = Form { name: "dvts", separator: ':', sizes: &["N", "M"], example: &[4, 4] };

    fn read(sizes: &[usize]) -> Self {
        Self { subtrees: sizes[0], samples: sizes[1] }
    }

    fn sizes(&self) -> Vec<usize> {
        vec![self.subtrees, self.samples]
    }
}

impl<E: Environment> Decode<E> for Dvts {
    fn decode(&self, call: &Call<'_, E>) -> Result<Outcome, SearchError> {
        let mut growth = call.growth()?;
        let ends = self.search(&mut growth, call)?;
        let (answers, open): (Vec<Number>, Vec<Number>) =
            ends.into_iter().partition(|node| growth.node(*node).answer().is_some());
        let outcome = Outcome::best(&growth, &answers);
        Ok(if open.is_empty() { outcome } else { outcome.out_of_steps() })
    }
}

impl Dvts {
    /// The nodes that the subtrees come to, answers and those whose steps have run out, in the order of the subtrees.
    fn search<E: Environment>(
        &self,
        growth: &mut Growth<'_, E>,
        call: &Call<'_, E>,
    ) -> Result<Vec<Number>, SearchError> {
        let tree = &call.config.tree;
        let MctsConfig { temperature, without_replacement, .. } = *tree;
        let sampling = Sampling { temperature, without_replacement };
        let mut frontier = vec![Some(ROOT); self.subtrees];
        for level in 0..tree.max_depth as u64 {
            let is_open = |node: &Number| growth.node(*node).terminal.is_none();
            let open: Vec<(usize, Number)> = frontier
                .iter()
                .enumerate()
                .filter_map(|(subtree, node)| Some((subtree, node.filter(is_open)?)))
                .collect();
            if open.is_empty() {
                break;
            }
            let level_seed = derive_seed(call.seed, level);
            let ask = |(subtree, node): &(usize, Number)| Ask {
                node: *node,
                samples: self.samples,
                seed: derive_seed(level_seed, *subtree as u64),
            };
            let asked: Vec<Ask> = open.iter().map(ask).collect();
            let families = take_steps(growth, &asked, sampling, call.config.remove_duplicate)?;
            growth.score(&families.concat())?;
            for ((subtree, _), family) in open.into_iter().zip(families) {
                frontier[subtree] = best_first(growth, family).first().copied();
            }
        }
        Ok(frontier.into_iter().flatten().collect())
    }
}
