//! Four threads grow one tree, two of them by several descents at a time, with nothing between them but the tree: what a race detector is to look at. Not a libtest
//! binary, whose own threads would stand in the reports; every chunk that is needed is reserved beforehand, since the
//! standard cell that guards chunks is not built with the detector (loom tries that part).

#[cfg(espalier_loom)]
fn main() {}

#[cfg(not(espalier_loom))]
fn main() {
    for seed in 0..20 {
        model::grow(seed);
    }
}

#[cfg(not(espalier_loom))]
mod model {
    use std::cell::UnsafeCell;
    use std::sync::atomic::{AtomicU64, Ordering};

    use espalier_search::selection::Puct;
    use espalier_search::tree::{
        End, InFlight, NewChild, Path, Room, StatsLayout, Tree, TreeConfig,
    };
    use espalier_search::{Descent, MAX_TOGETHER, derive_seed, descend, descend_together};

    const SIMULATIONS: u64 = 3000;
    const CHILDREN: usize = 5;
    /// Every node may be widened once.
    const ROOM: Room = Room { widenings: 1, children: CHILDREN };

    /// Cold data as plain memory: a write that is not published before it is read is a race.
    struct Cold(Vec<UnsafeCell<u64>>);

    // SAFETY: a cell is written once, by the thread that prepares its node and before it publishes it, and read by those
    // who come to the published node. That the tree orders the two is what this program is there to find out.
    unsafe impl Sync for Cold {}

    impl Cold {
        fn write(&self, id: u32, value: u64) {
            // SAFETY: see `Sync`.
            unsafe { *self.0[id as usize].get() = value }
        }

        fn read(&self, id: u32) -> u64 {
            // SAFETY: see `Sync`.
            unsafe { *self.0[id as usize].get() }
        }
    }

    /// A tree whose next free slot, after runs that are prepared and never published, is in a chunk that has room for
    /// all that follow.
    fn roomy_tree(config: &TreeConfig) -> Tree {
        let tree = Tree::new(config);
        for _ in 0..SIMULATIONS as usize * 2 {
            _ = tree.prepare_with_room(&[NewChild::open(0.5); CHILDREN], ROOM);
        }
        tree
    }

    pub(super) fn grow(seed: u64) {
        let layout = StatsLayout::new(SIMULATIONS * 8, 64).expect("a small tree");
        let in_flight = Some(InFlight { loss: 1.0, explored: 1.0 });
        let tree =
            roomy_tree(&TreeConfig { layout, in_flight, shared: true, avoid_exhausted: true });
        let cells = SIMULATIONS as usize * CHILDREN * 8;
        let cold = Cold(std::iter::repeat_with(|| UnsafeCell::new(0)).take(cells).collect());
        cold.write(0, derive_seed(seed, 0));
        let left = AtomicU64::new(SIMULATIONS);
        std::thread::scope(|scope| {
            let work = |together| work(&tree, &cold, &left, together);
            let threads: Vec<_> =
                [1, 1, 3, 5].into_iter().map(|k| scope.spawn(move || work(k))).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("a worker"));
        });
        let root = tree.root();
        let visits: u64 = root.children(&tree).map(|child| child.stats(&tree).visits).sum();
        let stats = root.stats(&tree);
        // Each expansion backs up a value of its own.
        let own = if root.children(&tree).len() > CHILDREN { 2 } else { 1 };
        assert_eq!((stats.in_flight, stats.visits), (0, visits + own));
    }

    /// Simulations until none is left, as many at a time as may be in flight.
    fn work(tree: &Tree, cold: &Cold, left: &AtomicU64, together: usize) {
        let puct = Puct { c_puct: 2.0, base: None };
        let mut paths: Vec<Path<'_>> = (0..together).map(|_| Path::new()).collect();
        let take = |left: u64| left.checked_sub(together as u64);
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            let mut wanted = together;
            while wanted > 0 {
                let outcomes = match &mut paths[..wanted] {
                    [path] => [descend(tree, &puct, &puct, path); MAX_TOGETHER],
                    paths => descend_together(tree, &puct, &puct, paths),
                };
                for (outcome, path) in outcomes[..wanted].iter().zip(&paths) {
                    match outcome {
                        Descent::Leaf => expand(tree, cold, path, false),
                        Descent::Widening => expand(tree, cold, path, true),
                        Descent::Exhausted => return,
                        Descent::Collision | Descent::Ended => tree.retreat(path),
                        Descent::DeadEnd => {
                            tree.close_exhausted(path);
                            tree.retreat(path);
                        }
                    }
                    wanted -= usize::from(matches!(outcome, Descent::Leaf | Descent::Widening));
                }
            }
        }
    }

    fn expand(tree: &Tree, cold: &Cold, path: &Path<'_>, widened: bool) {
        let leaf = path.leaf().expect("a claimed leaf");
        let state = cold.read(leaf.id().index()) ^ u64::from(widened);
        let child = |index: usize| {
            let bits = derive_seed(state, index as u64);
            let ends = bits.is_multiple_of(4);
            let value = (bits >> 40) as f64 / f64::from(1 << 23) - 1.0;
            NewChild {
                end: ends.then_some(End::Closed),
                value: ends.then_some(value),
                ..NewChild::open((bits >> 32 & 0xff) as f32 / 256.0)
            }
        };
        let children: [NewChild; CHILDREN] = std::array::from_fn(child);
        let mut values: Vec<f64> = children.iter().filter_map(|child| child.value).collect();
        values.push(0.25);
        let run = if widened {
            tree.prepare_more(leaf, &children)
        } else {
            tree.prepare_with_room(&children, ROOM)
        };
        for (index, id) in run.ids().enumerate() {
            cold.write(id.index(), derive_seed(state, index as u64));
        }
        if widened {
            tree.publish_more(path, &run);
        } else {
            tree.publish(path, &run);
        }
        tree.backup(path, tree.layout().visits(&values));
    }
}
