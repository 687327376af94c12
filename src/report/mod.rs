//! Figures, tables and plots.

mod auc;
mod interval;
mod one_line;
mod outline;
mod plot;
mod rounds;
mod table;

pub use auc::{Auc, Scored};
pub use interval::{Proportion, mean_of_runs, percent, proportion};
pub use outline::{Outline, OutlineFilter, OutlineNode, check_tree};
pub use plot::{Plot, Series};
pub use rounds::{
    ABSENT, RoundFiles, RoundsRow, RowsOf, Runs, Section, label_of, mean_auc, record_name,
    rounds_plot, rounds_table,
};
pub use table::Table;
