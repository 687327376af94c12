//! The tokens of a sampled step, for what is trained on exactly what the policy wrote.

use serde::{Deserialize, Serialize};

/// The tokens that a policy sampled for one step, the delimiter's included, in order. Both lists have the same length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampledTokens {
    /// Ids in the vocabulary of the policy.
    pub ids: Box<[u32]>,
    /// Log-probability in nats of each token after those before it, under the policy that sampled it, at temperature 1
    /// and without cuts like top-p; <= 0.
    pub log_probs: Box<[f32]>,
}

impl SampledTokens {
    /// Sum of the log-probabilities, in nats: [`crate::evaluator::Proposal::log_prob`] but for the rounding to `f32`.
    #[must_use]
    pub fn log_prob(&self) -> f64 {
        self.log_probs.iter().copied().map(f64::from).sum()
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.ids) + size_of_val(&*self.log_probs)
    }

    /// What is wrong with the lists of a step of so many tokens.
    pub(crate) fn fault(&self, tokens: usize) -> Option<String> {
        let Self { ids, log_probs } = self;
        if ids.len() != tokens || log_probs.len() != tokens {
            let (ids, log_probs) = (ids.len(), log_probs.len());
            return Some(format!(
                "{ids} token ids and {log_probs} log-probabilities of {tokens} sampled tokens"
            ));
        }
        // With room for rounding.
        let wrong = log_probs.iter().find(|number| !(number.is_finite() && **number <= 1e-3));
        wrong.map(|number| format!("log-probability {number} of a token"))
    }
}
