//! `[labels.nodes]`: the nodes of a problem's trees, not those of its kept paths alone, as targets of the value head.

use espalier_search::{HarvestError, LabelledSolution, TreeRecord, node_paths};
use serde::{Deserialize, Serialize};

use super::through::Nodes;

/// Which nodes, and what each weighs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodesRecipe {
    /// The visits from which a node is a target; 0: the nodes of the kept paths alone, once for each path.
    pub min_visits: u64,
    /// A node weighs its visits to this power, in [0, 1]: 1 as the search trusted it, 0 all alike.
    pub visit_power: f64,
}

impl Default for NodesRecipe {
    fn default() -> Self {
        Self { min_visits: 0, visit_power: 1.0 }
    }
}

impl NodesRecipe {
    /// Whether only kept paths give targets.
    pub(crate) fn is_off(&self) -> bool {
        self.min_visits == 0
    }

    /// The ways to the nodes of a problem's trees that have visits enough.
    ///
    /// # Errors
    /// When the trees cannot be harvested.
    pub fn of(&self, trees: &[TreeRecord]) -> Result<Vec<LabelledSolution>, HarvestError> {
        if self.is_off() { Ok(Vec::new()) } else { node_paths(trees, self.min_visits) }
    }

    /// Weighs the steps of a problem's paths: of equal beginnings the first has the node's weight and the others 0, so that each node is one
    /// target. A node weighs 1 on average. Ways without a node of their own are left out.
    pub fn weigh(&self, paths: &mut Vec<LabelledSolution>) {
        if self.is_off() {
            return;
        }
        let nodes = Nodes::of(paths);
        let mut sum = 0.0;
        for (path, first) in paths.iter_mut().zip(nodes.first_visits()) {
            for (step, first) in path.steps.iter_mut().zip(first) {
                let weight =
                    if first { (step.visits.max(1) as f64).powf(self.visit_power) } else { 0.0 };
                sum += weight;
                step.weight = Some(weight);
            }
        }
        let has_own = |path: &LabelledSolution| {
            path.steps.iter().any(|step| step.weight.is_some_and(|weight| weight > 0.0))
        };
        paths.retain(|path| !path.values_only || has_own(path));
        for step in paths.iter_mut().flat_map(|path| &mut path.steps) {
            step.weight = step.weight.map(|weight| weight * nodes.count as f64 / sum);
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Naming the key that cannot be used.
    pub fn validate(&self) -> Result<(), String> {
        if (0.0..=1.0).contains(&self.visit_power) {
            return Ok(());
        }
        Err(format!("nodes.visit_power must be in [0, 1], is {}", self.visit_power))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::path;
    use super::*;

    /// A path whose steps have these visits.
    fn visited(steps: &[(&str, u64)], correct: bool) -> LabelledSolution {
        let texts: Vec<_> = steps.iter().map(|&(action, _)| (action, 0.5)).collect();
        let mut path = path(&texts, correct);
        path.steps.iter_mut().zip(steps).for_each(|(step, &(_, visits))| step.visits = visits);
        path
    }

    fn weights(paths: &[LabelledSolution]) -> Vec<Vec<f64>> {
        let of_path =
            |path: &LabelledSolution| path.steps.iter().map(|step| step.weight.unwrap()).collect();
        paths.iter().map(of_path).collect()
    }

    #[test]
    fn every_node_is_one_target_by_its_visits() {
        let way =
            |steps: &[(&str, u64)]| LabelledSolution { values_only: true, ..visited(steps, false) };
        let paths = vec![
            visited(&[("a", 9), ("b", 4), ("=", 1)], true),
            visited(&[("a", 9), ("c", 1)], false),
            way(&[("a", 9), ("b", 4)]),
            way(&[("a", 9), ("d", 0)]),
        ];
        let weighed = |visit_power| {
            let mut paths = paths.clone();
            NodesRecipe { min_visits: 2, visit_power }.weigh(&mut paths);
            weights(&paths)
        };
        // Five nodes with 16 visits; one that was never visited counts as visited once.
        let unit = 5.0 / 16.0;
        let expected = [vec![9.0 * unit, 4.0 * unit, unit], vec![0.0, unit], vec![0.0, unit]];
        let flat = |weights: &[Vec<f64>]| weights.concat();
        let found = weighed(1.0);
        assert_eq!(found.len(), 3, "the third path has no node of its own");
        for (found, expected) in flat(&found).iter().zip(flat(&expected)) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(weighed(0.0), [vec![1.0, 1.0, 1.0], vec![0.0, 1.0], vec![0.0, 1.0]]);
        let mut plain = paths.clone();
        NodesRecipe::default().weigh(&mut plain);
        assert_eq!(plain, paths);
    }

    #[test]
    fn a_power_outside_its_range_is_refused() {
        for visit_power in [-0.1, 1.1, f64::NAN] {
            let error = NodesRecipe { min_visits: 1, visit_power }.validate().unwrap_err();
            assert!(error.contains("nodes.visit_power"), "{error}");
        }
    }
}
