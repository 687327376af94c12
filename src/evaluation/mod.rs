//! The figures of a net: a list of measures, each of which reads one record of the net's answers (or files of its own) and prints its
//! own rows. A new measure is a file here, its `mod` line below and its line in `measures`.

mod compare;
pub mod decodings;
mod evaluate;
mod grid;
mod measure;
mod measures;
pub mod pass_at_k;
pub mod probe;
pub mod process;
mod recipe;
mod record;
mod samples;
pub mod value_auc;
pub mod votes;

pub use compare::{Compared, compare, comparison_table};
pub use evaluate::{Evaluated, evaluate};
pub use measure::{Figures, Measure, Needs, Subject};
pub use measures::{MeasureRecipe, ROWS, default_measures};
pub use recipe::{EvaluationRecipe, listed_once, validate_measures};
pub use record::{Decoded, Line, Record};
pub use samples::{Draw, Sample, SampleSet};
