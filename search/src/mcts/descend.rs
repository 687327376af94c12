//! The first half of a simulation: from the root down to a leaf.

use crate::selection::Rule;
use crate::tree::{NodeState, Path, Tree};

/// Where a descent came to, the leaf of its [`Path`]. In every case but [`Descent::Exhausted`] one
/// simulation is in flight at each node of the path, until [`Tree::backup`] or [`Tree::retreat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descent {
    /// A leaf, claimed: its children are the caller's to publish.
    Leaf,
    /// A node all of whose children are closed, claimed for widening: more of them are the caller's to publish.
    Widening,
    /// A leaf that another thread is expanding, or a node that it is widening.
    Collision,
    /// An end that may be come to again ([`crate::tree::End::Revisited`]).
    Ended,
    /// A node with nothing left to search below it.
    DeadEnd,
    /// Nothing is left to search; nothing is in flight.
    Exhausted,
}

/// Descends from the root by `rule`, one atomic addition a level; `at_root` chooses in the root's
/// stead. The path is the caller's to use again.
#[must_use]
#[inline]
pub fn descend<'t, I: Rule + ?Sized, R: Rule + ?Sized>(
    tree: &'t Tree,
    rule: &I,
    at_root: &R,
    path: &mut Path<'t>,
) -> Descent {
    let root = tree.root();
    if tree.is_over() {
        return Descent::Exhausted;
    }
    let mut parent = tree.start(path);
    let mut node = root;
    loop {
        let Some(siblings) = tree.siblings(node) else {
            return match node.state() {
                NodeState::Unexpanded if tree.claim(node) => Descent::Leaf,
                NodeState::Terminal if node.is_closed() => Descent::DeadEnd,
                NodeState::Terminal => Descent::Ended,
                // A lost claim is a collision whatever became of the leaf since.
                _ => Descent::Collision,
            };
        };
        let chosen = if path.depth() == 0 {
            at_root.choose(&parent, siblings)
        } else {
            rule.choose(&parent, siblings)
        };
        let Some(index) = chosen else {
            return if tree.claim_widening(node) {
                Descent::Widening
            } else if siblings.are_claimed() {
                Descent::Collision
            } else {
                Descent::DeadEnd
            };
        };
        node = siblings.node(index);
        parent = tree.enter(node, path);
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use crate::selection::Puct;
    use crate::tree::{End, InFlight, NewChild, StatsLayout, TreeConfig};

    const PUCT: Puct = Puct { c_puct: 1.0, base: None };
    const ENDED: NewChild =
        NewChild { prior: 1.0, end: Some(End::Closed), value: Some(1.0), shared: None };

    fn open(prior: f32) -> NewChild {
        NewChild::open(prior)
    }

    fn step<'t>(tree: &'t Tree, path: &mut Path<'t>) -> Descent {
        descend(tree, &PUCT, &PUCT, path)
    }

    fn expand(tree: &Tree, path: &Path<'_>, children: &[NewChild], values: &[f64]) {
        let run = tree.prepare(children);
        tree.publish(path, &run);
        tree.backup(path, tree.layout().visits(values));
    }

    fn tree_of(workers: usize, avoid_exhausted: bool, children: &[NewChild]) -> Tree {
        let layout = StatsLayout::new(1000, 16).unwrap();
        let in_flight = (workers > 1).then_some(InFlight { loss: 1.0, explored: 1.0 });
        let tree = Tree::new(&TreeConfig { layout, in_flight, avoid_exhausted });
        {
            let mut path = Path::new();
            assert_eq!(step(&tree, &mut path), Descent::Leaf);
            assert_eq!(path.leaf(), Some(tree.root()));
            expand(&tree, &path, children, &[0.0]);
        }
        tree
    }

    fn id(path: &Path<'_>) -> u32 {
        path.leaf().unwrap().id().index()
    }

    #[test]
    fn virtual_loss_sends_the_next_worker_elsewhere() {
        let tree = tree_of(3, true, &[ENDED, open(0.5), open(0.4)]);
        let (mut first, mut second, mut third) = (Path::new(), Path::new(), Path::new());
        assert_eq!((step(&tree, &mut first), id(&first)), (Descent::Leaf, 2));
        assert_eq!((step(&tree, &mut second), id(&second)), (Descent::Leaf, 3));
        assert_eq!((step(&tree, &mut third), id(&third)), (Descent::Collision, 2));
        assert_eq!(tree.root().stats(&tree).in_flight, 3);
        assert_eq!(third.leaf().unwrap().stats(&tree).in_flight, 2);
        for path in [first, second, third] {
            tree.retreat(&path);
        }
        assert_eq!(tree.root().stats(&tree).in_flight, 0);
    }

    #[test]
    fn an_exhausted_root_ends_the_search_with_nothing_in_flight() {
        for workers in [1, 2] {
            let tree = tree_of(workers, true, &[ENDED, open(0.5)]);
            let mut path = Path::new();
            assert_eq!(step(&tree, &mut path), Descent::Leaf);
            expand(&tree, &path, &[ENDED, ENDED], &[1.0, 1.0, 0.0]);
            assert_eq!(step(&tree, &mut path), Descent::Exhausted);
            let stats = tree.root().stats(&tree);
            assert_eq!((stats.in_flight, stats.visits), (0, 4));
        }
    }

    #[test]
    fn the_original_walks_into_the_exhausted_node() {
        let tree = tree_of(1, false, &[open(0.9), open(0.1)]);
        let mut path = Path::new();
        assert_eq!(step(&tree, &mut path), Descent::Leaf);
        expand(&tree, &path, &[ENDED], &[1.0, 0.5]);
        assert_eq!((step(&tree, &mut path), id(&path)), (Descent::DeadEnd, 1));
    }

    #[test]
    fn a_revisited_end_is_come_to_again() {
        let end = NewChild { end: Some(End::Revisited), ..ENDED };
        let tree = tree_of(1, true, &[end]);
        let mut path = Path::new();
        for _ in 0..3 {
            assert_eq!(step(&tree, &mut path), Descent::Ended);
            tree.backup(&path, tree.layout().visits(&[1.0]));
        }
        let child = tree.root().children(&tree).next().unwrap();
        assert_eq!((child.id(), child.stats(&tree).visits), (path.leaf().unwrap().id(), 4));
    }
}
