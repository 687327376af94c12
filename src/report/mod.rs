//! Figures, tables and plots.

mod auc;
mod interval;
mod one_line;
mod outline;
mod plot;
mod rounds;
mod table;

pub use auc::{Auc, auc};
pub use interval::{Proportion, proportion};
pub use outline::{Outline, OutlineFilter, OutlineNode, check_tree};
pub use plot::{Plot, Series};
pub use rounds::rounds_table;
pub use table::Table;
