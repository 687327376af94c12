//! Progressive unpruning: few children at first, more as their parent is visited.

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::tree::Child;

/// Selection looks at the `ceil(coefficient N^exponent)` open children of highest prior, the first of equals
/// first (progressive unpruning, Chaslot et al. 2008; Coulom 2007).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unpruning {
    /// Children at the first visit, >= 1.
    pub coefficient: f64,
    /// In [0, 1]: 0 never shows more.
    pub exponent: f64,
}

impl Default for Unpruning {
    fn default() -> Self {
        Self { coefficient: 1.0, exponent: 0.5 }
    }
}

impl Unpruning {
    /// How many children a parent of `visits` visits shows.
    #[must_use]
    pub fn width(&self, visits: f64) -> usize {
        (self.coefficient * visits.max(1.0).powf(self.exponent)).ceil() as usize
    }

    /// Which children are looked at; closed ones never are.
    #[must_use]
    pub fn considered(&self, parent_visits: f64, children: &[Child]) -> Vec<bool> {
        let mut order: Vec<usize> =
            (0..children.len()).filter(|&index| !children[index].is_closed()).collect();
        // Stable: of equal priors the first stays first.
        order.sort_by(|&a, &b| children[b].prior.total_cmp(&children[a].prior));
        let mut considered = vec![false; children.len()];
        for &index in order.iter().take(self.width(parent_visits)) {
            considered[index] = true;
        }
        considered
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let Self { coefficient, exponent } = *self;
        ConfigError::require(
            coefficient.is_finite() && coefficient >= 1.0,
            "selection.unpruning.coefficient",
            &coefficient,
            "must be a finite number >= 1",
        )?;
        ConfigError::require(
            (0.0..=1.0).contains(&exponent),
            "selection.unpruning.exponent",
            &exponent,
            "must be in [0, 1]",
        )
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_open_children_come_first() {
        let child = |prior| Child { prior, ..Child::default() };
        let children = [0.1, 0.4, f64::NAN, 0.4, 0.2].map(child);
        let unpruning = Unpruning { coefficient: 1.0, exponent: 0.5 };
        let considered = |visits| {
            let flags = unpruning.considered(visits, &children);
            (0..flags.len()).filter(|&index| flags[index]).collect::<Vec<_>>()
        };
        assert_eq!(considered(0.0), [1]);
        assert_eq!(considered(2.0), [1, 3]);
        assert_eq!(considered(9.0), [1, 3, 4]);
        assert_eq!(considered(1e6), [0, 1, 3, 4]);
    }
}
