//! The view of a run in the terminal.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Stylize;
use ratatui::text::Line;
use ratatui::widgets::{Block, Gauge, Paragraph};

use crate::log::clock;
use espalier::interrupt::Work;
use espalier::report::{Outline, OutlineFilter, check_tree};
use espalier::status::{self, State, Status};

/// How often the files are read.
const EVERY: Duration = Duration::from_millis(500);

/// Shows a run until `q`, Escape or Ctrl-C.
pub fn show(run: &Path, address: &str) -> Result<()> {
    let mut terminal =
        ratatui::try_init().context("cannot draw in this terminal; --plain does not")?;
    let result = watch(&mut terminal, run, address);
    ratatui::restore();
    result
}

fn watch(terminal: &mut ratatui::DefaultTerminal, run: &Path, address: &str) -> Result<()> {
    let work = Work::begin();
    while !work.is_stopped() {
        let view = View::read(run, address);
        terminal.draw(|frame| view.draw(frame))?;
        if event::poll(EVERY)?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let interrupt =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                break;
            }
        }
    }
    Ok(())
}

/// What is drawn.
struct View<'a> {
    run: &'a Path,
    address: &'a str,
    /// The status, or why there is none.
    status: Result<Status, String>,
    /// The last tree's lines.
    tree: Vec<String>,
}

impl<'a> View<'a> {
    fn read(run: &'a Path, address: &'a str) -> Self {
        let status = match Status::read(run) {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("nothing is known of this run yet".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        };
        let tree = match status::last_tree(run) {
            Ok(Some(tree)) => match check_tree(&tree) {
                Ok(()) => Outline::new(&tree, OutlineFilter { depth: None, min_visits: 1 })
                    .text()
                    .lines()
                    .map(str::to_owned)
                    .collect(),
                Err(error) => vec![error],
            },
            Ok(None) => vec!["none yet".to_owned()],
            Err(error) => vec![format!("{error:#}")],
        };
        Self { run, address, status, tree }
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [head, bar, figures, tree, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Length(5),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let heading = [Line::from(self.run.display().to_string()).bold(), Line::from(self.at())];
        frame.render_widget(Paragraph::new(heading.to_vec()), head);
        if let Ok(Status { total: total @ 1.., done, counting, .. }) = &self.status {
            let gauge = Gauge::default()
                .ratio((*done as f64 / *total as f64).clamp(0.0, 1.0))
                .label(format!("{counting}: {done} of {total}"));
            frame.render_widget(gauge, bar);
        }
        let lines: Vec<Line<'_>> = self.figures().into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines), figures);
        let shown: Vec<Line<'_>> = self.tree.iter().map(|line| Line::from(line.as_str())).collect();
        let block = Block::bordered().title(" the last finished tree ");
        frame.render_widget(Paragraph::new(shown).block(block), tree);
        let foot_line = Line::from(format!("{}   q: leave, the run goes on", self.address)).dim();
        frame.render_widget(foot_line, foot);
    }

    /// Where the run is, in a line.
    fn at(&self) -> String {
        let status = match &self.status {
            Ok(status) => status,
            Err(reason) => return reason.clone(),
        };
        let Status { round, rounds, stage, .. } = status;
        let stage = if stage.is_empty() { "before the first stage" } else { stage };
        let at = format!("round {round} of {rounds}, {stage}");
        match status.state {
            State::Ended => format!("not running; its process left it in {at}"),
            State::Running if status.is_silent() => {
                format!("no word for {}: stopped or killed in {at}", clock(status.age() as u64))
            }
            State::Running => format!("running: {at}, for {}", clock(status.seconds as u64)),
        }
    }

    /// The figures, a line each.
    fn figures(&self) -> Vec<String> {
        let Ok(status) = &self.status else { return Vec::new() };
        let mut pace: Vec<String> = Vec::new();
        pace.extend(status.per_second.map(|rate| format!("{rate:.2} a second")));
        pace.extend(status.seconds_left.map(|left| format!("{} left", clock(left as u64))));
        pace.extend(status.solved.map(|solved| format!("{solved} of {} solved", status.done)));
        let mut net: Vec<String> = Vec::new();
        if let Some(stats) = &status.inference {
            net.extend(stats.occupancy.map(|full| format!("passes {:.0} % full", 100.0 * full)));
            let read = stats.prefix_tokens_computed + stats.prefix_tokens_reused;
            if read > 0 {
                let kept = 100.0 * stats.prefix_tokens_reused as f64 / read as f64;
                net.push(format!("{kept:.0} % of the contexts' tokens were kept"));
            }
            net.push(format!("{} tokens sampled", stats.tokens_sampled));
        }
        let memory = status
            .memory_bytes
            .map(|bytes| format!("{:.2} GiB of memory", bytes as f64 / f64::from(1 << 30)));
        let lines = [pace.join(", "), net.join(", "), memory.unwrap_or_default()];
        lines.into_iter().filter(|line| !line.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn drawn(run: &Path) -> String {
        let mut terminal = Terminal::new(TestBackend::new(90, 16)).unwrap();
        let view = View::read(run, "http://127.0.0.1:1/token/");
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn it_says_where_a_run_is_and_whether_it_still_speaks() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        assert!(drawn(run).contains("nothing is known"));
        let mut status: serde_json::Value = serde_json::json!({
            "schema": "espalier.status/1", "pid": 1, "updated": 1.0, "state": "running", "round": 1, "rounds": 3, "stage": "search",
            "seconds": 61.0, "counting": "search", "done": 30, "total": 40, "per_second": 0.5, "seconds_left": 20.0, "solved": 12,
            "inference": null, "memory_bytes": 1_u64 << 30,
        });
        let write = |status: &serde_json::Value| {
            fs::create_dir_all(run.join("live")).unwrap();
            fs::write(status::file(run), status.to_string()).unwrap();
        };
        write(&status);
        let killed = drawn(run);
        assert!(killed.contains("stopped or killed in round 1 of 3, search"), "{killed}");
        for figure in
            ["search: 30 of 40", "0.50 a second", "0:00:20 left", "12 of 30 solved", "1.00 GiB"]
        {
            assert!(killed.contains(figure), "{figure}: {killed}");
        }
        status["updated"] = serde_json::json!(4e9);
        write(&status);
        assert!(drawn(run).contains("running: round 1 of 3, search, for 0:01:01"));
        status["state"] = "ended".into();
        write(&status);
        assert!(drawn(run).contains("not running"));
        fs::write(status::file(run), "{").unwrap();
        assert!(drawn(run).contains("damaged"));
    }
}
