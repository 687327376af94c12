//! Likelihood of right solutions: rejection sampling fine-tuning (STaR, arXiv 2203.14465; RFT, arXiv 2308.01825).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Counts, LabelledPath, Loss, Objective, PathTargets, PolicyTargets, TensorBatch, Unlearnt,
    log_probs,
};
use crate::error::Result;
use crate::net::PolicyValueNet;

/// Mean negative log-likelihood of the tokens of right solutions. The value head learns nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sft {
    /// Whether the policy also learns to write observations.
    pub observation_loss: bool,
}

impl Default for Sft {
    fn default() -> Self {
        Self { observation_loss: true }
    }
}

impl Objective for Sft {
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    fn targets(&self, paths: &[LabelledPath<'_>]) -> Result<Vec<PathTargets>, Unlearnt> {
        if !paths.iter().any(|path| path.correct) {
            return Err(Unlearnt("without a right solution"));
        }
        let right = PolicyTargets::with_observations(self.observation_loss);
        let targets = paths.iter().map(|path| {
            let policy = if path.correct { right } else { PolicyTargets::None };
            PathTargets::uniform(path, policy, 1.0)
        });
        Ok(targets.collect())
    }

    fn leaves_observations_out(&self) -> bool {
        !self.observation_loss
    }

    fn loss(
        &self,
        net: &PolicyValueNet,
        hidden: &Tensor,
        batch: &TensorBatch,
        whole: Counts,
    ) -> Result<Loss> {
        self.of_log_probs(&log_probs(net, hidden, batch)?, whole)
    }
}

impl Sft {
    fn of_log_probs(&self, log_probs: &Tensor, whole: Counts) -> Result<Loss> {
        let sum = log_probs.f_sum(Kind::Float)?;
        let total = sum.f_mul_scalar(-1.0 / whole.policy as f64)?;
        let parts = vec![("policy_loss", total.shallow_clone())];
        Ok(Loss { total, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::testing::{Written, assert_near, differentiate, path};

    #[test]
    fn only_right_solutions_are_learnt() {
        let paths = [path(true), path(false)];
        let targets = Sft::default().targets(&paths).unwrap();
        let step = |path: usize| targets[path].steps[0];
        assert_eq!((step(0).policy, step(0).value), (PolicyTargets::Steps, None));
        assert_eq!(step(1).policy, PolicyTargets::None);
        let actions = Sft { observation_loss: false }.targets(&paths).unwrap();
        assert_eq!(actions[0].steps[0].policy, PolicyTargets::Actions);
        let reason = Sft::default().targets(&paths[1..]).unwrap_err();
        assert_eq!(reason, Unlearnt("without a right solution"));
    }

    #[test]
    fn the_loss_is_the_mean_over_the_tokens_of_right_solutions() {
        let written = [
            Written { correct: true, now: &[-0.5, -1.5], ..Written::default() },
            Written { correct: false, now: &[-9.0], ..Written::default() },
            Written { correct: true, now: &[-1.0], ..Written::default() },
        ];
        let sft = Sft::default();
        let found = differentiate(&sft, &written, |now, _, whole| sft.of_log_probs(now, whole));
        // (0.5 + 1.5 + 1) / 3.
        assert_near(&[found.total(), found.part("policy_loss")], &[1.0, 1.0]);
        assert_near(&found.gradient, &[-1.0 / 3.0; 3]);
    }
}
