use super::*;

fn tree() -> Tree {
    tree_for(4, true)
}

fn tree_for(workers: usize, avoid_exhausted: bool) -> Tree {
    let layout = StatsLayout::new(100_000, 64).unwrap();
    let in_flight = (workers > 1).then_some(InFlight { loss: 1.0, explored: 1.0 });
    Tree::new(&TreeConfig { layout, in_flight, shared: true, avoid_exhausted })
}

/// The path from the root through the children of these indices, with a simulation in flight.
fn walk<'t>(tree: &'t Tree, indices: &[usize]) -> Path<'t> {
    let mut path = Path::new();
    tree.start(&mut path);
    for index in indices {
        let node = path.leaf().unwrap().children(tree).nth(*index).unwrap();
        tree.enter(node, &mut path);
    }
    path
}

/// Expands the node at these indices; the ids of its children.
fn expand(tree: &Tree, indices: &[usize], children: &[NewChild]) -> Vec<NodeId> {
    let path = walk(tree, indices);
    assert!(tree.claim(path.leaf().unwrap()));
    let run = tree.prepare(children);
    tree.publish(&path, &run);
    tree.retreat(&path);
    run.ids().collect()
}

const OPEN: NewChild = NewChild { prior: 0.5, end: None, value: None, shared: None };
const ENDED: NewChild =
    NewChild { prior: 0.25, end: Some(End::Closed), value: Some(-0.5), shared: None };

#[test]
fn children_are_published_whole() {
    let tree = tree();
    let ids = expand(&tree, &[], &[OPEN, ENDED]);
    let children: Vec<Node<'_>> = tree.root().children(&tree).collect();
    assert_eq!(children.iter().map(|child| child.id()).collect::<Vec<_>>(), ids);
    assert_eq!(ids.iter().map(|id| id.index()).collect::<Vec<_>>(), [1, 2]);
    let places: Vec<_> = children.iter().map(|child| child.place()).collect();
    assert_eq!(places, [(ids[0], 0), (ids[0], 1)]);
    assert!(children[0].prior() == 0.5 && children[1].prior().is_nan());
    let stats = children[1].stats(&tree);
    assert_eq!((stats.visits, stats.q()), (1, -0.5));
    assert_eq!(children[1].state(), NodeState::Terminal);
    assert!(!tree.claim(tree.root()) && !tree.claim(children[1]) && tree.claim(children[0]));
    tree.release(children[0]);
    assert!(tree.claim(children[0]));
}

#[test]
fn a_child_of_eight_costs_18_bytes() {
    let tree = tree();
    let before = tree.bytes();
    expand(&tree, &[], &[OPEN; 8]);
    assert_eq!((tree.bytes() - before, tree.len()), (8 * 18, 9));
    let before = tree.bytes();
    expand(&tree, &[0], &[OPEN; 5]);
    assert_eq!(tree.bytes() - before, 96);
}

#[test]
fn backup_reaches_the_root_and_retreat_undoes_a_descent() {
    for workers in [1, 4] {
        let tree = tree_for(workers, true);
        expand(&tree, &[], &[OPEN]);
        expand(&tree, &[0], &[OPEN, ENDED]);
        let path = walk(&tree, &[0, 0]);
        tree.retreat(&walk(&tree, &[]));
        let in_flight = u64::from(workers > 1);
        assert_eq!(tree.root().stats(&tree).in_flight, in_flight);
        tree.backup(&path, tree.layout().visits(&[1.0, -0.25]));
        assert_eq!(path.depth(), 2);
        for node in path.nodes() {
            let stats = node.stats(&tree);
            assert_eq!((stats.visits, stats.in_flight, stats.value_sum), (2, 0, 0.75), "{node:?}");
        }
    }
}

#[test]
fn exhaustion_climbs_when_the_last_child_closes() {
    let tree = tree();
    expand(&tree, &[], &[OPEN, OPEN, ENDED]);
    let root = tree.root();
    assert_eq!(root.open_children(&tree), 2);
    expand(&tree, &[0], &[ENDED, ENDED]);
    let first: Vec<Node<'_>> = root.children(&tree).collect();
    assert!(first[0].is_closed() && !root.is_closed());
    expand(&tree, &[1], &[OPEN]);
    let path = walk(&tree, &[1, 0]);
    assert!(tree.claim(path.leaf().unwrap()));
    tree.end(&path);
    assert!(first[1].is_closed() && root.is_closed());
    // The children can still be walked: a closed node keeps them.
    assert_eq!(root.children(&tree).count(), 3);
}

#[test]
fn the_best_child_is_the_first_of_equals_among_the_eligible() {
    let best = |tree: &Tree| tree.siblings(tree.root()).unwrap().best(|pair| pair.prior);
    for (avoid_exhausted, then) in [(true, [Some(1), Some(2), None]), (false, [Some(1); 3])] {
        let tree = tree_for(1, avoid_exhausted);
        expand(&tree, &[], &[ENDED, OPEN, OPEN]);
        let mut found = [best(&tree), None, None];
        for index in [1, 2] {
            expand(&tree, &[index], &[ENDED]);
            found[index] = best(&tree);
        }
        assert_eq!(found, then);
    }
    // The best at each place in turn.
    for count in 1..10 {
        for index in 0..count {
            let tree = tree();
            let mut children = vec![OPEN; count];
            children[index].prior = 0.75;
            expand(&tree, &[], &children);
            assert_eq!(best(&tree), Some(index), "of {count}");
        }
    }
}

#[test]
fn runs_of_many_threads_do_not_overlap() {
    // Each thread grows its own subtree; chunk boundaries are crossed many times by runs of
    // different lengths. An interpreter gets fewer.
    let steps = if cfg!(miri) { 60 } else { 400 };
    let tree = tree();
    expand(&tree, &[], &[OPEN; 4]);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let tree = &tree;
            scope.spawn(move || {
                let prior = worker as f32;
                let mut path = walk(tree, &[worker]);
                for step in 0..steps {
                    assert!(tree.claim(path.leaf().unwrap()));
                    let children = vec![NewChild { prior, ..OPEN }; 1 + (step + worker) % 37];
                    let run = tree.prepare(&children);
                    tree.publish(&path, &run);
                    let first = path.leaf().unwrap().children(tree).next().unwrap();
                    tree.enter(first, &mut path);
                }
            });
        }
    });
    let mut seen = std::collections::HashSet::new();
    for (worker, root) in tree.root().children(&tree).enumerate() {
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            for child in node.children(&tree) {
                assert!(seen.insert(child.id()), "{child:?} has two parents");
                assert_eq!(child.prior(), worker as f32);
                open.push(child);
            }
        }
    }
    let expected: usize = (0..4).map(|w| (0..steps).map(|s| 1 + (s + w) % 37).sum::<usize>()).sum();
    assert_eq!(seen.len(), expected);
}

#[test]
fn closing_from_many_threads_is_told_once() {
    // Every grandchild closes at the same time; the root must hear of it whatever the order.
    for _ in 0..200 {
        let tree = tree();
        expand(&tree, &[], &[OPEN; 4]);
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for index in 0..4 {
                let (tree, barrier) = (&tree, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    expand(tree, &[index], &[ENDED]);
                });
            }
        });
        assert!(tree.root().is_closed());
        assert_eq!((tree.root().children(&tree).count(), tree.root().open_children(&tree)), (4, 0));
    }
}
