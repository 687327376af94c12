//! Our own tree in the benchmark's game.

use espalier_search::tree::{
    Chunked, End, InFlight, NewChild, Node, NodeId, Path, StatsLayout, Tree, TreeConfig,
};
use espalier_search::{Descent, MAX_TOGETHER, Puct, descend, descend_together};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engines::Outcome;
use crate::game::{BRANCHING, DEPTH, Position, START, VALUE_STEPS};

/// The position above each run of siblings, as the floor keeps it.
struct Parents(Chunked<AtomicU64>);

impl Parents {
    fn new() -> Self {
        Self(Chunked::new())
    }

    /// Siblings are [`BRANCHING`] everywhere, and the first of them come behind the root.
    fn of(first: NodeId) -> u32 {
        first.index() / BRANCHING as u32
    }

    fn set(&self, first: NodeId, position: Position) {
        self.0.reserve_zeroed(Self::of(first));
        // Relaxed: published with the run.
        self.0.get(Self::of(first)).store(position.0, Ordering::Relaxed);
    }

    fn position(&self, node: Node<'_>) -> Position {
        let (first, choice) = node.place();
        if first == NodeId::ROOT {
            return START;
        }
        // Relaxed: written before the node was published.
        Position(self.0.get(Self::of(first)).load(Ordering::Relaxed)).after(choice)
    }
}

/// Simulations that a thread takes on at a time: a count that all threads change for each would be one more contended line.
const BLOCK: u64 = 64;

/// Grows one tree with `threads` threads, each of which keeps `together` descents in flight.
///
/// # Panics
/// When so many simulations fit no statistics layout: beyond a few hundred million.
#[must_use]
pub fn run(c_puct: f64, simulations: u64, threads: usize, together: usize) -> Outcome {
    let layout = StatsLayout::new(simulations, (4.max(together) * threads) as u64)
        .expect("the benchmark's sizes fit a statistics word");
    let shared = threads > 1;
    let in_flight = (shared || together > 1).then_some(InFlight { loss: 1.0, explored: 1.0 });
    let tree = Tree::new(&TreeConfig { layout, in_flight, shared, avoid_exhausted: true });
    let parents = Parents::new();
    let started = AtomicU64::new(0);
    let steps = AtomicU64::new(0);
    let work = || {
        let puct = Puct { c_puct, base: None };
        let mut paths: Vec<Path<'_>> = (0..together).map(|_| Path::new()).collect();
        let mut taken = 0;
        loop {
            let first = started.fetch_add(BLOCK, Ordering::Relaxed);
            if first >= simulations {
                break;
            }
            let mut left = (simulations - first).min(BLOCK) as usize;
            while left > 0 {
                let paths = &mut paths[..left.min(together)];
                let done = simulate(&tree, &parents, &puct, paths);
                left -= done;
                taken += paths[..done].iter().map(|path| path.depth() as u64).sum::<u64>();
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

/// Up to a simulation for each path; how many they were, whose paths come to lie in front.
#[inline]
fn simulate<'t>(tree: &'t Tree, parents: &Parents, puct: &Puct, paths: &mut [Path<'t>]) -> usize {
    let mut outcomes = [Descent::Exhausted; MAX_TOGETHER];
    match paths {
        [path] => outcomes[0] = descend(tree, puct, puct, path),
        _ => outcomes = descend_together(tree, puct, puct, paths),
    }
    let mut done = 0;
    for index in 0..paths.len() {
        match outcomes[index] {
            Descent::Leaf | Descent::Ended => {
                outcomes.swap(done, index);
                paths.swap(done, index);
                done += 1;
            }
            Descent::Widening | Descent::Collision | Descent::DeadEnd | Descent::Exhausted => {
                tree.retreat(&paths[index]);
            }
        }
    }
    if done == 0 {
        std::hint::spin_loop();
    }
    // Read before any is expanded: what memory makes wait, it does for all of them at once.
    let mut at = [START; MAX_TOGETHER];
    for (position, path) in at.iter_mut().zip(&paths[..done]) {
        let leaf = path.leaf().expect("a descent has begun at the root");
        *position = parents.position(leaf);
    }
    for ((path, position), outcome) in paths[..done].iter().zip(at).zip(outcomes) {
        if outcome == Descent::Leaf {
            expand(tree, parents, position, path);
        }
        let value = f64::from(position.value()) / f64::from(VALUE_STEPS);
        tree.backup(path, tree.layout().visits(&[value]));
    }
    done
}

fn expand<'t>(tree: &'t Tree, parents: &Parents, position: Position, path: &Path<'t>) {
    let end = (path.depth() + 1 == DEPTH).then_some(End::Revisited);
    let children: [NewChild; BRANCHING] =
        position.priors().map(|prior| NewChild { end, ..NewChild::open(prior) });
    let run = tree.prepare(&children);
    parents.set(run.first(), position);
    tree.publish(path, &run);
}
