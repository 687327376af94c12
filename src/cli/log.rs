//! The log on standard error.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::time::Instant;

use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Begins the log at this level, or at what `RUST_LOG` says, and with the feature `otel` the spans for a collector, if they are wanted. Colours are for terminals, and for none where `NO_COLOR` is set
/// (no-color.org).
pub fn begin(level: &str, traced: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt::layer()
        .with_timer(Elapsed(Instant::now()))
        .with_ansi(!plain && stderr().is_terminal())
        .with_writer(stderr)
        .with_target(false)
        .with_filter(filter.and(filter_fn(is_line)));
    let registry = tracing_subscriber::registry();
    #[cfg(feature = "otel")]
    {
        let (layer, fault) = if traced { super::traces::layer() } else { (None, None) };
        registry.with(layer).with(log).init();
        if let Some(fault) = fault {
            tracing::warn!("{fault}");
        }
    }
    #[cfg(not(feature = "otel"))]
    {
        _ = traced;
        registry.with(log).init();
    }
}

/// Spans are no part of the log.
fn is_line(about: &Metadata<'_>) -> bool {
    about.is_event()
}

/// Hours, minutes and seconds since the program began.
struct Elapsed(Instant);

impl FormatTime for Elapsed {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&clock(self.0.elapsed().as_secs()))
    }
}

fn clock(seconds: u64) -> String {
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
