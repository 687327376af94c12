//! `kind = "best"`: whether anything right was found behind a step.

use anyhow::Result;
use espalier_search::LabelledSolution;
use serde::{Deserialize, Serialize};

use super::through::Nodes;
use super::{LabelRule, RolloutPlayer};

/// A step's label is the best reward of the trees' finished paths through it, those that are not kept included: Math-Shepherd's hard
/// estimate (arXiv 2312.08935, Eq. 3) with the trees' own paths as roll-outs. Q falls with every wrong path beside a right one;
/// this label does not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {}

impl LabelRule for Best {
    fn labels_nodes(&self) -> bool {
        true
    }

    fn survey(&self, paths: &mut [LabelledSolution]) {
        let best = |best: &mut f64, reward: f64| *best = best.max(reward);
        Nodes::of(paths).fold(paths, -1.0, best, |best| *best);
    }

    fn label(&self, _: &mut [LabelledSolution], _: &mut dyn RolloutPlayer, _: u64) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{labels, path};
    use super::*;

    #[test]
    fn a_step_before_a_right_answer_is_right_whatever_else_is_behind_it() {
        let mut paths = [
            path(&[("a", -0.9), ("b", 0.1), ("=", 0.5)], true),
            path(&[("a", -0.9), ("b", 0.1), ("!", 0.5)], false),
            path(&[("a", -0.9), ("c", 0.2)], false),
            // The same step behind another is another step.
            path(&[("b", 0.7)], false),
        ];
        Best {}.survey(&mut paths);
        let expected: [&[f64]; 4] = [&[1.0, 1.0, 1.0], &[1.0, 1.0, -1.0], &[1.0, -1.0], &[-1.0]];
        assert_eq!(paths.each_ref().map(labels), expected.map(<[f64]>::to_vec));
    }
}
