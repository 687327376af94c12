//! The first half of a simulation: from the root down to a leaf.

use smallvec::SmallVec;

use crate::selection::Rule;
use crate::tree::{Entered, Node, NodeState, Path, Tree};

/// Where a descent came to, the leaf of its [`Path`]. In every case but [`Descent::Exhausted`] one
/// simulation is in flight at each node of the path, until [`Tree::backup`] or [`Tree::retreat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descent {
    /// A leaf, claimed: its children are the caller's to publish.
    Leaf,
    /// A node all of whose children are closed, claimed for widening: more of them are the caller's to publish.
    Widening,
    /// A leaf that another descent has claimed, or a node that one is widening.
    Collision,
    /// An end that may be come to again ([`crate::tree::End::Revisited`]).
    Ended,
    /// A node with nothing left to search below it.
    DeadEnd,
    /// Nothing is left to search; nothing is in flight.
    Exhausted,
}

/// Descends from the root by `rule`, one addition a level; `at_root` chooses in the root's stead. The path is the caller's to
/// use again.
#[must_use]
#[inline]
pub fn descend<'t, I: Rule + ?Sized, R: Rule + ?Sized>(
    tree: &'t Tree,
    rule: &I,
    at_root: &R,
    path: &mut Path<'t>,
) -> Descent {
    if tree.is_over() {
        return Descent::Exhausted;
    }
    let mut at = Place::root(tree, path);
    loop {
        if let Some(descent) = step_down(tree, rule, at_root, path, &mut at, false) {
            return descent;
        }
    }
}

/// Most descents that [`descend_together`] makes: what they ask for fits the first cache, and from eight on no more is gained.
pub const MAX_TOGETHER: usize = 16;

/// Descends once for each path, up to [`MAX_TOGETHER`] of them, all a level at a time: while the memory of one descent's next
/// level is on its way, the others go on. By one thread alone they come to where as many calls of [`descend`] one after
/// the other would come, since each sees at a node what was before it there. The tree counts simulations in flight.
///
/// # Panics
/// With more paths than [`MAX_TOGETHER`].
#[must_use]
#[inline]
pub fn descend_together<'t, I: Rule + ?Sized, R: Rule + ?Sized>(
    tree: &'t Tree,
    rule: &I,
    at_root: &R,
    paths: &mut [Path<'t>],
) -> [Descent; MAX_TOGETHER] {
    assert!(paths.len() <= MAX_TOGETHER, "{} descents together", paths.len());
    let mut outcomes = [Descent::Exhausted; MAX_TOGETHER];
    if tree.is_over() {
        return outcomes;
    }
    let mut places: SmallVec<[Place<'t>; MAX_TOGETHER]> =
        paths.iter_mut().map(|path| Place::root(tree, path)).collect();
    let mut under_way: [usize; MAX_TOGETHER] = std::array::from_fn(|index| index);
    let mut count = places.len();
    while count > 0 {
        let mut going_on = 0;
        for turn in 0..count {
            let index = under_way[turn];
            let place = &mut places[index];
            let path = &mut paths[index];
            if let Some(descent) = step_down(tree, rule, at_root, path, place, true) {
                outcomes[index] = descent;
                continue;
            }
            tree.prefetch_siblings(place.node);
            under_way[going_on] = index;
            going_on += 1;
        }
        count = going_on;
    }
    outcomes
}

/// Where a descent is.
struct Place<'t> {
    node: Node<'t>,
    /// What the node had before.
    entered: Entered<'t>,
}

impl<'t> Place<'t> {
    #[inline]
    fn root(tree: &'t Tree, path: &mut Path<'t>) -> Self {
        Self { node: tree.root(), entered: tree.start(path) }
    }
}

/// Goes a level down, or says where the descent has come to.
#[inline(always)]
fn step_down<'t, I: Rule + ?Sized, R: Rule + ?Sized>(
    tree: &'t Tree,
    rule: &I,
    at_root: &R,
    path: &mut Path<'t>,
    at: &mut Place<'t>,
    taking_turns: bool,
) -> Option<Descent> {
    let Place { node, entered } = at;
    let Some(siblings) = tree.siblings(*node) else {
        return Some(match node.state() {
            NodeState::Unexpanded if tree.claim(*node) => Descent::Leaf,
            NodeState::Terminal if node.is_closed() => Descent::DeadEnd,
            NodeState::Terminal => Descent::Ended,
            // A lost claim is a collision whatever became of the leaf since.
            _ => Descent::Collision,
        });
    };
    let siblings = if taking_turns { siblings.taking_turns() } else { siblings };
    let chosen = if path.depth() == 0 {
        at_root.choose(entered, siblings)
    } else {
        rule.choose(entered, siblings)
    };
    let Some(index) = chosen else {
        return Some(if tree.claim_widening(*node) {
            Descent::Widening
        } else if siblings.are_claimed() {
            Descent::Collision
        } else {
            Descent::DeadEnd
        });
    };
    *node = siblings.node(index);
    *entered = tree.enter(*node, path);
    None
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use crate::seed::derive_seed;
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
        let tree =
            Tree::new(&TreeConfig { layout, in_flight, shared: workers > 1, avoid_exhausted });
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

    /// The leaf's id where a descent came to, and what it found there.
    type Found = (Descent, u32);

    /// Descents in waves of `together`, each wave expanded and backed up before the next; leaves have children, some of
    /// them ended, that follow from their ids. `take_turns` or make them one after the other.
    fn grow(seed: u64, together: usize, take_turns: bool) -> Vec<Found> {
        let layout = StatsLayout::new(10_000, 16).unwrap();
        let in_flight = Some(InFlight { loss: 1.0, explored: 1.0 });
        let config = TreeConfig { layout, in_flight, shared: false, avoid_exhausted: true };
        let tree = Tree::new(&config);
        let mut found = Vec::new();
        for _ in 0..60 {
            let mut paths: Vec<Path<'_>> = (0..together).map(|_| Path::new()).collect();
            let outcomes = if take_turns {
                descend_together(&tree, &PUCT, &PUCT, &mut paths)[..together].to_vec()
            } else {
                paths.iter_mut().map(|path| step(&tree, path)).collect()
            };
            if outcomes[0] == Descent::Exhausted {
                break;
            }
            found.extend(outcomes.iter().zip(&paths).map(|(outcome, path)| (*outcome, id(path))));
            for (outcome, path) in outcomes.iter().zip(&paths) {
                if *outcome != Descent::Leaf {
                    tree.retreat(path);
                    continue;
                }
                let child = |index| {
                    let bits = derive_seed(derive_seed(seed, u64::from(id(path))), index);
                    let end = bits.is_multiple_of(3).then_some(End::Closed);
                    NewChild { end, ..NewChild::open((bits >> 56) as f32 / 256.0) }
                };
                let children: Vec<NewChild> = (0..5).map(child).collect();
                expand(&tree, path, &children, &[children[0].prior.into()]);
            }
            assert_eq!(tree.root().stats(&tree).in_flight, 0);
        }
        found
    }

    #[test]
    fn descents_that_take_turns_come_to_where_they_would_come_one_by_one() {
        for (seed, together) in (0..20).flat_map(|seed| [2, 3, 8, MAX_TOGETHER].map(|k| (seed, k)))
        {
            let found = grow(seed, together, true);
            assert_eq!(found, grow(seed, together, false), "seed {seed}, {together} together");
        }
        let collided = |found: &[Found]| found.iter().any(|(it, _)| *it == Descent::Collision);
        assert!(collided(&grow(0, 8, true)));
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
