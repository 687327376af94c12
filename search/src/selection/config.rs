//! Settings of selection.

use serde::{Deserialize, Serialize};

use super::gumbel::GumbelConfig;
use super::rules::{RuleContext, RuleName, RuleSet};
use super::{FirstPlayUrgency, RootNoise, Unpruning};
use crate::error::ConfigError;

/// Settings of selection beside `c_puct`. The defaults are AlphaMath's: PUCT and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectionConfig {
    /// The rule that orders children, by its name in the table of `selection/rules.rs`.
    pub rule: RuleName,
    /// `puct`: lets the exploration weight grow with visits (see [`super::c_puct_at`]); AlphaZero has
    /// 19652. Absent, the weight is constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c_puct_base: Option<f64>,
    /// What an untried child's Q is taken for, in [-1, 1].
    pub first_play_urgency: f64,
    /// Takes an untried child's Q for its parent's less this times the square root of the tried siblings' summed
    /// priors (see [`super::FirstPlayUrgency::BelowParent`]). Absent, `first_play_urgency` holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_play_reduction: Option<f64>,
    /// Maps Q of siblings and their parent onto [0, 1] before the exploration term is added; under `gumbel` the completed Q
    /// of siblings alone, as mctx does.
    pub normalise_q: bool,
    /// Looks at the children of highest prior first, at more as visits grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpruning: Option<Unpruning>,
    /// Noise on the root's priors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_noise: Option<RootNoise>,
    /// Of the rule `gumbel`.
    pub gumbel: GumbelConfig,
}

impl SelectionConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = ConfigError::require;
        if let Some(base) = self.c_puct_base {
            let positive = base.is_finite() && base > 0.0;
            check(positive, "selection.c_puct_base", &base, "must be a finite number > 0")?;
        }
        let q = self.first_play_urgency;
        let in_range = (-1.0..=1.0).contains(&q);
        check(in_range, "selection.first_play_urgency", &q, "must be in [-1, 1]")?;
        if let Some(reduction) = self.first_play_reduction {
            ConfigError::require_not_negative("selection.first_play_reduction", reduction)?;
        }
        self.unpruning.iter().try_for_each(Unpruning::validate)?;
        self.root_noise.iter().try_for_each(RootNoise::validate)?;
        self.gumbel.validate()
    }

    /// What an untried child's Q is taken for.
    pub(crate) fn first_play(&self) -> FirstPlayUrgency {
        let constant = FirstPlayUrgency::Constant(self.first_play_urgency);
        self.first_play_reduction.map_or(constant, FirstPlayUrgency::BelowParent)
    }

    /// The rules of one search. `c_puct` is the exploration weight of the rules that have one; a rule that plans ahead
    /// plans for `simulations`, the root's own included, and draws its noise from `seed`.
    #[must_use]
    pub fn build(&self, c_puct: f64, simulations: u64, seed: u64) -> RuleSet {
        self.rule.build(&RuleContext { selection: self, c_puct, simulations, seed })
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_bad_field_is_named() {
        SelectionConfig::default().validate().unwrap();
        let cases = [
            ("selection.c_puct_base", r#"{"c_puct_base": 0}"#),
            ("selection.first_play_urgency", r#"{"first_play_urgency": 2}"#),
            ("selection.first_play_reduction", r#"{"first_play_reduction": -1}"#),
            ("selection.unpruning.coefficient", r#"{"unpruning": {"coefficient": 0.5}}"#),
            ("selection.unpruning.exponent", r#"{"unpruning": {"exponent": 2}}"#),
            ("selection.root_noise.alpha", r#"{"root_noise": {"alpha": 0}}"#),
            ("selection.root_noise.fraction", r#"{"root_noise": {"fraction": 1.5}}"#),
            ("selection.gumbel.considered", r#"{"gumbel": {"considered": 0}}"#),
            ("selection.gumbel.noise", r#"{"gumbel": {"noise": -1}}"#),
        ];
        for (field, json) in cases {
            let config: SelectionConfig = serde_json::from_str(json).unwrap();
            assert_eq!(config.validate().unwrap_err().field, field);
        }
        let error = serde_json::from_str::<SelectionConfig>(r#"{"rule": "ucb"}"#).unwrap_err();
        assert!(error.to_string().contains("puct"), "{error}");
    }
}
