//! SIGINT and SIGTERM: work ends between two of its steps, says what is kept, and the program exits with 128 and the signal's number.

use std::sync::LazyLock;
#[cfg(feature = "otel")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use espalier_search::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Cancelled by the first signal.
static STOP: LazyLock<Cancel> = LazyLock::new(Cancel::new);
/// That signal; 0 before.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// How many pieces of work would end by themselves.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);
/// Done before a signal ends the program at once.
#[cfg(feature = "otel")]
static BEFORE_EXIT: OnceLock<fn()> = OnceLock::new();

/// A signal has stopped the work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stopped by {}: {kept}", name(*signal))]
pub struct Interrupted {
    signal: i32,
    /// What is kept, and how to go on.
    kept: String,
}

impl Interrupted {
    /// The exit status of a program that the signal has stopped.
    #[must_use]
    pub fn status(&self) -> u8 {
        status(self.signal) as u8
    }
}

/// Takes both signals from now on. The first lets [`Work`] end; a second, or one while there is none, ends the program at once. Files
/// are whole whenever it ends.
///
/// # Errors
/// When the signals cannot be taken.
pub fn watch() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            // Relaxed: threads learn of the signal by `STOP`.
            let first = SIGNAL.swap(signal, Ordering::Relaxed) == 0;
            if !first || AT_WORK.load(Ordering::Relaxed) == 0 {
                eprintln!("espalier: stopped by {}", name(signal));
                #[cfg(feature = "otel")]
                if let Some(work) = BEFORE_EXIT.get() {
                    work();
                }
                // No destructors: other threads are still at work.
                low_level::exit(status(signal));
            }
            tracing::warn!("{}: ending; once more ends at once", name(signal));
            STOP.cancel();
        }
    });
    Ok(())
}

/// Has this done before a signal ends the program at once; the first call counts. It must end soon.
#[cfg(feature = "otel")]
pub fn before_exit(work: fn()) {
    _ = BEFORE_EXIT.set(work);
}

/// Work that looks at its [`Cancel`] and ends soon after it was cancelled.
#[derive(Debug)]
pub struct Work {
    cancel: Cancel,
}

impl Work {
    /// Begins; a signal that came before counts.
    #[must_use]
    pub fn begin() -> Self {
        AT_WORK.fetch_add(1, Ordering::Relaxed);
        Self { cancel: STOP.child(None) }
    }

    /// Of this work alone.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether a signal asks for the end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        STOP.is_cancelled()
    }

    /// At the work's end, before errors that only follow from a signal are told.
    ///
    /// # Errors
    /// When a signal asked for the end; `kept` says what is kept and how to go on.
    pub fn check(&self, kept: impl FnOnce() -> String) -> Result<(), Interrupted> {
        if !self.is_stopped() {
            return Ok(());
        }
        Err(Interrupted { signal: SIGNAL.load(Ordering::Relaxed), kept: kept() })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
    }
}

fn status(signal: i32) -> i32 {
    128 + signal
}

fn name(signal: i32) -> &'static str {
    low_level::signal_name(signal).unwrap_or("a signal")
}
