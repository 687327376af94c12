//! Exact truth, for measuring alone: how good a label or a value is, never what it should be. Search and training live in crates
//! that cannot see this module, and the pipeline calls it only to write metrics.

mod countdown;

pub use countdown::Solver;

use crate::environment::Domain;
use crate::environment::countdown::{Countdown, State};

/// Says whether a state can still be brought to a right answer.
pub trait Truth<S>: Default {
    /// Whether a right answer is still reachable.
    fn solvable(&mut self, state: &S) -> bool;
}

/// An environment with an exact truth.
pub trait Measurable: Domain {
    /// Its solver.
    type Truth: Truth<Self::State>;
}

impl Truth<State> for Solver {
    fn solvable(&mut self, state: &State) -> bool {
        self.reachable(state.numbers(), state.target())
    }
}

impl Measurable for Countdown {
    type Truth = Solver;
}
