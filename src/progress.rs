//! How far a stage is: a bar on a terminal, plain log lines otherwise.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::status;

const LOG_EVERY: Duration = Duration::from_secs(15);

/// Progress of one stage. Counted from several threads.
#[derive(Debug)]
pub struct Progress {
    label: String,
    total: u64,
    bar: Option<ProgressBar>,
    state: Mutex<(u64, Instant)>,
    counting: status::Counting,
}

impl Progress {
    /// Starts at `done` of `total`.
    #[must_use]
    pub fn new(label: &str, total: usize, done: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64).with_position(done as u64);
            let template = "{msg:>24} {bar:32} {pos}/{len} [{elapsed} < {eta}]";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(label.to_owned());
            bar
        });
        let state = Mutex::new((done as u64, Instant::now()));
        let counting = status::count(label, total as u64, done as u64);
        Self { label: label.to_owned(), total: total as u64, bar, state, counting }
    }

    /// Counts one more; `detail` is logged with it now and then.
    pub fn advance(&self, detail: impl FnOnce() -> String) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.0 += 1;
        self.counting.advance();
        match &self.bar {
            Some(bar) => bar.inc(1),
            None if state.1.elapsed() >= LOG_EVERY => {
                state.1 = Instant::now();
                tracing::info!("{}: {} of {} {}", self.label, state.0, self.total, detail());
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
