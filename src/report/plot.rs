//! Curves with intervals, as SVG.

use plotters::prelude::*;

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// x, y, and the ends of y's interval.
    pub points: Vec<(f64, f64, f64, f64)>,
}

/// Curves over named positions on the x axis, y in [0, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Above the plot.
    pub title: String,
    /// Below it.
    pub x_label: String,
    /// Beside it.
    pub y_label: String,
    /// Names of x = 0, 1, ...
    pub ticks: Vec<String>,
    /// The curves.
    pub series: Vec<Series>,
}

/// Okabe and Ito's colours, told apart by colour-blind readers too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

impl Plot {
    /// Draws the plot.
    ///
    /// # Errors
    /// When the drawing library fails.
    pub fn svg(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (720, 440)).into_drawing_area();
            root.fill(&WHITE)?;
            let last = self.ticks.len().saturating_sub(1) as f64;
            let mut chart = ChartBuilder::on(&root)
                .margin(16)
                .caption(&self.title, ("sans-serif", 20))
                .x_label_area_size(44)
                .y_label_area_size(56)
                .build_cartesian_2d(-0.3..last + 0.3, 0.0..1.0)?;
            let name = |x: &f64| {
                let near = x.round();
                let tick = (near >= 0.0 && (x - near).abs() < 1e-6)
                    .then(|| self.ticks.get(near as usize))
                    .flatten();
                tick.cloned().unwrap_or_default()
            };
            chart
                .configure_mesh()
                .disable_x_mesh()
                .x_labels(2 * self.ticks.len() + 1)
                .x_label_formatter(&name)
                .x_desc(&self.x_label)
                .y_desc(&self.y_label)
                .label_style(("sans-serif", 14))
                .draw()?;
            for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
                let line = series.points.iter().map(|&(x, y, ..)| (x, y));
                chart
                    .draw_series(LineSeries::new(line, colour.stroke_width(2)))?
                    .label(&series.label)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
                chart.draw_series(series.points.iter().map(|&(x, y, low, high)| {
                    ErrorBar::new_vertical(x, low, y, high, colour.filled(), 8)
                }))?;
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .label_font(("sans-serif", 14))
                .draw()?;
            root.present()?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_and_tick_is_drawn() {
        let plot = Plot {
            title: "a < b".into(),
            x_label: "decoding".into(),
            y_label: "share right".into(),
            ticks: vec!["mcts:5".into(), "mcts:40".into()],
            series: vec![
                Series {
                    label: "low".into(),
                    points: vec![(0.0, 0.2, 0.1, 0.3), (1.0, 0.4, 0.3, 0.5)],
                },
                Series {
                    label: "high".into(),
                    points: vec![(0.0, 0.3, 0.2, 0.4), (1.0, 0.6, 0.5, 0.7)],
                },
            ],
        };
        let svg = plot.svg().unwrap();
        for part in ["mcts:5", "mcts:40", "low", "high", "a &lt; b", "decoding"] {
            assert!(svg.contains(part), "{part} is not in the plot");
        }
    }
}
