//! Figures, tables and plots.

mod auc;
mod interval;
pub(crate) mod one_line;
mod outline;
mod plot;
mod rounds;
mod side_by_side;
mod sketch;
mod table;

pub use auc::{Auc, Scored};
pub(crate) use interval::mean;
pub use interval::{Difference, Proportion, difference, mean_of_runs, percent, proportion};
pub use outline::{Outline, OutlineFilter, OutlineNode, check_tree};
pub(crate) use outline::{ending, stopped};
pub use plot::{Plot, Series};
pub use rounds::{
    ABSENT, RoundFiles, RoundsRow, RowsOf, Runs, Section, area_of_runs, label_of, record_name,
    rounds_curves, rounds_plot, rounds_table, table_of,
};
pub use side_by_side::SideBySide;
pub use sketch::{Canvas, Sketch};
pub use table::Table;
