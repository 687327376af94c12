//! Which finished paths of a problem are kept.

use std::collections::HashSet;

use espalier_search::{LabelledSolution, derive_seed, shuffle};
use serde::{Deserialize, Serialize};

/// How many solutions a problem gives. The defaults are AlphaMath's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathsRecipe {
    /// Most distinct correct solutions of a problem.
    pub max_correct: usize,
    /// Most distinct incorrect ones, invalid endings included.
    pub max_incorrect: usize,
}

impl Default for PathsRecipe {
    fn default() -> Self {
        Self { max_correct: 4, max_incorrect: 4 }
    }
}

impl PathsRecipe {
    /// Keeps up to `max_correct` correct and `max_incorrect` incorrect paths, in their order.
    ///
    /// Where there are more, a seeded random choice decides, each path with equal chance. Taking those of highest Q, or the first
    /// found, would show the policy mostly the paths that it already prefers, and the label distribution would follow the choice
    /// rather than the search.
    pub fn choose(&self, paths: &mut Vec<LabelledSolution>, seed: u64) {
        let mut chosen = HashSet::new();
        for (stream, correct, most) in [(0, false, self.max_incorrect), (1, true, self.max_correct)]
        {
            let mut indices: Vec<usize> =
                (0..paths.len()).filter(|index| paths[*index].correct == correct).collect();
            shuffle(&mut indices, derive_seed(seed, stream));
            chosen.extend(indices.into_iter().take(most));
        }
        let mut index = 0;
        paths.retain(|_| {
            index += 1;
            chosen.contains(&(index - 1))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::path;
    use super::*;

    #[test]
    fn the_choice_is_bounded_keeps_the_order_and_follows_the_seed() {
        let all: Vec<LabelledSolution> =
            (0..20).map(|index| path(&[(&format!("step {index}"), 0.0)], index % 3 == 0)).collect();
        let chosen = |most: [usize; 2], seed| {
            let [max_correct, max_incorrect] = most;
            let mut paths = all.clone();
            PathsRecipe { max_correct, max_incorrect }.choose(&mut paths, seed);
            paths
        };
        let few = chosen([4, 6], 0);
        assert_eq!(few.iter().filter(|path| path.correct).count(), 4);
        assert_eq!(few.iter().filter(|path| !path.correct).count(), 6);
        let position = |path| all.iter().position(|other| other == path).unwrap();
        assert!(few.iter().map(position).is_sorted());
        assert_eq!(few, chosen([4, 6], 0));
        assert_ne!(few, chosen([4, 6], 1));
        assert!(chosen([0, 0], 0).is_empty());
        assert_eq!(chosen([100, 100], 0), all);
    }
}
