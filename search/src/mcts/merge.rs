//! Root parallelism: trees of one problem become one.

use indexmap::IndexMap;

use crate::snapshot::{NodeRecord, Nodes, StopReason, Tag, TreeRecord};

/// Merges trees of one problem by the texts of their steps: visits add up and Q is the mean over all of them. Of
/// siblings with equal text, in one tree or in several, one is left; values, priors and endings are those of the first.
/// None without a tree.
pub(super) fn merge(trees: Vec<TreeRecord>) -> Option<TreeRecord> {
    let mut trees = trees.into_iter();
    let first = trees.next()?;
    let mut merged = TreeRecord { react: Nodes::default(), ..first.clone() };
    add_nodes(&mut merged, &first);
    for tree in trees {
        merged.simulations += tree.simulations;
        merged.tokens += tree.tokens;
        merged.evaluations += tree.evaluations;
        merged.collisions += tree.collisions;
        merged.stop = match (merged.stop, tree.stop) {
            (one, other) if one == other => one,
            (StopReason::Cancelled, _) | (_, StopReason::Cancelled) => StopReason::Cancelled,
            // Some trees were exhausted and others were not.
            _ => StopReason::Simulations,
        };
        add_nodes(&mut merged, &tree);
    }
    Some(merged)
}

/// Adds each node of `tree` where the texts on its way lead; parents come before their children in both.
fn add_nodes(merged: &mut TreeRecord, tree: &TreeRecord) {
    let mut tags: IndexMap<&str, Tag> = IndexMap::new();
    for (tag, node) in &tree.react {
        let place = match tag.rsplit_once('.') {
            None => Tag::const_new(TreeRecord::ROOT),
            // A node whose parent is missing cannot come from a search.
            Some((parent, _)) => match tags.get(parent) {
                Some(parent) => place_of(merged, parent, node.text()),
                None => continue,
            },
        };
        match merged.react.get_mut(&place) {
            Some(there) => add(there, node),
            None => {
                merged.react.insert(place.clone(), node.clone());
            }
        }
        tags.insert(tag, place);
    }
}

/// The tag of the child of `parent` with this text, or of the next new one.
fn place_of(merged: &TreeRecord, parent: &str, text: &str) -> Tag {
    let mut count = 0;
    for (tag, child) in merged.children(parent) {
        if child.text() == text {
            return tag;
        }
        count += 1;
    }
    TreeRecord::child_tag(parent, count)
}

fn add(there: &mut NodeRecord, node: &NodeRecord) {
    let sum = there.q_value * there.visit_count as f64 + node.q_value * node.visit_count as f64;
    there.visit_count += node.visit_count;
    there.q_value = if there.visit_count == 0 { 0.0 } else { sum / there.visit_count as f64 };
    there.value = there.value.or(node.value);
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use crate::testing::{HashedEvaluator, LetterGame};
    use crate::{Cancel, MctsConfig, search_tree};

    fn grow(seed: u64) -> TreeRecord {
        let net = HashedEvaluator::new(1, ["a", "b", "c", "="]);
        let problem = LetterGame::problem("p", "ab");
        let config = MctsConfig { simulations: 15, ..MctsConfig::default() };
        search_tree(&LetterGame::default(), &net, &problem, &config, seed, true, &Cancel::new())
            .unwrap()
    }

    #[test]
    fn a_cancelled_tree_makes_the_merged_one_cancelled() {
        let whole = grow(1);
        let cancelled = TreeRecord { stop: StopReason::Cancelled, ..grow(2) };
        for trees in [[&whole, &cancelled, &whole], [&cancelled, &whole, &whole]] {
            let merged = merge(trees.into_iter().cloned().collect()).unwrap();
            assert_eq!(merged.stop, StopReason::Cancelled);
        }
    }

    /// Text of the path, visits and value sum.
    fn paths(tree: &TreeRecord) -> Vec<(String, u64, f64)> {
        let row = |(tag, node): (&Tag, &NodeRecord)| {
            let text = tree.path(tag).unwrap().iter().map(|(_, step)| step.text()).collect();
            (text, node.visit_count, node.q_value * node.visit_count as f64)
        };
        tree.react.iter().map(row).collect()
    }

    #[test]
    fn visits_and_values_of_equal_paths_add_up() {
        let trees = [grow(1), grow(2), grow(3)];
        let merged = merge(trees.to_vec()).unwrap();
        let mut expected: IndexMap<String, (u64, f64)> = IndexMap::new();
        for (text, visits, sum) in trees.iter().flat_map(paths) {
            let entry = expected.entry(text).or_default();
            *entry = (entry.0 + visits, entry.1 + sum);
        }
        let found = paths(&merged);
        assert_eq!(found.len(), expected.len());
        for (text, visits, sum) in found {
            let (n, w) = expected[&text];
            assert!(n == visits && (w - sum).abs() < 1e-9, "{text:?}");
        }
        assert_eq!(merged.simulations, trees.iter().map(|tree| tree.simulations).sum::<u64>());
        // Every tag hangs together.
        assert!(merged.react.keys().all(|tag| merged.path(tag).is_some()));
    }
}
