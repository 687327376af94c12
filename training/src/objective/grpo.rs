//! GRPO: rewards normalised within the paths of a problem, in PPO's clipped surrogate (DeepSeekMath, arXiv 2402.03300, Eq. 3 and
//! 4), with DAPO's token-level mean and higher upper clip (arXiv 2503.14476) and Dr. GRPO's plain advantage (arXiv 2503.20783)
//! as settings.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Average, Counts, Grouping, LabelledPath, LogProbs, Loss, Objective, PathTargets, PolicyTargets,
    TensorBatch, Unlearnt, log_probs,
};
use crate::error::Result;
use crate::net::PolicyValueNet;
use crate::settings::Setting;

/// `-min(R A, clip(R, 1 - clip_low, 1 + clip_high) A) + kl * (e^(d) - d - 1)` a token, with `R` the ratio of the token's
/// probabilities under the trained net and under the policy that wrote it, `A` the path's advantage in its problem and
/// `d = log(reference / trained)`. The value head learns nothing, and the policy only what it writes itself: actions and the
/// token that ends each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grpo {
    /// How far the ratio may fall below 1, in [0, 1).
    pub clip_low: f64,
    /// How far it may rise above 1.
    pub clip_high: f64,
    /// Weight of the divergence from the net that training starts from; 0 computes none. The paper's is 0.04.
    pub kl: f64,
    /// Whether advantages are divided by the standard deviation of the problem's rewards (over all its paths).
    pub standardise: bool,
    /// What the mean is over.
    pub average: Average,
}

impl Default for Grpo {
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: 0.2, kl: 0.0, standardise: true, average: Average::Paths }
    }
}

impl Objective for Grpo {
    fn validate(&self) -> Result<()> {
        Setting("clip_low", self.clip_low).below_one()?;
        Setting("clip_high", self.clip_high).not_negative()?;
        Setting("kl", self.kl).not_negative()
    }

    fn targets(&self, paths: &[LabelledPath<'_>]) -> Result<Vec<PathTargets>, Unlearnt> {
        if paths.len() < 2 {
            return Err(Unlearnt::ONE_PATH);
        }
        let count = paths.len() as f64;
        let mean = paths.iter().map(|path| path.reward).sum::<f64>() / count;
        let variance = paths.iter().map(|path| (path.reward - mean).powi(2)).sum::<f64>() / count;
        if variance < 1e-12 {
            return Err(Unlearnt("whose paths have one reward"));
        }
        let scale = if self.standardise { variance.sqrt() } else { 1.0 };
        let targets = paths.iter().map(|path| PathTargets {
            signals: vec![((path.reward - mean) / scale) as f32],
            ..PathTargets::uniform(path, PolicyTargets::Actions, 1.0).averaged(self.average)
        });
        Ok(targets.collect())
    }

    fn grouping(&self) -> Grouping {
        Grouping::Step
    }

    fn log_probs(&self) -> LogProbs {
        LogProbs { old: true, reference: self.kl > 0.0 }
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

impl Grpo {
    fn of_log_probs(&self, now: &Tensor, batch: &TensorBatch, whole: Counts) -> Result<Loss> {
        let mean = |numbers: &Tensor| batch.mean(numbers, self.average, whole);
        let advantage = batch.signal(0)?;
        let ratio = now.f_sub(&batch.old_log_probs)?.f_exp()?;
        let clipped = ratio.f_clamp(1.0 - self.clip_low, 1.0 + self.clip_high)?;
        let (free, bound) = (ratio.f_mul(&advantage)?, clipped.f_mul(&advantage)?);
        let policy = mean(&free.f_minimum(&bound)?.f_neg()?)?;
        let binds = free.f_gt_tensor(&bound)?.f_to_kind(Kind::Float)?;
        let mut parts =
            vec![("policy_loss", policy.shallow_clone()), ("clip_fraction", mean(&binds)?)];
        let mut total = policy;
        if self.kl > 0.0 {
            let distance = batch.reference_log_probs.f_sub(now)?;
            let divergence = mean(&distance.f_exp()?.f_sub(&distance)?.f_sub_scalar(1.0)?)?;
            total = total.f_add(&divergence.f_mul_scalar(self.kl)?)?;
            parts.push(("kl", divergence));
        }
        Ok(Loss { total, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::nft::{Nft, ProblemWeight};
    use crate::objective::testing::{Written, assert_near, differentiate, path};

    #[test]
    fn advantages_are_normalised_within_the_problem() {
        // Rewards 1, -1, -1, -1: mean -1/2, standard deviation sqrt(3)/2.
        let paths = [path(true), path(false), path(false), path(false)];
        let signals = |grpo: Grpo| -> Vec<f64> {
            let targets = grpo.targets(&paths).unwrap();
            targets.iter().map(|targets| f64::from(targets.signals[0])).collect()
        };
        let (high, low) = (3f64.sqrt(), -1.0 / 3f64.sqrt());
        assert_near(&signals(Grpo::default()), &[high, low, low, low]);
        let plain = Grpo { standardise: false, ..Grpo::default() };
        assert_near(&signals(plain), &[1.5, -0.5, -0.5, -0.5]);
        let refused = |paths: &[LabelledPath<'_>]| Grpo::default().targets(paths).unwrap_err();
        assert_eq!(refused(&paths[..1]), Unlearnt::ONE_PATH);
        assert_eq!(refused(&paths[1..]), Unlearnt("whose paths have one reward"));
    }

    /// One right path of two tokens, one wrong path of one: advantages 1 and -1. Ratios 1.5, 0.9 and 0.5 as logarithms of what
    /// the tests choose.
    fn found(grpo: &Grpo, ratios: [f32; 3]) -> (f64, f64, Vec<f64>, Option<f64>) {
        let now = ratios.map(|ratio| -1.0 + ratio.ln());
        let written = [
            Written { correct: true, now: &now[..2], old: &[-1.0; 2], reference: &[-1.0; 2] },
            Written { correct: false, now: &now[2..], old: &[-1.0], reference: &[-1.0] },
        ];
        let found =
            differentiate(grpo, &written, |now, batch, whole| grpo.of_log_probs(now, batch, whole));
        let kl = (grpo.kl > 0.0).then(|| found.part("kl"));
        (found.total(), found.part("clip_fraction"), found.gradient, kl)
    }

    #[test]
    fn the_surrogate_is_clipped_on_the_side_where_it_would_gain() {
        let token = Grpo { average: Average::Tokens, ..Grpo::default() };
        // -min(1.5, 1.2), -min(0.9, 0.9), -min(-0.5, -0.8): the first and the last are clipped and have no gradient.
        let (total, clipped, gradient, _) = found(&token, [1.5, 0.9, 0.5]);
        assert_near(&[total, clipped], &[(-1.2 - 0.9 + 0.8) / 3.0, 2.0 / 3.0]);
        assert_near(&gradient, &[0.0, -0.9 / 3.0, 0.0]);
        // Where it would lose, nothing is clipped: -min(0.5, 0.8), -min(-1.5, -1.2).
        let (total, clipped, gradient, _) = found(&token, [0.5, 1.0, 1.5]);
        assert_near(&[total, clipped], &[(-0.5 - 1.0 + 1.5) / 3.0, 0.0]);
        assert_near(&gradient, &[-0.5 / 3.0, -1.0 / 3.0, 1.5 / 3.0]);
    }

    #[test]
    fn the_mean_is_over_tokens_or_over_paths() {
        // Over paths: the right path's tokens weigh a half each, and two paths share the sum.
        let (total, _, gradient, _) = found(&Grpo::default(), [1.0, 0.9, 1.1]);
        assert_near(&[total], &[(-(1.0 + 0.9) / 2.0 + 1.1) / 2.0]);
        assert_near(&gradient, &[-1.0 / 4.0, -0.9 / 4.0, 1.1 / 2.0]);
        let wide = Grpo { clip_high: 0.6, average: Average::Tokens, ..Grpo::default() };
        let (total, clipped, ..) = found(&wide, [1.5, 0.9, 1.0]);
        assert_near(&[total, clipped], &[(-1.5 - 0.9 + 1.0) / 3.0, 0.0]);
    }

    #[test]
    fn the_divergence_is_the_paper_s_estimator() {
        let grpo = Grpo { kl: 0.5, average: Average::Tokens, ..Grpo::default() };
        assert_eq!(grpo.log_probs(), LogProbs { old: true, reference: true });
        assert!(!Grpo::default().log_probs().reference);
        // d = -ln R: 1/R + ln R - 1 a token, with the derivative 1 - 1/R.
        let ratios = [1.0f64, 0.9, 1.1];
        let (total, _, gradient, kl) = found(&grpo, ratios.map(|ratio| ratio as f32));
        let mean = ratios.iter().map(|ratio| 1.0 / ratio + ratio.ln() - 1.0).sum::<f64>() / 3.0;
        let surrogate = (-1.0 - 0.9 + 1.1) / 3.0;
        assert_near(&[kl.unwrap(), total], &[mean, surrogate + 0.5 * mean]);
        let slope = ratios.map(|ratio| 0.5 * (1.0 - 1.0 / ratio) / 3.0);
        let surrogate = [-1.0 / 3.0, -0.9 / 3.0, 1.1 / 3.0];
        let expected: Vec<f64> = slope.iter().zip(surrogate).map(|(a, b)| a + b).collect();
        assert_near(&gradient, &expected);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for (field, bad) in [
            ("clip_low", Grpo { clip_low: 1.0, ..Grpo::default() }),
            ("clip_high", Grpo { clip_high: -0.1, ..Grpo::default() }),
            ("kl", Grpo { kl: f64::NAN, ..Grpo::default() }),
        ] {
            let message = bad.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }

    /// On-policy, NFT with the weight sqrt((1 - r) / r) has GRPO's gradient.
    #[test]
    fn nft_has_its_gradient_on_policy() {
        let numbers: Vec<f32> = (0..24).map(|index| -0.2 - (index * 7 % 24) as f32 / 9.0).collect();
        for right in 1..8 {
            let written: Vec<Written<'_>> = (0..8)
                .map(|index| {
                    let now = &numbers[3 * index..3 * index + 1 + index % 3];
                    Written { correct: index < right, now, old: now, ..Written::default() }
                })
                .collect();
            for average in [Average::Tokens, Average::Paths] {
                let grpo = Grpo { average, ..Grpo::default() };
                let nft = Nft { average, weight: ProblemWeight::Grpo, ..Nft::default() };
                let one = differentiate(&grpo, &written, |now, batch, whole| {
                    grpo.of_log_probs(now, batch, whole)
                });
                let other = differentiate(&nft, &written, |now, batch, whole| {
                    nft.of_log_probs(now, batch, whole)
                });
                assert_near(&one.gradient, &other.gradient);
                assert!(one.gradient.iter().all(|number| number.abs() > 1e-3));
            }
        }
    }
}
