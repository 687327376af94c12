//! Spans of what a run does, for OpenTelemetry: the run, its rounds, their stages, and every search. Without the feature `otel` they are
//! nothing; with it they go to whoever listens to [`tracing`]'s spans of the target [`TARGET`].

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod on;

#[cfg(not(feature = "otel"))]
pub use off::Span;
#[cfg(feature = "otel")]
pub use on::Span;

/// The target of all spans.
pub const TARGET: &str = "espalier::spans";
