//! `kind = "q_value"`: AlphaMath's labels (arXiv 2405.03553, section 3).

use anyhow::Result;
use espalier_search::LabelledSolution;
use serde::{Deserialize, Serialize};

use super::{LabelRule, RolloutPlayer};

/// A step's label is Q(s, a), the mean of the values that the search backed up through it; the last step's is the reward
/// itself, whatever the search backed up there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QValue {}

impl LabelRule for QValue {
    fn labels_nodes(&self) -> bool {
        true
    }

    fn label(
        &self,
        paths: &mut [LabelledSolution],
        _: &mut dyn RolloutPlayer,
        _: u64,
    ) -> Result<()> {
        for path in paths {
            if let Some(last) = path.steps.last_mut() {
                last.q = path.reward;
            }
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
    fn the_last_step_has_the_reward_and_the_others_their_q() {
        let mut paths =
            [path(&[("a", -0.025), ("b", 0.65), ("=", 0.5)], true), path(&[("!", 0.25)], false)];
        QValue {}.label(&mut paths, &mut NoRollouts, 0).unwrap();
        assert_eq!(labels(&paths[0]), [-0.025, 0.65, 1.0]);
        assert_eq!(labels(&paths[1]), [-1.0]);
    }
}
