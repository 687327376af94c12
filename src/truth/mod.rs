//! Exact truth, for measuring alone: how good a label or a value is, never what it should be. Search and training live in crates
//! that cannot see this module, and the pipeline calls it only to write metrics.

mod countdown;

pub use countdown::Solver;

use crate::environment::Domain;
use crate::environment::countdown::{Countdown, State};
use crate::environment::program::Program;

/// Says whether a state can still be brought to a right answer.
pub trait Truth<S> {
    /// Whether a right answer is still reachable.
    fn solvable(&mut self, state: &S) -> bool;
}

/// An environment of which labels can be measured, where its truth is known.
pub trait Measurable: Domain {
    /// Its solver.
    type Truth: Truth<Self::State>;

    /// A fresh solver; `None` where nobody knows the truth.
    fn truth(&self) -> Option<Self::Truth>;
}

/// The truth of an environment that has none to compute.
#[derive(Debug)]
pub enum Unknown {}

impl<S> Truth<S> for Unknown {
    fn solvable(&mut self, _: &S) -> bool {
        match *self {}
    }
}

impl Truth<State> for Solver {
    fn solvable(&mut self, state: &State) -> bool {
        self.reachable(state.numbers(), state.target())
    }
}

impl Measurable for Countdown {
    type Truth = Solver;

    fn truth(&self) -> Option<Solver> {
        Some(Solver::default())
    }
}

impl Measurable for Program {
    type Truth = Unknown;

    fn truth(&self) -> Option<Unknown> {
        None
    }
}
