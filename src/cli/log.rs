//! The log on standard error.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::time::Instant;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::terminal::colours;

/// Begins the log at this level, or at what `RUST_LOG` says.
pub fn begin(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| quietly(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Elapsed(Instant::now()))
        .with_ansi(colours() && stderr().is_terminal())
        .with_writer(stderr)
        .with_target(false)
        .init();
}

/// What others' crates say of their every step is no news of ours.
fn quietly(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{level},hf_hub=warn,xet=warn,hyper=warn,reqwest=warn"))
}

/// Hours, minutes and seconds since the program began.
struct Elapsed(Instant);

impl FormatTime for Elapsed {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&clock(self.0.elapsed().as_secs()))
    }
}

/// Hours, minutes and seconds.
pub fn clock(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn hours_are_counted_on() {
        let shown = [0, 59, 3_599, 3_600, 90_061].map(clock);
        assert_eq!(shown, ["0:00:00", "0:00:59", "0:59:59", "1:00:00", "25:01:01"]);
    }
}
