//! The rows as aligned text.

use crate::Row;

const HEADER: [&str; 10] = [
    "shape",
    "engine",
    "threads",
    "tree",
    "in flight",
    "ns/simulation",
    "min",
    "max",
    "path",
    "bytes/child",
];

/// One line a row, under a header.
pub fn table(rows: &[Row]) -> String {
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
    let cells = |row: &Row| {
        [
            row.shape.to_owned(),
            row.engine.to_owned(),
            row.threads.to_string(),
            if row.shared { "shared" } else { "each its own" }.to_owned(),
            row.together.to_string(),
            format!("{:.0}", row.ns_per_simulation),
            format!("{:.0}", row.ns_min),
            format!("{:.0}", row.ns_max),
            number(row.mean_path),
            number(row.bytes_per_child),
        ]
    };
    let lines: Vec<[String; 10]> =
        std::iter::once(HEADER.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: [usize; 10] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            match column {
                0 | 1 => text.push_str(&format!("{cell:<width$}  ")),
                _ => text.push_str(&format!("{cell:>width$}  ")),
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
