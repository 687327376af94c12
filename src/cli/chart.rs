//! A plot in letters, for the end of a run.

use espalier::report::Plot;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, LegendPosition, Widget};

use super::terminal::Terminal;

const HEIGHT: u16 = 14;
const WIDEST: u16 = 100;
/// Those of eight that are read on light and dark grounds.
const COLOURS: [Color; 6] =
    [Color::Blue, Color::Red, Color::Green, Color::Magenta, Color::Yellow, Color::Cyan];

/// Draws the plot's curves, without their intervals.
pub fn drawn(plot: &Plot, terminal: Terminal) -> String {
    let area = Rect::new(0, 0, terminal.width.min(WIDEST), HEIGHT);
    let points: Vec<Vec<(f64, f64)>> = plot
        .series
        .iter()
        .map(|line| line.points.iter().map(|at| (at.0, at.1)).collect())
        .collect();
    let most = points.iter().flatten().map(|point| point.1).fold(0.0, f64::max);
    // The least of these that holds all.
    let top = [0.1, 0.25, 0.5, 0.75, 1.0].into_iter().find(|top| *top >= most).unwrap_or(1.0);
    let lines = plot.series.iter().zip(&points).enumerate().map(|(index, (line, points))| {
        Dataset::default()
            .name(line.label.as_str())
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(COLOURS[index % COLOURS.len()]))
            .data(points)
    });
    let last = plot.ticks.len().saturating_sub(1).max(1) as f64;
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let chart = Chart::new(lines.collect())
        .x_axis(Axis::default().bounds([0.0, last]).labels(plot.ticks.iter().map(String::as_str)))
        .y_axis(Axis::default().bounds([0.0, top]).labels([0.0, top / 2.0, top].map(percent)))
        .legend_position(Some(LegendPosition::TopLeft))
        .hidden_legend_constraints((Constraint::Percentage(60), Constraint::Percentage(70)));
    let mut buffer = Buffer::empty(area);
    chart.render(area, &mut buffer);
    let mut text = format!("{}, % of problems", plot.title);
    for y in area.rows() {
        text.push('\n');
        text.push_str(&row(&buffer, y, terminal.colours));
    }
    text
}

/// A row of cells, without the blanks at its end.
fn row(buffer: &Buffer, row: Rect, colours: bool) -> String {
    let cells: Vec<_> = (row.left()..row.right()).map(|x| &buffer[(x, row.y)]).collect();
    let used =
        cells.iter().rposition(|cell| !cell.symbol().trim().is_empty()).map_or(0, |last| last + 1);
    let mut text = String::new();
    let mut colour = Color::Reset;
    for cell in &cells[..used] {
        if colours && cell.fg != colour {
            colour = cell.fg;
            text.push_str(code(colour));
        }
        text.push_str(cell.symbol());
    }
    if colour != Color::Reset {
        text.push_str(code(Color::Reset));
    }
    text
}

fn code(colour: Color) -> &'static str {
    match colour {
        Color::Red => "\u{1b}[31m",
        Color::Green => "\u{1b}[32m",
        Color::Yellow => "\u{1b}[33m",
        Color::Blue => "\u{1b}[34m",
        Color::Magenta => "\u{1b}[35m",
        Color::Cyan => "\u{1b}[36m",
        _ => "\u{1b}[39m",
    }
}

#[cfg(test)]
mod tests {
    use espalier::report::Series;

    use super::*;

    fn plot() -> Plot {
        let line = |label: &str, shares: [f64; 3]| Series {
            label: label.to_owned(),
            points: shares.iter().enumerate().map(|(x, &y)| (x as f64, y, y, y)).collect(),
        };
        Plot {
            title: "Accuracy by round".to_owned(),
            x_label: String::new(),
            y_label: String::new(),
            ticks: ["0", "1", "2"].map(str::to_owned).to_vec(),
            series: vec![line("greedy", [0.0, 0.2, 0.4]), line("mcts:40", [0.1, 0.3, 0.45])],
        }
    }

    #[test]
    fn curves_and_their_names_are_within_the_terminal() {
        let text = drawn(&plot(), Terminal { width: 60, height: 24, colours: false });
        assert_eq!(text.lines().count(), 1 + usize::from(HEIGHT));
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        for words in ["greedy", "mcts:40", "50 %", "25 %"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        // Dots of curves.
        assert!(text.contains(|sign: char| ('\u{2801}'..='\u{28ff}').contains(&sign)), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn colours_tell_curves_apart_and_end() {
        let text = drawn(&plot(), Terminal { width: 80, height: 24, colours: true });
        assert!(text.contains("\u{1b}[34m") && text.contains("\u{1b}[31m"), "{text}");
        let ends = |line: &str| line.rfind("\u{1b}[39m") >= line.rfind("\u{1b}[3");
        assert!(text.lines().all(ends), "{text}");
    }

    #[test]
    fn a_run_without_a_round_and_a_narrow_terminal_are_drawn_too() {
        let one = Plot { ticks: vec!["0".to_owned()], ..plot() };
        for width in [1, 5, 20, 300] {
            let terminal = Terminal { width, height: 5, colours: false };
            assert!(
                drawn(&one, terminal)
                    .lines()
                    .skip(1)
                    .all(|line| line.chars().count() <= usize::from(width))
            );
        }
    }
}
