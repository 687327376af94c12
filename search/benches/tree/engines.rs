//! The engines beside each other, shape by shape.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{Cancel, MctsConfig, for_each_index, search_tree};
use serde::{Deserialize, Serialize};

use crate::{espalier, floor, peer};

/// The tree that an engine grew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Visits of the root's children.
    pub root_visits: Vec<u64>,
    /// Steps of all descents; None where the engine does not tell.
    pub steps: Option<u64>,
    /// Bytes of a child that selection and backup touch, its share of the siblings' common ones included.
    pub bytes_per_child: f64,
}

/// The two shapes of the synthetic game, by their exploration weight.
const SHAPES: [(&str, f64); 2] = [("narrow", 1.5), ("wide", 50.0)];

/// Descents that a thread keeps in flight, and leaves that a search sends to its evaluator together, where they are several.
const TOGETHER: usize = 8;

/// The work of one repetition.
pub struct Done {
    /// Simulations of all threads.
    pub simulations: u64,
    /// The tree, where there is one of the synthetic game.
    pub outcome: Option<Outcome>,
}

/// One engine in one shape.
pub struct Case {
    pub engine: &'static str,
    pub shape: &'static str,
    pub threads: usize,
    /// Whether the threads share one tree; otherwise each has its own.
    pub shared: bool,
    /// Descents that each thread keeps in flight.
    pub together: usize,
    pub run: Box<dyn Fn() -> Result<Done>>,
}

/// All cases, on one thread and on `threads`.
pub fn cases(threads: usize, simulations: u64) -> Vec<Case> {
    let counts = if threads > 1 { vec![1, threads] } else { vec![1] };
    let mut cases = Vec::new();
    for (shape, c_puct) in SHAPES {
        let mut add = |engine, threads, shared, together, run: Box<dyn Fn() -> Outcome + Sync>| {
            let run = move || {
                if shared || threads == 1 {
                    return Ok(Done { simulations, outcome: Some(run()) });
                }
                std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(&run)));
                Ok(Done { simulations: simulations * threads as u64, outcome: None })
            };
            cases.push(Case { engine, shape, threads, shared, together, run: Box::new(run) });
        };
        add("floor", 1, true, 1, Box::new(move || floor::run(c_puct, simulations)));
        for &threads in &counts {
            for together in [1, TOGETHER] {
                let ours = move || espalier::run(c_puct, simulations, threads, together);
                add("espalier", threads, true, together, Box::new(ours));
            }
            let theirs = move || peer::run(c_puct, simulations, threads);
            add("mcts", threads, true, 1, Box::new(theirs));
        }
        if threads > 1 {
            let ours = move || espalier::run(c_puct, simulations, 1, 1);
            add("espalier", threads, false, 1, Box::new(ours));
            add("mcts", threads, false, 1, Box::new(move || peer::run(c_puct, simulations, 1)));
        }
    }
    let mut add = |shape, threads, shared, together, run| {
        cases.push(Case { engine: "espalier", shape, threads, shared, together, run });
    };
    for &threads in &counts {
        for together in [1, TOGETHER] {
            let run = move || large_search(simulations / 5, threads, together);
            add("large", threads, true, together, Box::new(run));
        }
    }
    for threads in counts {
        add("alphamath", threads, false, 1, Box::new(move || small_searches(simulations, threads)));
    }
    cases
}

/// One search of a large tree.
fn large_search(simulations: u64, workers: usize, leaf_batch: usize) -> Result<Done> {
    let config = MctsConfig {
        c_puct: 10.0,
        max_depth: 10,
        simulations: simulations.max(1),
        workers,
        leaf_batch,
        ..MctsConfig::default()
    };
    Ok(Done { simulations: search(&config, 1)?, outcome: None })
}

/// As many searches of 40 simulations as make up `simulations`.
fn small_searches(simulations: u64, threads: usize) -> Result<Done> {
    let config = MctsConfig { max_depth: 10, ..MctsConfig::default() };
    let trees = (simulations / config.simulations).max(1) as usize;
    let done = AtomicU64::new(0);
    for_each_index(trees, threads, &Cancel::new(), |index| -> Result<()> {
        done.fetch_add(search(&config, index as u64)?, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(Done { simulations: done.into_inner(), outcome: None })
}

/// A search of the letter game with its record; how many simulations it made.
fn search(config: &MctsConfig, seed: u64) -> Result<u64> {
    let game = LetterGame { length: Some(10) };
    let problem = LetterGame::problem("bench", "abcdefgh");
    let evaluator = HashedEvaluator::new(1, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    Ok(search_tree(&game, &evaluator, &problem, config, seed, true, &Cancel::new())?.simulations)
}

/// Checks that the floor makes the same descents and that no engine loses a simulation.
pub fn check() {
    for (shape, c_puct) in SHAPES {
        let (ours, floor) = (espalier::run(c_puct, 20_000, 1, 1), floor::run(c_puct, 20_000));
        assert_eq!(ours.root_visits, floor.root_visits, "{shape}");
        assert_eq!(ours.steps, floor.steps, "{shape}");
        assert!(ours.bytes_per_child <= 24.0);
        for (threads, together) in [(1, 1), (1, TOGETHER), (2, 1), (2, TOGETHER)] {
            // The first simulation expands the root.
            let ours = espalier::run(c_puct, 20_000, threads, together).root_visits;
            assert_eq!(ours.iter().sum::<u64>(), 19_999, "{shape}");
        }
        assert!(peer::run(c_puct, 20_000, 2).root_visits.iter().sum::<u64>() >= 19_999, "{shape}");
    }
    for case in cases(2, 2_000) {
        let done = (case.run)().expect("a search of the letter game");
        assert!(done.simulations >= 400, "{} {}", case.engine, case.shape);
    }
}
