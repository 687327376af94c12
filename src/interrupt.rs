//! SIGINT and SIGTERM: work ends between two of its steps, says what is kept, and the program exits with 128 and the signal's number.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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

thread_local! {
    /// What ends the work of this thread, where that is more than signals.
    static LIMIT: RefCell<Option<Cancel>> = const { RefCell::new(None) };
}

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
                // No destructors: other threads are still at work.
                low_level::exit(status(signal));
            }
            tracing::warn!("{}: ending; once more ends at once", name(signal));
            STOP.cancel();
        }
    });
    Ok(())
}

/// Until it is dropped, work that this thread begins ends after a time, too, as it ends after a signal.
#[derive(Debug)]
pub struct Limit {
    cancel: Cancel,
    /// It is of its thread.
    _thread: PhantomData<*const ()>,
}

impl Limit {
    /// From now on.
    #[must_use]
    pub fn begin(time: Duration) -> Self {
        let cancel = STOP.child(Some(Instant::now() + time));
        LIMIT.set(Some(cancel.clone()));
        Self { cancel, _thread: PhantomData }
    }

    /// Whether the time is up, and no signal came.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.cancel.is_cancelled() && !STOP.is_cancelled()
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        LIMIT.set(None);
    }
}

/// Work that looks at its [`Cancel`] and ends soon after it was cancelled.
#[derive(Debug)]
pub struct Work {
    /// Cancelled by whatever ends the work from outside.
    stop: Cancel,
    cancel: Cancel,
}

impl Work {
    /// Begins; a signal that came before counts.
    #[must_use]
    pub fn begin() -> Self {
        AT_WORK.fetch_add(1, Ordering::Relaxed);
        let stop = LIMIT.with_borrow(|limit| limit.as_ref().unwrap_or(&STOP).clone());
        Self { cancel: stop.child(None), stop }
    }

    /// Of this work alone.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether a signal asks for the end, or the thread's [`Limit`].
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// At the work's end, before errors that only follow from a signal are told.
    ///
    /// # Errors
    /// When something asked for the end; `kept` says what is kept and how to go on.
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
    match signal {
        0 => "its time limit",
        signal => low_level::signal_name(signal).unwrap_or("a signal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_ends_the_work_of_its_thread_and_no_other() {
        let limit = Limit::begin(Duration::ZERO);
        let work = Work::begin();
        assert!(limit.is_over() && work.is_stopped() && work.cancel().is_cancelled());
        let told = work.check(|| "nothing is kept".to_owned()).unwrap_err().to_string();
        assert_eq!(told, "stopped by its time limit: nothing is kept");
        let elsewhere = std::thread::spawn(|| Work::begin().is_stopped());
        assert!(!elsewhere.join().unwrap());
        drop(limit);
        assert!(!Work::begin().is_stopped());
        let long = Limit::begin(Duration::from_secs(3600));
        assert!(!long.is_over() && !Work::begin().is_stopped());
    }
}
