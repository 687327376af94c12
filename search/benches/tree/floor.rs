//! The cheapest program that makes the same descents, expansions and backups: one thread, plain numbers, eight edges
//! in two cache lines. What a tree for many threads costs is measured against it.

use crate::engines::Outcome;
use crate::game::{BRANCHING, DEPTH, Position, START, VALUE_STEPS};

/// The edges of one expanded node, side by side.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Block {
    visits: [u32; BRANCHING],
    /// In units of `1 / VALUE_STEPS`.
    sums: [i32; BRANCHING],
    priors: [f32; BRANCHING],
    /// Index of the block below; 0 while there is none.
    children: [u32; BRANCHING],
}

/// Grows one tree.
#[must_use]
pub fn run(c_puct: f64, simulations: u64) -> Outcome {
    let mut blocks = vec![block(START)];
    let mut positions = vec![START];
    // The first simulation expands the root.
    let mut steps = 0;
    for simulation in 1..simulations {
        steps += simulate(&mut blocks, &mut positions, c_puct, simulation) as u64;
    }
    Outcome {
        steps: Some(steps),
        bytes_per_child: size_of::<Block>() as f64 / BRANCHING as f64,
        root_visits: blocks[0].visits.iter().map(|visits| u64::from(*visits)).collect(),
    }
}

fn block(position: Position) -> Block {
    Block {
        visits: [0; BRANCHING],
        sums: [0; BRANCHING],
        priors: position.priors(),
        children: [0; BRANCHING],
    }
}

/// One simulation; how many steps it took.
fn simulate(
    blocks: &mut Vec<Block>,
    positions: &mut Vec<Position>,
    c_puct: f64,
    simulation: u64,
) -> usize {
    let mut path = [(0, 0); DEPTH];
    let (mut at, mut depth) = (0, 0);
    let mut parent_visits = simulation as f64;
    let position = loop {
        let chosen = best(&blocks[at], c_puct * parent_visits.sqrt());
        path[depth] = (at, chosen);
        depth += 1;
        parent_visits = f64::from(blocks[at].visits[chosen]);
        let below = blocks[at].children[chosen] as usize;
        if below == 0 {
            let position = positions[at].after(chosen);
            if depth < DEPTH {
                blocks[at].children[chosen] = blocks.len() as u32;
                blocks.push(block(position));
                positions.push(position);
            }
            break position;
        }
        at = below;
    };
    let value = position.value();
    for &(at, chosen) in &path[..depth] {
        blocks[at].visits[chosen] += 1;
        blocks[at].sums[chosen] += value;
    }
    depth
}

#[inline]
fn best(block: &Block, weight: f64) -> usize {
    let scores: [f64; BRANCHING] = std::array::from_fn(|index| {
        let visits = f64::from(block.visits[index].cast_signed());
        let sum = f64::from(block.sums[index]) * (1.0 / f64::from(VALUE_STEPS));
        let bonus = weight * f64::from(block.priors[index]);
        let explored = 1.0 + visits;
        let tried = (sum * explored + bonus * visits) / (visits * explored);
        if visits > 0.0 { tried } else { bonus }
    });
    let mut best = 0;
    for index in 1..BRANCHING {
        if scores[index] > scores[best] {
            best = std::hint::black_box(index);
        }
    }
    best
}
