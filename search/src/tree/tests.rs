use super::*;

fn tree() -> Tree {
    Tree::new(StatsLayout::new(100_000, 64).unwrap())
}

fn expand(tree: &Tree, leaf: NodeId, children: &[NewChild]) -> Vec<NodeId> {
    assert!(tree.claim(leaf));
    let run = tree.prepare(leaf, children);
    tree.publish(leaf, &run);
    run.ids().collect()
}

const OPEN: NewChild = NewChild { prior: 0.5, terminal: false, value: None };
const ENDED: NewChild = NewChild { prior: 0.25, terminal: true, value: Some(-0.5) };

#[test]
fn children_are_published_whole() {
    let tree = tree();
    let ids = expand(&tree, NodeId::ROOT, &[OPEN, ENDED]);
    assert_eq!(tree.children(NodeId::ROOT).ids().collect::<Vec<_>>(), ids);
    assert_eq!((tree.prior(ids[1]), tree.parent(ids[1])), (0.25, Some(NodeId::ROOT)));
    assert_eq!((tree.stats(ids[1]).visits, tree.stats(ids[1]).q()), (1, -0.5));
    assert_eq!(tree.children(ids[1]).state(), NodeState::Terminal);
    assert_eq!(tree.parent(NodeId::ROOT), None);
    assert!(!tree.claim(NodeId::ROOT) && !tree.claim(ids[1]) && tree.claim(ids[0]));
    tree.release(ids[0]);
    assert!(tree.claim(ids[0]));
}

#[test]
fn backup_reaches_the_root_and_retreat_undoes_a_descent() {
    let tree = tree();
    let child = expand(&tree, NodeId::ROOT, &[OPEN])[0];
    let leaf = expand(&tree, child, &[OPEN, ENDED])[0];
    for id in [NodeId::ROOT, child, leaf] {
        assert_eq!(tree.enter(id).in_flight, 0);
    }
    tree.enter(NodeId::ROOT);
    tree.backup(leaf, tree.layout().visits(&[1.0, -0.25]));
    tree.retreat(NodeId::ROOT);
    for id in [NodeId::ROOT, child, leaf] {
        let stats = tree.stats(id);
        assert_eq!((stats.visits, stats.in_flight, stats.value_sum), (2, 0, 0.75), "{id:?}");
    }
}

#[test]
fn exhaustion_climbs_when_the_last_child_closes() {
    let tree = tree();
    let level = expand(&tree, NodeId::ROOT, &[OPEN, OPEN, ENDED]);
    assert_eq!(tree.children(NodeId::ROOT).open(), 2);
    expand(&tree, level[0], &[ENDED, ENDED]);
    assert!(tree.children(level[0]).is_closed() && !tree.children(NodeId::ROOT).is_closed());
    let below = expand(&tree, level[1], &[OPEN]);
    assert!(tree.claim(below[0]));
    tree.end(below[0]);
    assert!(tree.children(level[1]).is_closed() && tree.children(NodeId::ROOT).is_closed());
    // The children can still be walked: a closed node keeps them.
    assert_eq!(tree.children(NodeId::ROOT).ids().collect::<Vec<_>>(), level);
}

#[test]
fn the_best_child_is_the_first_of_equals_among_the_open() {
    let tree = tree();
    let ids = expand(&tree, NodeId::ROOT, &[ENDED, OPEN, OPEN]);
    let best = |closed_too| {
        tree.best_child(tree.children(NodeId::ROOT), closed_too, |_, prior| f64::from(prior))
    };
    assert_eq!(best(false), Some(ids[1]));
    expand(&tree, ids[1], &[ENDED]);
    assert_eq!((best(false), best(true)), (Some(ids[2]), Some(ids[1])));
    expand(&tree, ids[2], &[ENDED]);
    assert_eq!(best(false), None);
}

#[test]
fn runs_of_many_threads_do_not_overlap() {
    // Each thread grows its own subtree; chunk boundaries are crossed many times by runs of
    // different lengths.
    let tree = tree();
    let roots = expand(&tree, NodeId::ROOT, &[OPEN; 4]);
    std::thread::scope(|scope| {
        for (worker, root) in roots.iter().enumerate() {
            let tree = &tree;
            scope.spawn(move || {
                let prior = worker as f32;
                let mut leaf = *root;
                for step in 0..400 {
                    let children = vec![NewChild { prior, ..OPEN }; 1 + (step + worker) % 37];
                    leaf = expand(tree, leaf, &children)[0];
                }
            });
        }
    });
    let mut seen = std::collections::HashSet::new();
    for (worker, root) in roots.iter().enumerate() {
        let mut open = vec![*root];
        while let Some(id) = open.pop() {
            for child in tree.children(id).ids() {
                assert!(seen.insert(child), "{child:?} has two parents");
                assert_eq!((tree.prior(child), tree.parent(child)), (worker as f32, Some(id)));
                open.push(child);
            }
        }
    }
    let expected: usize = (0..4).map(|w| (0..400).map(|s| 1 + (s + w) % 37).sum::<usize>()).sum();
    assert_eq!(seen.len(), expected);
}

#[test]
fn closing_from_many_threads_is_told_once() {
    // Every grandchild closes at the same time; the root must hear of it whatever the order.
    for _ in 0..200 {
        let tree = tree();
        let level = expand(&tree, NodeId::ROOT, &[OPEN; 4]);
        let barrier = std::sync::Barrier::new(level.len());
        std::thread::scope(|scope| {
            for id in &level {
                let (tree, barrier) = (&tree, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    expand(tree, *id, &[ENDED]);
                });
            }
        });
        assert!(tree.children(NodeId::ROOT).is_closed());
        assert_eq!(tree.children(NodeId::ROOT).count(), 4);
    }
}
