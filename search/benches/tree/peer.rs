//! The crate `mcts` 0.3, which also grows one tree with several threads and no lock, in the benchmark's game.

use mcts::tree_policy::AlphaGoPolicy;
use mcts::{Evaluator, GameState, MCTS, MCTSManager, SearchHandle};

use crate::engines::Outcome;
use crate::game::{BRANCHING, DEPTH, Position, START, VALUE_STEPS};

#[derive(Clone)]
struct Game {
    position: Position,
    depth: usize,
}

impl GameState for Game {
    type Move = u8;
    type Player = ();
    type MoveList = Vec<u8>;

    fn current_player(&self) {}

    fn available_moves(&self) -> Vec<u8> {
        if self.depth == DEPTH { Vec::new() } else { (0..BRANCHING as u8).collect() }
    }

    fn make_move(&mut self, choice: &u8) {
        self.position = self.position.after(usize::from(*choice));
        self.depth += 1;
    }
}

struct Hashed;

impl Evaluator<Peer> for Hashed {
    type StateEvaluation = i64;

    fn evaluate_new_state(
        &self,
        state: &Game,
        moves: &Vec<u8>,
        _: Option<SearchHandle<'_, Peer>>,
    ) -> (Vec<f64>, i64) {
        let priors = state.position.priors();
        (
            priors[..moves.len()].iter().copied().map(f64::from).collect(),
            state.position.value().into(),
        )
    }

    fn evaluate_existing_state(&self, _: &Game, value: &i64, _: SearchHandle<'_, Peer>) -> i64 {
        *value
    }

    fn interpret_evaluation_for_player(&self, value: &i64, (): &()) -> i64 {
        *value
    }
}

#[derive(Default)]
struct Peer;

impl MCTS for Peer {
    type State = Game;
    type Eval = Hashed;
    type NodeData = ();
    type ExtraThreadData = ();
    type TreePolicy = AlphaGoPolicy;
    type TranspositionTable = ();

    fn virtual_loss(&self) -> i64 {
        VALUE_STEPS.into()
    }
}

/// Grows one tree with `threads` threads.
#[must_use]
pub fn run(c_puct: f64, simulations: u64, threads: usize) -> Outcome {
    // Its rewards are integers, so the exploration term is scaled as they are.
    let policy = AlphaGoPolicy::new(c_puct * f64::from(VALUE_STEPS));
    let game = Game { position: START, depth: 0 };
    let mut manager = MCTSManager::new(game, Peer, Hashed, policy, ());
    if threads == 1 {
        manager.playout_n(simulations);
    } else {
        manager.playout_n_parallel(simulations as u32, threads);
    }
    let tree = manager.tree();
    let root = tree.root_node();
    Outcome {
        steps: None,
        // Its record of a child; what a node has beside its children is left out.
        bytes_per_child: size_of::<mcts::MoveInfo<Peer>>() as f64,
        root_visits: root.moves().map(mcts::MoveInfo::visits).collect(),
    }
}
