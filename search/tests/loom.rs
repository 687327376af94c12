//! Every schedule of two or three threads over the tree, by the model checker loom. Built with
//! `--cfg espalier_loom` alone; `make check-concurrency` runs it.
#![cfg(espalier_loom)]

use espalier_search::tree::{
    Chunked, End, InFlight, NewChild, Node, NodeId, NodeState, Path, Room, StatsLayout, Tree,
    TreeConfig,
};
use espalier_search::{Descent, descend, descend_together, selection::Puct};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

const PUCT: Puct = Puct { c_puct: 1.0, base: None };
const ENDED: NewChild =
    NewChild { prior: 0.5, end: Some(End::Closed), value: Some(-0.5), shared: None };

fn tree() -> Tree {
    let layout = StatsLayout::new(1000, 16).unwrap();
    let in_flight = Some(InFlight { loss: 1.0, explored: 1.0 });
    Tree::new(&TreeConfig { layout, in_flight, shared: true, avoid_exhausted: true })
}

fn open() -> NewChild {
    NewChild::open(0.5)
}

/// The path through the children of these indices, with a simulation in flight.
fn walk<'t>(tree: &'t Tree, indices: &[usize]) -> Path<'t> {
    let mut path = Path::new();
    tree.start(&mut path);
    for index in indices {
        let node = path.leaf().unwrap().children(tree).nth(*index).unwrap();
        tree.enter(node, &mut path);
    }
    path
}

/// Expands the node at these indices and backs one value up.
fn expand(tree: &Tree, indices: &[usize], children: &[NewChild], value: f64) {
    let path = walk(tree, indices);
    assert!(tree.claim(path.leaf().unwrap()));
    let run = tree.prepare(children);
    tree.publish(&path, &run);
    tree.backup(&path, tree.layout().visits(&[value]));
}

fn child(tree: &Tree, index: usize) -> Node<'_> {
    tree.root().children(tree).nth(index).unwrap()
}

#[test]
fn who_sees_children_sees_them_whole() {
    loom::model(|| {
        let tree = Arc::new(tree());
        let cold: Arc<Chunked<AtomicU32>> = Arc::new(Chunked::new());
        cold.reserve(0);
        let (writers_tree, writers_cold) = (tree.clone(), cold.clone());
        let writer = thread::spawn(move || {
            let path = walk(&writers_tree, &[]);
            assert!(writers_tree.claim(path.leaf().unwrap()));
            let run = writers_tree.prepare(&[open(), ENDED]);
            for id in run.ids() {
                writers_cold.reserve(id.index());
                writers_cold.get(id.index()).store(7, Ordering::Relaxed);
            }
            writers_tree.publish(&path, &run);
            writers_tree.backup(&path, writers_tree.layout().visits(&[0.5]));
        });
        if tree.siblings(tree.root()).is_some() {
            let children: Vec<Node<'_>> = tree.root().children(&tree).collect();
            assert!(children[0].prior() == 0.5 && children[1].prior().is_nan());
            assert_eq!(children[1].stats(&tree).visits, 1);
            assert_eq!(children[1].state(), NodeState::Terminal);
            for node in children {
                assert_eq!(cold.get(node.id().index()).load(Ordering::Relaxed), 7);
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn one_of_two_expands_a_leaf_and_the_other_goes_without_a_trace() {
    loom::model(|| {
        let tree = Arc::new(tree());
        let work = |tree: &Tree| {
            let mut path = Path::new();
            match descend(tree, &PUCT, &PUCT, &mut path) {
                Descent::Leaf => {
                    let run = tree.prepare(&[open(), open()]);
                    tree.publish(&path, &run);
                    tree.backup(&path, tree.layout().visits(&[0.5]));
                    true
                }
                _ => {
                    tree.retreat(&path);
                    false
                }
            }
        };
        let other_tree = tree.clone();
        let other = thread::spawn(move || work(&other_tree));
        let mine = work(&tree);
        let theirs = other.join().unwrap();
        assert!(mine || theirs);
        let stats = tree.root().stats(&tree);
        let both = u64::from(mine) + u64::from(theirs);
        assert_eq!((stats.visits, stats.in_flight, stats.q()), (both, 0, 0.5));
        assert_eq!(tree.root().children(&tree).count(), 2);
    });
}

#[test]
fn a_leaf_given_back_can_be_claimed_again() {
    loom::model(|| {
        let tree = Arc::new(tree());
        let other_tree = tree.clone();
        let other = thread::spawn(move || {
            let claimed = other_tree.claim(other_tree.root());
            if claimed {
                other_tree.release(other_tree.root());
            }
            claimed
        });
        let mine = tree.claim(tree.root());
        if mine {
            tree.release(tree.root());
        }
        assert!(other.join().unwrap() || mine);
        assert_eq!(tree.root().state(), NodeState::Unexpanded);
    });
}

#[test]
fn backups_and_retreats_commute() {
    loom::model(|| {
        let tree = Arc::new(tree());
        expand(&tree, &[], &[open(), open()], 0.0);
        let threads: Vec<_> = [(0, 1.0), (1, -0.5)]
            .into_iter()
            .map(|(index, value)| {
                let tree = tree.clone();
                thread::spawn(move || {
                    tree.retreat(&walk(&tree, &[index]));
                    let path = walk(&tree, &[index]);
                    tree.backup(&path, tree.layout().visits(&[value]));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let root = tree.root().stats(&tree);
        assert_eq!((root.visits, root.in_flight, root.value_sum), (3, 0, 0.5));
        let (first, second) = (child(&tree, 0).stats(&tree), child(&tree, 1).stats(&tree));
        assert_eq!((first.value_sum, second.value_sum), (1.0, -0.5));
    });
}

#[test]
fn runs_that_need_a_new_chunk_do_not_overlap() {
    loom::model(|| {
        // Under the checker the first chunk has 8 slots: two runs of three children do not fit beside the root.
        let tree = Arc::new(tree());
        let prepare = |tree: &Tree| {
            let run = tree.prepare(&[open(), open(), open()]);
            run.ids().map(NodeId::index).collect::<Vec<_>>()
        };
        let other_tree = tree.clone();
        let other = thread::spawn(move || prepare(&other_tree));
        let mut ids = prepare(&tree);
        ids.extend(other.join().unwrap());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 6);
    });
}

#[test]
fn the_last_two_children_close_their_parent_once() {
    loom::model(|| {
        let tree = Arc::new(tree());
        expand(&tree, &[], &[open(), open(), ENDED], 0.0);
        let close = |tree: &Tree, index: usize| {
            let path = walk(tree, &[index]);
            assert!(tree.claim(path.leaf().unwrap()));
            tree.end(&path);
            tree.backup(&path, tree.layout().visits(&[-1.0]));
        };
        let other_tree = tree.clone();
        let other = thread::spawn(move || close(&other_tree, 0));
        close(&tree, 1);
        other.join().unwrap();
        assert!(tree.root().is_closed());
        assert_eq!(tree.root().open_children(&tree), 0);
    });
}

#[test]
fn one_of_two_widens_a_node_and_what_it_adds_is_seen_whole() {
    loom::model(|| {
        let tree = Arc::new(tree());
        let path = walk(&tree, &[]);
        assert!(tree.claim(tree.root()));
        let run = tree.prepare_with_room(&[ENDED], Room { widenings: 1, children: 2 });
        tree.publish(&path, &run);
        tree.backup(&path, tree.layout().visits(&[0.5]));
        let work = |tree: &Tree| {
            let mut path = Path::new();
            let descent = descend(tree, &PUCT, &PUCT, &mut path);
            match descent {
                Descent::Widening => {
                    let run = tree.prepare_more(tree.root(), &[open(), ENDED]);
                    tree.publish_more(&path, &run);
                    tree.backup(&path, tree.layout().visits(&[-0.5]));
                }
                // The other has begun, or is done.
                Descent::Collision | Descent::Leaf | Descent::DeadEnd => {
                    if descent == Descent::Leaf {
                        assert_eq!(path.leaf().unwrap().prior(), 0.5);
                        tree.release(path.leaf().unwrap());
                    }
                    tree.retreat(&path);
                }
                other => panic!("{other:?}"),
            }
            descent == Descent::Widening
        };
        let other_tree = tree.clone();
        let other = thread::spawn(move || work(&other_tree));
        let mine = work(&tree);
        assert!(mine != other.join().unwrap(), "a node with one widening is widened once");
        assert_eq!((tree.root().children(&tree).count(), tree.root().open_children(&tree)), (3, 1));
        assert!(!tree.root().is_closed());
        assert_eq!(tree.root().stats(&tree).in_flight, 0);
    });
}

#[test]
fn descents_that_take_turns_meet_another_threads() {
    loom::model(|| {
        let tree = Arc::new(tree());
        expand(&tree, &[], &[open(), open()], 0.0);
        // Expands the leaf of a path whose descent has claimed it.
        let finish = |tree: &Tree, path: &Path<'_>, descent: Descent| match descent {
            Descent::Leaf => {
                let run = tree.prepare(&[ENDED, open()]);
                tree.publish(path, &run);
                tree.backup(path, tree.layout().visits(&[0.5]));
                1
            }
            Descent::Collision => {
                tree.retreat(path);
                0
            }
            other => panic!("{other:?}"),
        };
        let other_tree = tree.clone();
        let other = thread::spawn(move || {
            let mut path = Path::new();
            let descent = descend(&other_tree, &PUCT, &PUCT, &mut path);
            finish(&other_tree, &path, descent)
        });
        let mut paths = [Path::new(), Path::new()];
        let outcomes = descend_together(&tree, &PUCT, &PUCT, &mut paths);
        let mine: u64 =
            paths.iter().zip(outcomes).map(|(path, found)| finish(&tree, path, found)).sum();
        let expanded = mine + other.join().unwrap();
        let stats = tree.root().stats(&tree);
        assert!(expanded >= 2, "only a third descent can meet a taken leaf");
        assert_eq!((stats.in_flight, stats.visits), (0, 1 + expanded));
    });
}

#[test]
fn a_state_that_closes_by_one_edge_is_told_once_by_another() {
    loom::model(|| {
        // Two edges and a third child, so that telling twice would close the root too early.
        let tree = Arc::new(tree());
        let shared = Some(tree.share());
        let edge = NewChild { shared, ..open() };
        expand(&tree, &[], &[edge, edge, open()], 0.0);
        let other_tree = tree.clone();
        let closer = thread::spawn(move || {
            let path = walk(&other_tree, &[0, 0]);
            assert!(other_tree.claim(path.leaf().unwrap()));
            other_tree.end(&path);
            other_tree.retreat(&path);
        });
        let help = |tree: &Tree| {
            let path = walk(tree, &[1]);
            tree.close_exhausted(&path);
            tree.retreat(&path);
        };
        help(&tree);
        closer.join().unwrap();
        help(&tree);
        help(&tree);
        assert!(child(&tree, 0).is_closed() && child(&tree, 1).is_closed());
        assert!(!tree.root().is_closed());
        assert_eq!(tree.root().open_children(&tree), 1);
    });
}
