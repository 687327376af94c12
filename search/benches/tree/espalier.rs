//! Our own tree in the benchmark's game.

use espalier_search::tree::{
    Chunked, End, InFlight, NewChild, Path, StatsLayout, Tree, TreeConfig,
};
use espalier_search::{Descent, Puct, descend};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engines::Outcome;
use crate::game::{BRANCHING, DEPTH, Position, START, VALUE_STEPS};

/// Simulations that a thread takes on at a time: a count that all threads change for each would be one more contended line.
const BLOCK: u64 = 64;

/// Grows one tree with `threads` threads.
///
/// # Panics
/// When so many simulations fit no statistics layout: beyond a few hundred million.
#[must_use]
pub fn run(c_puct: f64, simulations: u64, threads: usize) -> Outcome {
    let layout = StatsLayout::new(simulations, 4 * threads as u64)
        .expect("the benchmark's sizes fit a statistics word");
    let in_flight = (threads > 1).then_some(InFlight { loss: 1.0, explored: 1.0 });
    let tree = Tree::new(&TreeConfig { layout, in_flight, avoid_exhausted: true });
    let positions: Chunked<AtomicU64> = Chunked::new();
    positions.reserve_zeroed(0);
    positions.get(0).store(START.0, Ordering::Relaxed);
    let started = AtomicU64::new(0);
    let steps = AtomicU64::new(0);
    let work = || {
        let puct = Puct { c_puct, base: None };
        let mut path = Path::new();
        let mut taken = 0;
        loop {
            let first = started.fetch_add(BLOCK, Ordering::Relaxed);
            if first >= simulations {
                break;
            }
            for _ in first..simulations.min(first + BLOCK) {
                simulate(&tree, &positions, &puct, &mut path);
                taken += path.depth() as u64;
            }
        }
        steps.fetch_add(taken, Ordering::Relaxed);
    };
    if threads == 1 {
        work();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
    }
    let root_visits = tree.root().children(&tree).map(|child| child.stats(&tree).visits).collect();
    let bytes_per_child = tree.bytes() as f64 / (tree.len() - 1) as f64;
    Outcome { root_visits, steps: Some(steps.into_inner()), bytes_per_child }
}

/// One simulation.
#[inline]
fn simulate<'t>(tree: &'t Tree, positions: &Chunked<AtomicU64>, puct: &Puct, path: &mut Path<'t>) {
    loop {
        let descent = descend(tree, puct, puct, path);
        let Some(leaf) = path.leaf() else { continue };
        let position = positions.get(leaf.id().index());
        // Relaxed: written before the leaf was published.
        let position = Position(position.load(Ordering::Relaxed));
        match descent {
            Descent::Leaf => expand(tree, positions, position, path),
            Descent::Ended => {}
            Descent::Widening | Descent::Collision | Descent::DeadEnd | Descent::Exhausted => {
                tree.retreat(path);
                std::hint::spin_loop();
                continue;
            }
        }
        let value = f64::from(position.value()) / f64::from(VALUE_STEPS);
        tree.backup(path, tree.layout().visits(&[value]));
        return;
    }
}

fn expand<'t>(tree: &'t Tree, positions: &Chunked<AtomicU64>, position: Position, path: &Path<'t>) {
    let end = (path.depth() + 1 == DEPTH).then_some(End::Revisited);
    let children: [NewChild; BRANCHING] =
        position.priors().map(|prior| NewChild { end, ..NewChild::open(prior) });
    let run = tree.prepare(&children);
    for (choice, id) in run.ids().enumerate() {
        positions.reserve_zeroed(id.index());
        // Relaxed: published with the run.
        positions.get(id.index()).store(position.after(choice).0, Ordering::Relaxed);
    }
    tree.publish(path, &run);
}
