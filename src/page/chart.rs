//! What a chart of a page says, apart from how it is drawn.

use serde::Serialize;

/// Lines over one axis. The page draws it, and lays it out as a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Below the horizontal axis.
    pub x_label: String,
    /// Beside the vertical axis.
    pub y_label: String,
    /// Whether the vertical axis is of shares from 0 to 1, shown as percentages.
    pub share: bool,
    /// Whether the horizontal axis is of whole numbers, such as rounds.
    pub whole: bool,
    /// Whether a line from corner to corner shows where both axes say the same.
    pub diagonal: bool,
    /// What the reader must know besides.
    pub note: String,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line of a chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Its name.
    pub label: String,
    /// x, y, and the ends of y's 95 % interval where it has one.
    pub points: Vec<Point>,
}

/// x, y, lower and upper end.
pub type Point = (f64, f64, Option<f64>, Option<f64>);

impl Chart {
    /// A chart of shares by round.
    pub(super) fn of_shares(title: &str, lines: Vec<Line>) -> Self {
        Self { share: true, ..Self::by_round(title, "share", lines) }
    }

    /// A chart by round.
    pub(super) fn by_round(title: &str, y_label: &str, lines: Vec<Line>) -> Self {
        Self {
            title: title.to_owned(),
            x_label: "round".to_owned(),
            y_label: y_label.to_owned(),
            whole: true,
            lines,
            ..Self::default()
        }
    }

    /// Whether there is something to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.is_empty())
    }
}

/// A table of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sheet {
    /// Above it.
    pub title: String,
    /// What the reader must know besides.
    pub note: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}
