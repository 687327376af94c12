//! Negative-aware fine-tuning (NFT, arXiv 2505.18116): wrong solutions train the policy through an implicit negative policy.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{
    Average, Counts, Grouping, LabelledPath, LogProbs, Loss, Objective, PathTargets, PolicyTargets,
    TensorBatch, Unlearnt, log_probs,
};
use crate::error::Result;
use crate::net::PolicyValueNet;
use crate::settings::Setting;

/// With `R` the ratio of a token's probabilities under the trained net and under the policy that wrote it, and `r` the share of
/// right paths of the problem: `-w log R` for a token of a right path, `-w log max(q, floor)` with `q = (1 - r R) / (1 - r)`
/// for one of a wrong path. Below the floor the gradient of `q` is kept. The value head learns nothing, and the policy only what
/// it writes itself: actions and the token that ends each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nft {
    /// Least ratio of a wrong token's probabilities under the implicit negative policies, above 0.
    pub floor: f64,
    /// `r` is kept at least this far from 0 and 1, in [0, 0.5).
    pub rate_margin: f64,
    /// The weight `w` of a problem.
    pub weight: ProblemWeight,
    /// What the mean is over.
    pub average: Average,
}

/// The weight of a problem of which a share `r` of the paths is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemWeight {
    /// 1.
    Uniform,
    /// `sqrt((1 - r) / r)`: on-policy, the gradient of GRPO with standardised advantages.
    Grpo,
    /// `1 - r`: on-policy, the gradient of GRPO with plain advantages.
    DrGrpo,
}

impl Default for Nft {
    fn default() -> Self {
        Self {
            floor: 1.0,
            rate_margin: 0.02,
            weight: ProblemWeight::Uniform,
            average: Average::Tokens,
        }
    }
}

impl ProblemWeight {
    fn of(self, rate: f64) -> f64 {
        match self {
            Self::Uniform => 1.0,
            Self::Grpo => ((1.0 - rate) / rate).sqrt(),
            Self::DrGrpo => 1.0 - rate,
        }
    }
}

impl Objective for Nft {
    fn validate(&self) -> Result<()> {
        Setting("floor", self.floor).positive()?;
        let margin = self.rate_margin;
        Setting("rate_margin", margin).require((0.0..0.5).contains(&margin), "in [0, 0.5)")
    }

    fn targets(&self, paths: &[LabelledPath<'_>]) -> Result<Vec<PathTargets>, Unlearnt> {
        if paths.len() < 2 {
            return Err(Unlearnt::ONE_PATH);
        }
        let right = paths.iter().filter(|path| path.correct).count();
        if right == 0 || right == paths.len() {
            return Err(Unlearnt("whose paths are all right or all wrong"));
        }
        let rate = right as f64 / paths.len() as f64;
        let rate = rate.clamp(self.rate_margin, 1.0 - self.rate_margin);
        let weight = self.weight.of(rate) as f32;
        let targets = paths.iter().map(|path| PathTargets {
            signals: vec![f32::from(u8::from(path.correct)), rate as f32],
            ..PathTargets::uniform(path, PolicyTargets::Actions, weight).averaged(self.average)
        });
        Ok(targets.collect())
    }

    fn grouping(&self) -> Grouping {
        Grouping::Step
    }

    fn log_probs(&self) -> LogProbs {
        LogProbs { old: true, reference: false }
    }

    fn loss(
        &self,
        net: &PolicyValueNet,
        hidden: &Tensor,
        batch: &TensorBatch,
        whole: Counts,
    ) -> Result<Loss> {
        self.of_log_probs(&log_probs(net, hidden, batch)?, batch, whole)
    }
}

impl Nft {
    pub(super) fn of_log_probs(
        &self,
        now: &Tensor,
        batch: &TensorBatch,
        whole: Counts,
    ) -> Result<Loss> {
        let (right, rate) = (batch.signal(0)?, batch.signal(1)?);
        let wrong = right.f_neg()?.f_add_scalar(1.0)?;
        let log_ratio = now.f_sub(&batch.old_log_probs)?;
        let complement = rate.f_neg()?.f_add_scalar(1.0)?;
        let negative = rate.f_mul(&log_ratio.f_exp()?)?.f_neg()?.f_add_scalar(1.0)?;
        let negative = negative.f_div(&complement)?;
        // The floor's value and the ratio's own gradient.
        let floored = negative.f_clamp_min(self.floor)?.f_detach()?;
        let negative = negative.f_sub(&negative.f_detach()?)?.f_add(&floored)?.f_log()?;
        let mean = |numbers: Tensor| batch.mean(&numbers.f_neg()?, self.average, whole);
        let positive_loss = mean(log_ratio.f_mul(&right)?)?;
        let negative_loss = mean(negative.f_mul(&wrong)?)?;
        let total = positive_loss.f_add(&negative_loss)?;
        let parts = vec![("positive_loss", positive_loss), ("negative_loss", negative_loss)];
        Ok(Loss { total, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::testing::{Found, Written, assert_near, differentiate, path};

    #[test]
    fn a_problem_teaches_by_both_kinds_of_path() {
        let paths = [path(true), path(false), path(false), path(false)];
        let weights = |weight| {
            let nft = Nft { weight, ..Nft::default() };
            f64::from(nft.targets(&paths).unwrap()[3].steps[0].weight)
        };
        let found = [ProblemWeight::Uniform, ProblemWeight::Grpo, ProblemWeight::DrGrpo];
        assert_near(&found.map(weights), &[1.0, 3f64.sqrt(), 0.75]);
        assert_eq!(Nft::default().targets(&paths).unwrap()[0].signals, [1.0, 0.25]);
        let wide = Nft { rate_margin: 0.3, ..Nft::default() };
        assert_eq!(wide.targets(&paths).unwrap()[1].signals, [0.0, 0.3]);
        let refused = |paths: &[LabelledPath<'_>]| Nft::default().targets(paths).unwrap_err();
        assert_eq!(refused(&paths[..1]), Unlearnt::ONE_PATH);
        assert_eq!(refused(&paths[1..]), Unlearnt("whose paths are all right or all wrong"));
    }

    /// Two right paths and two wrong ones (r = 1/2) of a token each, with these ratios.
    fn found(nft: &Nft, ratios: [f32; 4]) -> Found {
        let now = ratios.map(|ratio| -2.0 + ratio.ln());
        let written: Vec<Written<'_>> = now
            .chunks(1)
            .enumerate()
            .map(|(index, now)| Written {
                correct: index < 2,
                now,
                old: &[-2.0],
                ..Written::default()
            })
            .collect();
        differentiate(nft, &written, |now, batch, whole| nft.of_log_probs(now, batch, whole))
    }

    #[test]
    fn the_loss_is_the_paper_s() {
        // q = 2 - R: 0.8 and 1.5.
        let nft = Nft { floor: 0.1, ..Nft::default() };
        let found = found(&nft, [1.0, 1.5, 1.2, 0.5]);
        let positive = -1.5f64.ln() / 4.0;
        let negative = -(0.8f64.ln() + 1.5f64.ln()) / 4.0;
        assert_near(
            &[found.part("positive_loss"), found.part("negative_loss"), found.total()],
            &[positive, negative, positive + negative],
        );
        // By log pi: -1 for right tokens, R / q for wrong ones, as dq = -R.
        assert_near(&found.gradient, &[-0.25, -0.25, 1.2 / 0.8 / 4.0, 0.5 / 1.5 / 4.0]);
    }

    #[test]
    fn below_the_floor_the_gradient_is_kept() {
        // q = -1 and 0.8, both lifted to 1.
        let found = found(&Nft::default(), [1.0, 1.0, 3.0, 1.2]);
        assert_near(&[found.part("negative_loss")], &[0.0]);
        assert_near(&found.gradient, &[-0.25, -0.25, 3.0 / 4.0, 1.2 / 4.0]);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (field, bad) in [
            ("floor", Nft { floor: 0.0, ..Nft::default() }),
            ("rate_margin", Nft { rate_margin: 0.5, ..Nft::default() }),
        ] {
            let message = bad.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }
}
