//! The first half of a simulation: from the root down to a leaf.

use super::config::DeadEnd;
use crate::selection::Puct;
use crate::tree::{NodeId, NodeState, Tree};

/// Where a descent came to. In every case but [`Descent::Exhausted`] one simulation is in flight at
/// each node from the root to the one named, until [`Tree::backup`] or [`Tree::retreat`] from that
/// node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descent {
    /// A leaf, claimed: its children are the caller's to publish.
    Leaf {
        /// The leaf.
        node: NodeId,
        /// Steps from the root.
        depth: usize,
    },
    /// A leaf that another thread is expanding.
    Collision {
        /// The leaf.
        node: NodeId,
    },
    /// A node with nothing left to search below it.
    DeadEnd {
        /// The node.
        node: NodeId,
    },
    /// Nothing is left to search; nothing is in flight.
    Exhausted,
}

/// Descends from the root by PUCT, one atomic addition a level. Lowest index wins ties.
#[must_use]
pub fn descend(tree: &Tree, puct: &Puct, dead_end: DeadEnd) -> Descent {
    let root = tree.children(NodeId::ROOT);
    let over = match dead_end {
        DeadEnd::Avoid => root.is_closed(),
        DeadEnd::Stop => root.state() == NodeState::Terminal,
    };
    if over {
        return Descent::Exhausted;
    }
    let (mut node, mut depth) = (NodeId::ROOT, 0);
    loop {
        let before = tree.enter(node);
        let children = tree.children(node);
        match children.state() {
            NodeState::Unexpanded if tree.claim(node) => return Descent::Leaf { node, depth },
            // A lost claim is a collision whatever became of the leaf since.
            NodeState::Unexpanded | NodeState::Expanding => return Descent::Collision { node },
            NodeState::Terminal => return Descent::DeadEnd { node },
            NodeState::Expanded => {
                let sqrt_parent = puct.sqrt_visits(before);
                let score = |stats, prior| puct.score(stats, f64::from(prior), sqrt_parent);
                match tree.best_child(children, dead_end == DeadEnd::Stop, score) {
                    Some(child) => (node, depth) = (child, depth + 1),
                    None => return Descent::DeadEnd { node },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{NewChild, StatsLayout};

    const PUCT: Puct = Puct { c_puct: 1.0, virtual_loss: 1.0 };

    fn tree_of(children: &[NewChild]) -> Tree {
        let tree = Tree::new(StatsLayout::new(1000, 16).unwrap());
        assert_eq!(step(&tree), Descent::Leaf { node: NodeId::ROOT, depth: 0 });
        let run = tree.prepare(NodeId::ROOT, children);
        tree.publish(NodeId::ROOT, &run);
        tree.backup(NodeId::ROOT, tree.layout().visits(&[0.0]));
        tree
    }

    fn step(tree: &Tree) -> Descent {
        descend(tree, &PUCT, DeadEnd::Avoid)
    }

    fn open(prior: f32) -> NewChild {
        NewChild { prior, terminal: false, value: None }
    }

    const ENDED: NewChild = NewChild { prior: 1.0, terminal: true, value: Some(1.0) };

    #[test]
    fn ties_go_to_the_first_and_virtual_loss_spreads() {
        let tree = tree_of(&[ENDED, open(0.5), open(0.5)]);
        let ids: Vec<NodeId> = tree.children(NodeId::ROOT).ids().collect();
        assert_eq!(step(&tree), Descent::Leaf { node: ids[1], depth: 1 });
        assert_eq!(step(&tree), Descent::Leaf { node: ids[2], depth: 1 });
        assert_eq!(step(&tree), Descent::Collision { node: ids[1] });
        assert_eq!(tree.stats(NodeId::ROOT).in_flight, 3);
        assert_eq!(tree.stats(ids[1]).in_flight, 2);
    }

    #[test]
    fn an_exhausted_root_ends_the_search_with_nothing_in_flight() {
        let tree = tree_of(&[ENDED, open(0.5)]);
        let Descent::Leaf { node, .. } = step(&tree) else { panic!() };
        let run = tree.prepare(node, &[ENDED, ENDED]);
        tree.publish(node, &run);
        tree.backup(node, tree.layout().visits(&[1.0, 1.0, 0.0]));
        assert_eq!(step(&tree), Descent::Exhausted);
        assert_eq!(tree.stats(NodeId::ROOT).in_flight, 0);
    }

    #[test]
    fn the_original_walks_into_the_exhausted_node() {
        let tree = tree_of(&[open(0.9), open(0.1)]);
        let Descent::Leaf { node, .. } = step(&tree) else { panic!() };
        let run = tree.prepare(node, &[ENDED]);
        tree.publish(node, &run);
        tree.backup(node, tree.layout().visits(&[1.0, 0.5]));
        assert_eq!(descend(&tree, &PUCT, DeadEnd::Stop), Descent::DeadEnd { node });
        tree.retreat(node);
        let ids: Vec<NodeId> = tree.children(NodeId::ROOT).ids().collect();
        assert_eq!(step(&tree), Descent::Leaf { node: ids[1], depth: 1 });
    }
}
