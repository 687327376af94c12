//! Figures, tables and plots.

mod auc;
mod interval;
mod plot;
mod rounds;
mod table;

pub use auc::{Auc, auc};
pub use interval::{Proportion, proportion};
pub use plot::{Plot, Series};
pub use rounds::rounds_table;
pub use table::Table;
