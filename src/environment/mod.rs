//! The kinds of problem that can be searched. A new kind is a new folder here, which implements [`EnvironmentKind`]; its `pub mod`
//! line below; and its line in the list of [`AnyEnvironment`].

mod any;
pub mod arithmetic;
pub mod countdown;
mod distinct;
mod kind;
pub mod program;
mod split;
mod written;

pub use any::{AnyEnvironment, AnyState, EnvironmentRecipe};
pub use kind::{EnvironmentKind, NoGenerator, ProblemGenerator, Truth, WorkedSolution};
pub use split::Split;
pub use written::Written;
