//! One table, three ways to write it.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, TableStyle, Width, presets,
};

use super::one_line::width_of;

/// A table with a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(header: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as the header has.
    pub fn push(&mut self, row: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// Names of the columns.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// Aligned text.
    #[must_use]
    pub fn text(&self) -> String {
        self.aligned(presets::UTF8_HORIZONTAL_ONLY).to_string()
    }

    /// Aligned text whose lines take at most so many cells of a terminal, where that can be: cells of the table go on in further lines.
    #[must_use]
    pub fn text_within(&self, width: u16) -> String {
        let mut table = self.aligned(presets::UTF8_HORIZONTAL_ONLY);
        if table.lines().any(|line| width_of(&line) > usize::from(width)) {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            // What a row is of keeps its words whole, where that leaves room for the numbers.
            let names = self.rows.iter().chain([&self.header]).filter_map(|row| row.first());
            let words = names.flat_map(|name| name.split_whitespace()).map(width_of);
            let least = words.max().unwrap_or(0).saturating_add(2).min(usize::from(width / 3));
            if let Some(column) = table.column_mut(0) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least as u16)));
            }
        }
        table.to_string()
    }

    /// Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        self.aligned(presets::ASCII_MARKDOWN).to_string()
    }

    fn aligned(&self, style: TableStyle) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table.load_style(style).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(&self.header);
        table.add_rows(&self.rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// CSV (RFC 4180): cells with commas or quotes are quoted.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let cells: Vec<String> = row
                .iter()
                .map(|cell| {
                    if cell.contains([',', '"', '\n']) {
                        format!("\"{}\"", cell.replace('"', "\"\""))
                    } else {
                        cell.clone()
                    }
                })
                .collect();
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn three_forms() {
        let mut table = Table::new(["decoding", "accuracy"]);
        table.push(["greedy", "5.0"]);
        table.push(["sbs, \"wide\"", "10.0"]);
        assert!(table.text().contains("greedy"));
        let markdown = table.markdown();
        assert_eq!(markdown.lines().next(), Some("| decoding    | accuracy |"));
        assert_eq!(table.text_within(80), table.text());
        let narrow = table.text_within(20);
        assert!(narrow.lines().all(|line| line.chars().count() <= 20), "{narrow}");
        assert!(narrow.contains("10.0") && narrow.contains("\"wide\""), "{narrow}");
        assert_eq!(table.csv(), "decoding,accuracy\ngreedy,5.0\n\"sbs, \"\"wide\"\"\",10.0\n");
    }

    #[test]
    fn a_narrow_table_keeps_the_words_of_its_first_column_and_every_cell() {
        let mut table = Table::new(["decoding", "round 0, % right", "round 1, % right", "tokens"]);
        table.push(["calibration error of V", "0.237 [0.1, 0.3]", "0.183 [0.1, 0.2]", "12.5"]);
        for width in [40, 50, 60, 200] {
            let text = table.text_within(width);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{width}: {text}");
            assert!(text.contains("calibration") || width < 50, "{text}");
            for part in ["0.237", "0.183", "12.5", "error", "0.2]"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
}
