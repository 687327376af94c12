//! `kind = "outcome"`: the labels of outcome supervision (arXiv 2110.14168).

use anyhow::Result;
use espalier_search::LabelledSolution;
use serde::{Deserialize, Serialize};

use super::{LabelRule, RolloutPlayer};

/// Every step's label is the reward of its path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {}

impl LabelRule for Outcome {
    fn label(
        &self,
        paths: &mut [LabelledSolution],
        _: &mut dyn RolloutPlayer,
        _: u64,
    ) -> Result<()> {
        for path in paths {
            path.steps.iter_mut().for_each(|step| step.q = path.reward);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rollouts::NoRollouts;
    use super::super::tests::{labels, path};
    use super::*;

    #[test]
    fn every_step_has_the_reward() {
        let mut paths =
            [path(&[("a", -0.025), ("b", 0.65), ("=", 0.5)], true), path(&[("a", 0.9)], false)];
        Outcome {}.label(&mut paths, &mut NoRollouts, 0).unwrap();
        assert_eq!(labels(&paths[0]), [1.0, 1.0, 1.0]);
        assert_eq!(labels(&paths[1]), [-1.0]);
    }
}
